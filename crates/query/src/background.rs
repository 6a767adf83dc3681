//! Queries that run without anyone waiting: queued, run, and kept in the spool.
//!
//! What is told of such a query is on the disk already, its acceptance and its end: a restart takes nothing back.

use std::{sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::StreamExt;
use lakebed_access::{AdmitOptions, Principal};
use lakebed_types::{Error, ErrorKind, QueryId, QueryState, Result};
use tokio::sync::{mpsc, oneshot};

use crate::{
    admit,
    cancel::Cancel,
    history::{QueryRecord, cut, may_see, not_found},
    prepare,
    prepared::{PreparedQuery, QueryOptions},
    run::{self, BatchStream, RunningQuery},
    runtime,
    service::Engine,
    spool::{Kept, ResultPage, Spool, SpoolWriter},
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
    spool_of(engine)?;
    let prepared = prepare::prepare(engine, who, sql, options).await?;
    let (accepted, is_accepted) = oneshot::channel();
    // A task of its own: whoever asked may leave at any time, and what is on the disk by then is told of in the end.
    tokio::spawn(accept_and_run(engine.clone(), who.clone(), prepared, timeout, accepted));
    is_accepted.await.unwrap_or_else(|_| Err(Error::internal("a query was lost before it was accepted")))
}

async fn accept_and_run(
    engine: Arc<Engine>,
    who: Principal,
    prepared: PreparedQuery,
    timeout: Option<Duration>,
    accepted: oneshot::Sender<Result<QueryId>>,
) {
    let id = prepared.id;
    let mut record = prepared.record(&who);
    record.state = QueryState::Queued;
    record.sql = cut(&record.sql);
    let reserved = record.clone();
    if let Err(error) = on_disk(&engine, move |engine| spool_of(engine)?.reserve(&reserved)).await {
        // Nobody waits for it if the client has left.
        let _ = accepted.send(Err(error));
        return;
    }
    let cancel = Cancel::default();
    engine.history.add_background(record, cancel.clone());
    if accepted.send(Ok(id)).is_err() {
        cancel.cancel();
    }
    let outcome = run_into_spool(&engine, &who, prepared, timeout, cancel).await;
    let outcome = outcome.map_err(|error| interrupted(&engine, id, error));
    let closed = on_disk(&engine, move |engine| close(engine, id, outcome)).await;
    if let Err(error) = closed {
        tracing::error!(query_id = %id, ?error, "the end of a query could not be written down");
    }
}

/// Runs work that blocks on the disk, on a thread of its own.
async fn on_disk<T: Send + 'static>(
    engine: &Arc<Engine>,
    work: impl FnOnce(&Engine) -> Result<T> + Send + 'static,
) -> Result<T> {
    let shared = engine.clone();
    let done = engine.cpu.handle().spawn_blocking(move || work(&shared)).await;
    done.unwrap_or_else(|join| Err(runtime::panicked(join)))
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
) -> Result<SpoolWriter> {
    let options = AdmitOptions { timeout, background: true, ticket: None };
    let admitted = admit::turn(engine, who, &prepared, &options, &cancel).await?;
    let running = run::start(engine.clone(), admitted, prepared).await?;
    // The disk blocks, so a thread of its own takes the batches.
    let handle = engine.cpu.handle().clone();
    on_disk(engine, move |engine| write(engine, running, &handle)).await
}

fn write(engine: &Engine, running: RunningQuery, handle: &tokio::runtime::Handle) -> Result<SpoolWriter> {
    let RunningQuery { id, schema, mut batches, .. } = running;
    let mut writer = spool_of(engine)?.writer(id, &schema)?;
    while let Some(batch) = handle.block_on(batches.next()) {
        writer.write(&batch?)?;
    }
    Ok(writer)
}

/// What a shutdown ends was not cancelled by anyone, and would be told as interrupted by the next start.
fn interrupted(engine: &Engine, id: QueryId, error: Error) -> Error {
    let by_shutdown = matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Unavailable);
    match by_shutdown && engine.access.is_draining() {
        true => Error::new(ErrorKind::Interrupted, format!("the server stopped before query {id} ended")),
        false => error,
    }
}

/// Writes the end of an execution down, and then tells of it.
fn close(engine: &Engine, id: QueryId, outcome: Result<SpoolWriter>) -> Result<()> {
    let spool = spool_of(engine)?;
    let ending = |outcome: Result<(), &Error>| {
        let record = engine.history.ending(id, engine.clock.now(), outcome);
        record.ok_or_else(|| Error::internal("a running query was forgotten"))
    };
    let rows = outcome.and_then(SpoolWriter::finish);
    let record = ending(rows.as_ref().map(|_| ()))?;
    match spool.close(&record, rows.ok()) {
        Ok(()) => engine.history.close(record),
        Err(error) => {
            let record = ending(Err(&error))?;
            if spool.close(&record, None).is_err() {
                spool.give_up(id);
            }
            engine.history.close(record);
            return Err(error);
        }
    }
    Ok(())
}

/// One execution: as the history has it, and where that has forgotten it, as the spool has it.
pub(crate) fn record(engine: &Engine, who: &Principal, id: QueryId) -> Result<QueryRecord> {
    match engine.history.record(who, id) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let record = engine.spool.as_ref().and_then(|spool| spool.record(id));
            record.filter(|record| may_see(who, record)).ok_or(error)
        }
        answer => answer,
    }
}

/// A page of a result.
pub(crate) async fn results(
    engine: &Arc<Engine>,
    who: &Principal,
    id: QueryId,
    offset: u64,
    limit: usize,
) -> Result<ResultPage> {
    let kept = kept(engine, who, id)?;
    on_disk(engine, move |_| kept.page(offset, limit.min(MAX_PAGE_ROWS))).await
}

/// A whole result. Batches are read as they are asked for.
pub(crate) async fn result_stream(engine: &Arc<Engine>, who: &Principal, id: QueryId) -> Result<WholeResult> {
    let kept = kept(engine, who, id)?;
    let (sender, receiver) = mpsc::channel(READ_AHEAD_BATCHES);
    let (opened, is_opened) = oneshot::channel();
    engine.cpu.handle().spawn_blocking(move || read_all(&kept, opened, &sender));
    let schema = is_opened.await.unwrap_or_else(|_| Err(Error::internal("reading a result failed")))?;
    let batches = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|batch| (batch, receiver))
    });
    Ok((schema, Box::pin(batches)))
}

type WholeResult = (SchemaRef, BatchStream);

/// Nobody waits for what is sent if the reader has left.
fn read_all(kept: &Kept, opened: oneshot::Sender<Result<SchemaRef>>, sender: &mpsc::Sender<Result<RecordBatch>>) {
    let batches = match kept.batches() {
        Ok((schema, batches)) => {
            let _ = opened.send(Ok(schema));
            batches
        }
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    for batch in batches {
        if sender.blocking_send(batch).is_err() {
            return;
        }
    }
}

fn kept(engine: &Engine, who: &Principal, id: QueryId) -> Result<Arc<Kept>> {
    let record = record(engine, who, id)?;
    match (record.state, record.error) {
        (QueryState::Queued | QueryState::Running, _) => {
            Err(Error::new(ErrorKind::Conflict, format!("query {id} has not ended"))
                .with_hint("Ask for its state, and for its result once it has succeeded."))
        }
        (_, Some((kind @ ErrorKind::Interrupted, message))) => {
            Err(Error::new(kind, message).with_hint("Run the query again."))
        }
        (_, Some((kind, message))) => Err(Error::new(kind, message)),
        _ => match &engine.spool {
            Some(spool) => spool.kept(id),
            None => Err(not_found(id)),
        },
    }
}
