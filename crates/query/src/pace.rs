//! Conditions of joins, evaluated so that other queries get their turn and an ended query ends.
//!
//! A join compares each batch of one side with all rows of the other that its keys allow before it next pauses; where few
//! pairs pass its condition that is minutes of work, in which nothing could end it and its thread serves nobody else.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{FieldRef, Schema},
};
use datafusion::{
    common::{DataFusionError, Result as EngineResult},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::joins::utils::JoinFilter,
};
use lakebed_types::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

/// Pairs of rows between two turns of other work: tens of milliseconds.
const PAIRS_OF_A_TURN: u64 = 1 << 25;
/// Long enough that another thread takes over the work that waits for this one, nothing beside the time of a turn.
const HANDOVER: Duration = Duration::from_micros(100);

/// What tells operators that compute for long that their query has ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(pub(crate) CancellationToken);

/// A join's condition, paced.
pub(crate) fn paced(filter: &JoinFilter, stop: &Stop) -> JoinFilter {
    let condition = filter.expression().clone();
    let paced = Paced { condition, stop: stop.clone(), pairs: AtomicU64::new(0) };
    JoinFilter::new(Arc::new(paced), filter.column_indices().to_vec(), filter.schema().clone())
}

#[derive(Debug)]
struct Paced {
    condition: Arc<dyn PhysicalExpr>,
    stop: Stop,
    /// Evaluated so far, by all partitions.
    pairs: AtomicU64,
}

impl Paced {
    fn pause(&self, pairs: u64) {
        let before = self.pairs.fetch_add(pairs, Ordering::Relaxed);
        if before / PAIRS_OF_A_TURN != (before + pairs) / PAIRS_OF_A_TURN {
            // The rest of this poll runs beside the runtime's threads.
            tokio::task::block_in_place(|| std::thread::sleep(HANDOVER));
        }
    }
}

impl PhysicalExpr for Paced {
    fn evaluate(&self, batch: &RecordBatch) -> EngineResult<ColumnarValue> {
        if self.stop.0.is_cancelled() {
            let stopped = Error::new(ErrorKind::Cancelled, "the query was stopped");
            return Err(DataFusionError::External(Box::new(stopped)));
        }
        self.pause(batch.num_rows() as u64);
        self.condition.evaluate(batch)
    }

    fn return_field(&self, input_schema: &Schema) -> EngineResult<FieldRef> {
        self.condition.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> EngineResult<Arc<dyn PhysicalExpr>> {
        let condition = children.into_iter().next().unwrap_or_else(|| self.condition.clone());
        Ok(Arc::new(Self { condition, stop: self.stop.clone(), pairs: AtomicU64::new(0) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

impl fmt::Display for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PartialEq for Paced {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Paced {}

impl Hash for Paced {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}
