//! What a prepared statement does once it runs.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use lakebed_access::Principal;
use lakebed_types::Result;
use tokio::sync::oneshot;

use crate::{
    change::{self, Change},
    execute::Rows,
    explain,
    plan::RowsPlan,
    prepared::PreparedQuery,
    run::Sink,
    service::Engine,
    stats::StatsHandle,
    write::{self, Write},
};

/// What a prepared statement does.
pub(crate) enum Work {
    /// A query.
    Rows(Box<RowsPlan>),
    /// Rows that were found while preparing: `SHOW`, `DESCRIBE`, `EXPLAIN`.
    Ready(Vec<RecordBatch>),
    /// Runs a query for its operators' metrics.
    Analyze(Box<RowsPlan>),
    /// Runs a query into files.
    Write(Box<Write>),
    /// Changes the catalog.
    Change(Box<Change>),
}

/// Does the work, into the sink. `ready` is told once nothing but the rows themselves is outstanding.
pub(crate) async fn produce(
    engine: Arc<Engine>,
    who: Principal,
    prepared: PreparedQuery,
    sink: Sink,
    ready: oneshot::Sender<()>,
) -> Result<()> {
    let stats = sink.stats().clone();
    match prepared.work {
        Work::Rows(plan) => {
            let mut rows = Rows::open(engine, *plan, stats).await?;
            // Nobody waits if the client has left; the sink will say so.
            let _ = ready.send(());
            while let Some(batch) = rows.next().await {
                sink.send(batch?).await?;
            }
            Ok(())
        }
        Work::Ready(batches) => {
            let _ = ready.send(());
            deliver(batches, &sink).await
        }
        Work::Analyze(plan) => deliver(vec![explain::analyze(engine, *plan, stats).await?], &sink).await,
        Work::Write(work) => deliver(vec![write_counted(engine, *work, stats, prepared.id).await?], &sink).await,
        Work::Change(change) => deliver(vec![change::apply(&engine, &who, *change).await?], &sink).await,
    }
}

async fn write_counted(
    engine: Arc<Engine>,
    work: Write,
    stats: StatsHandle,
    id: lakebed_types::QueryId,
) -> Result<RecordBatch> {
    write::run(engine, work, stats, id).await
}

async fn deliver(batches: Vec<RecordBatch>, sink: &Sink) -> Result<()> {
    for batch in batches {
        sink.send(batch).await?;
    }
    Ok(())
}
