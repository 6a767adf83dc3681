//! A plan that runs: operators, their stream of batches, and a second attempt with other joins where memory ran out.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{DataFusionError, tree_node::TreeNodeRecursion},
    execution::SendableRecordBatchStream,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
};
use futures::{Stream, StreamExt, stream};
use lakebed_types::Result;

use crate::{
    error::{from_arrow, from_engine, is_out_of_memory},
    pace::{Stop, StopGuard},
    plan::{self, RowsPlan, Strategy},
    service::Engine,
    stats::StatsHandle,
};

/// The rows of a plan, batch by batch. Dropping it stops the plan's tasks.
pub(crate) struct Rows {
    rows: RowsPlan,
    strategy: Strategy,
    stats: StatsHandle,
    engine: Arc<Engine>,
    operators: Arc<dyn ExecutionPlan>,
    batches: SendableRecordBatchStream,
    /// Ends what computes without a pause, when this attempt is over.
    stop: StopGuard,
    delivered: bool,
}

impl Rows {
    /// Chooses the operators and starts them.
    pub(crate) async fn open(engine: Arc<Engine>, rows: RowsPlan, stats: StatsHandle) -> Result<Self> {
        let partitions = plan::partitions(engine.settings.threads, engine.access.running());
        let strategy = Strategy { partitions, hash_joins: true };
        let Attempt { operators, batches, stop } =
            attempt(&engine, &rows, strategy, &stats).await.map_err(from_engine)?;
        Ok(Self { rows, strategy, stats, engine, operators, batches, stop, delivered: false })
    }

    /// With the promised names.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.rows.schema
    }

    /// The operators, with their metrics.
    pub(crate) fn operators(&self) -> &Arc<dyn ExecutionPlan> {
        &self.operators
    }

    /// The next batch that has rows.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            match self.batches.next().await? {
                Ok(batch) if batch.num_rows() == 0 => {}
                Ok(batch) => {
                    self.delivered = true;
                    return Some(self.named(&batch));
                }
                Err(error) if self.can_retry(&error) => match self.retry().await {
                    Ok(()) => {}
                    Err(error) => return Some(Err(from_engine(error))),
                },
                Err(error) => return Some(Err(from_engine(error))),
            }
        }
    }

    /// The same as a stream.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::unfold(Some(self), |rows| async {
            let mut rows = rows?;
            match rows.next().await? {
                Ok(batch) => Some((Ok(batch), Some(rows))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    fn named(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.rows.schema.clone(), batch.columns().to_vec(), &options)
            .map_err(from_arrow)
    }

    /// A hash join keeps one side in memory; a join by sorting spills both.
    fn can_retry(&self, error: &DataFusionError) -> bool {
        !self.delivered && self.strategy.hash_joins && is_out_of_memory(error) && has_join(&self.rows.plan)
    }

    async fn retry(&mut self) -> Result<(), DataFusionError> {
        tracing::debug!("a query ran out of memory: it starts again with joins that spill");
        self.stop = StopGuard::default();
        let operators = self.operators.clone();
        self.batches = Box::pin(datafusion::physical_plan::EmptyRecordBatchStream::new(operators.schema()));
        self.strategy.hash_joins = false;
        let Attempt { operators, batches, stop } =
            attempt(&self.engine, &self.rows, self.strategy, &self.stats).await?;
        (self.operators, self.batches, self.stop) = (operators, batches, stop);
        Ok(())
    }
}

/// Operators that run.
struct Attempt {
    operators: Arc<dyn ExecutionPlan>,
    batches: SendableRecordBatchStream,
    stop: StopGuard,
}

async fn attempt(
    engine: &Engine,
    rows: &RowsPlan,
    strategy: Strategy,
    stats: &StatsHandle,
) -> Result<Attempt, DataFusionError> {
    let started = engine.clock.instant();
    let stop = rows.state.config().get_extension::<Stop>().unwrap_or_default().of_a_part();
    let (state, operators) = plan::physical(rows, strategy, &stop).await?;
    stats.set_plan(operators.clone(), engine.clock.instant().saturating_duration_since(started));
    let batches = execute_stream(operators.clone(), state.task_ctx())?;
    Ok(Attempt { operators, batches, stop: stop.on_drop() })
}

fn has_join(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Join(_));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}
