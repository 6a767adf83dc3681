//! Queries that run without anyone waiting: queued, run, and kept in the spool.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use lakebed_access::{AdmitOptions, Principal};
use lakebed_types::{Error, ErrorKind, QueryId, QueryState, Result};
use tokio::sync::mpsc;

use crate::{
    admit,
    cancel::Cancel,
    history::not_found,
    prepare,
    prepared::{PreparedQuery, QueryOptions},
    run::{self, BatchStream, RunningQuery},
    runtime,
    service::Engine,
    spool::{Kept, ResultPage, Spool},
};

/// Rows that one page of a result may have.
const MAX_PAGE_ROWS: usize = 1_000_000;
/// Batches read ahead of whoever reads a whole result.
const READ_AHEAD_BATCHES: usize = 2;

/// Checks and plans a statement now, and leaves it to run.
pub(crate) async fn submit(
    engine: &Arc<Engine>,
    who: &Principal,
    sql: &str,
    options: &QueryOptions,
    timeout: Option<Duration>,
) -> Result<QueryId> {
    let spool = spool_of(engine)?;
    let prepared = prepare::prepare(engine, who, sql, options).await?;
    let id = prepared.id;
    spool.reserve(id)?;
    let mut record = prepared.record(who);
    record.state = QueryState::Queued;
    let cancel = Cancel::default();
    engine.history.add(record, None, cancel.clone());
    let (engine, who) = (engine.clone(), who.clone());
    tokio::spawn(async move {
        let outcome = run_into_spool(&engine, &who, prepared, timeout, cancel).await;
        if let Err(error) = outcome {
            engine.history.fail(id, engine.clock.now(), &error);
            if let Some(spool) = &engine.spool {
                spool.give_up(id);
            }
        }
    });
    Ok(id)
}

fn spool_of(engine: &Engine) -> Result<&Spool> {
    engine.spool.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "this server keeps no results, so nothing runs in the background")
            .with_hint("Start it with a data directory.")
    })
}

async fn run_into_spool(
    engine: &Arc<Engine>,
    who: &Principal,
    prepared: PreparedQuery,
    timeout: Option<Duration>,
    cancel: Cancel,
) -> Result<()> {
    let options = AdmitOptions { timeout, background: true, ticket: None };
    let admitted = admit::turn(engine, who, &prepared, &options, &cancel).await?;
    let running = run::start(engine.clone(), admitted, prepared).await?;
    // The disk blocks, so a thread of its own takes the batches.
    let (engine, handle) = (engine.clone(), engine.cpu.handle().clone());
    let writing = handle.clone().spawn_blocking(move || write(&engine, running, &handle));
    writing.await.unwrap_or_else(|join| Err(runtime::panicked(join)))
}

fn write(engine: &Engine, running: RunningQuery, handle: &tokio::runtime::Handle) -> Result<()> {
    let spool = spool_of(engine)?;
    let RunningQuery { id, schema, mut batches, .. } = running;
    let mut writer = spool.writer(id, &schema)?;
    while let Some(batch) = handle.block_on(batches.next()) {
        writer.write(&batch?)?;
    }
    spool.keep(id, writer)
}

/// A page of a result.
pub(crate) async fn results(
    engine: &Arc<Engine>,
    who: &Principal,
    id: QueryId,
    offset: u64,
    limit: usize,
) -> Result<ResultPage> {
    let kept = kept(engine, who, id).await?;
    let read = move || kept.page(offset, limit.min(MAX_PAGE_ROWS));
    engine.cpu.handle().spawn_blocking(read).await.unwrap_or_else(|join| Err(runtime::panicked(join)))
}

/// A whole result. Batches are read as they are asked for.
pub(crate) async fn result_stream(engine: &Arc<Engine>, who: &Principal, id: QueryId) -> Result<WholeResult> {
    let kept = kept(engine, who, id).await?;
    let schema = kept.schema().clone();
    let (sender, receiver) = mpsc::channel(READ_AHEAD_BATCHES);
    engine.cpu.handle().spawn_blocking(move || read_all(&kept, &sender));
    let batches = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|batch| (batch, receiver))
    });
    Ok((schema, Box::pin(batches)))
}

type WholeResult = (arrow::datatypes::SchemaRef, BatchStream);

fn read_all(kept: &Kept, sender: &mpsc::Sender<Result<arrow::array::RecordBatch>>) {
    let batches = match kept.batches() {
        Ok(batches) => batches,
        Err(error) => {
            // Nobody waits if the reader has left.
            let _ = sender.blocking_send(Err(error));
            return;
        }
    };
    for batch in batches {
        if sender.blocking_send(batch).is_err() {
            return;
        }
    }
}

async fn kept(engine: &Engine, who: &Principal, id: QueryId) -> Result<Arc<Kept>> {
    let record = engine.history.record(who, id)?;
    match (record.state, record.error) {
        (QueryState::Queued | QueryState::Running, _) => {
            Err(Error::new(ErrorKind::Conflict, format!("query {id} has not ended"))
                .with_hint("Ask for its state, and for its result once it has succeeded."))
        }
        (_, Some((kind, message))) => Err(Error::new(kind, message)),
        _ => match &engine.spool {
            Some(spool) => spool.kept(id).await,
            None => Err(not_found(id)),
        },
    }
}
