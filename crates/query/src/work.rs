//! What a prepared statement does once it runs.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use lakebed_access::{Principal, audit};
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

impl Work {
    /// The query in it, where there is one.
    pub(crate) fn rows(&self) -> Option<&RowsPlan> {
        match self {
            Work::Rows(rows) | Work::Analyze(rows) => Some(rows),
            Work::Write(write) => write.source.rows(),
            Work::Ready(_) | Work::Change(_) => None,
        }
    }
}

/// Does the work, into the sink. `ready` is told once nothing but the rows themselves is outstanding.
pub(crate) async fn produce(
    engine: Arc<Engine>,
    who: Principal,
    prepared: PreparedQuery,
    mut sink: Sink,
    ready: oneshot::Sender<()>,
) -> Result<()> {
    let stats = sink.stats().clone();
    match prepared.work {
        Work::Rows(plan) => {
            let kept = engine.results.answer(prepared.ticket, &prepared.schema, &stats).await?;
            if let Some(batches) = kept {
                let _ = ready.send(());
                return deliver(batches, &mut sink).await;
            }
            let results = engine.results.clone();
            let mut rows = Rows::open(engine, *plan, stats).await?;
            // Nobody waits if the client has left; the sink will say so.
            let _ = ready.send(());
            let mut copy = results.copy(prepared.ticket);
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                if let Some(copy) = &mut copy {
                    copy.add(&batch);
                }
                sink.send(batch).await?;
            }
            results.keep(copy).await;
            Ok(())
        }
        Work::Ready(batches) => {
            let _ = ready.send(());
            deliver(batches, &mut sink).await
        }
        Work::Analyze(plan) => deliver(vec![explain::analyze(engine, *plan, stats).await?], &mut sink).await,
        Work::Write(work) => {
            let (action, object) = work.target.description();
            let count = write::run(engine, *work, stats, prepared.id).await?;
            audit::changed(&who, action, &object);
            deliver(vec![count], &mut sink).await
        }
        Work::Change(change) => {
            let (action, object) = change.description();
            let status = change::apply(&engine, &who, *change).await?;
            audit::changed(&who, action, &object);
            deliver(vec![status], &mut sink).await
        }
    }
}

async fn deliver(batches: Vec<RecordBatch>, sink: &mut Sink) -> Result<()> {
    for batch in batches {
        sink.send(batch).await?;
    }
    Ok(())
}
