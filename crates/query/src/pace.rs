//! Conditions of joins, evaluated so that other queries get their turn and an ended query ends.
//!
//! A join compares each batch of one side with all rows of the other that its keys allow before it next pauses; where few
//! rows come of that it is minutes of work, in which nothing could end it and its thread serves nobody else.

use std::{
    cell::Cell,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{FieldRef, Schema},
};
use datafusion::{
    common::{DataFusionError, Result as EngineResult},
    logical_expr::ColumnarValue,
    physical_expr::{PhysicalExpr, expressions::lit},
    physical_plan::joins::utils::JoinFilter,
};
use lakebed_types::{Error, ErrorKind};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// For how long a thread joins before others get a turn.
const TURN: Duration = Duration::from_millis(30);
/// What counts of the time between two looks: the thread may have been idle.
const LONGEST_STEP: Duration = Duration::from_millis(10);
/// Mostly long enough that another thread takes over the work that waits for this one, nothing beside the time of a turn.
const HANDOVER: Duration = Duration::from_micros(100);

/// What tells operators that compute for long that nobody needs them any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(CancellationToken);

/// Stops a part of a query when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct StopGuard {
    _guard: Option<DropGuard>,
}

impl Stop {
    /// Ends all of it.
    pub(crate) fn stop(&self) {
        self.0.cancel();
    }

    /// One that ends with this one, or alone.
    pub(crate) fn of_a_part(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Ends it when the guard is dropped.
    pub(crate) fn on_drop(self) -> StopGuard {
        StopGuard { _guard: Some(self.0.drop_guard()) }
    }
}

/// A join's condition, paced.
pub(crate) fn paced(filter: &JoinFilter, stop: &Stop) -> JoinFilter {
    let condition = Paced { condition: filter.expression().clone(), stop: stop.clone() };
    JoinFilter::new(Arc::new(condition), filter.column_indices().to_vec(), filter.schema().clone())
}

/// A condition that all pairs meet, for joins that have none and compare many pairs for few rows.
pub(crate) fn paced_only(stop: &Stop) -> JoinFilter {
    paced(&JoinFilter::new(lit(true), Vec::new(), Arc::new(Schema::empty())), stop)
}

#[derive(Debug)]
struct Paced {
    condition: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

thread_local! {
    /// When this thread looked last, and for how long it has joined since others got a turn.
    static LOOKED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Lets others have a turn where this thread has joined for long.
fn pause() {
    let now = Instant::now();
    let (last, joined) = LOOKED.get().unwrap_or((now, Duration::ZERO));
    let mut joined = joined + now.saturating_duration_since(last).min(LONGEST_STEP);
    if joined >= TURN {
        joined = Duration::ZERO;
        // The rest of this poll runs beside the runtime's threads.
        tokio::task::block_in_place(|| std::thread::sleep(HANDOVER));
    }
    LOOKED.set(Some((now, joined)));
}

impl PhysicalExpr for Paced {
    fn evaluate(&self, batch: &RecordBatch) -> EngineResult<ColumnarValue> {
        if self.stop.0.is_cancelled() {
            let stopped = Error::new(ErrorKind::Cancelled, "the query was stopped");
            return Err(DataFusionError::External(Box::new(stopped)));
        }
        pause();
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
        Ok(Arc::new(Self { condition, stop: self.stop.clone() }))
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
