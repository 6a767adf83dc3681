//! One execution: a producer on the threads for queries, a supervisor that ends it, and the stream its client reads.
//!
//! The supervisor owns the permit. It waits for the first of: the end of the work, the deadline, a cancellation, a client
//! that went away; writes the history; and gives the permit back once nothing of the query runs any more.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use futures::{Stream, stream};
use lakebed_access::Admitted;
use lakebed_types::{Clock, Error, ErrorKind, QueryId, Result, StatementKind};
use parking_lot::Mutex;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use crate::{history::History, prepared::PreparedQuery, runtime, service::Engine, stats::StatsHandle, work};

/// Batches between the query and its client, besides those that each has in hand. More would only hold memory.
const CHANNEL_BATCHES: usize = 1;

/// Result batches, in order. The first error ends it.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// A query that runs. Dropping `batches` cancels it and frees everything.
pub struct RunningQuery {
    /// The execution's id.
    pub id: QueryId,
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// Owns the permit.
    pub batches: BatchStream,
    /// Statistics so far, and the final ones once `batches` has ended.
    pub stats: StatsHandle,
}

/// Where the work puts its batches. Counts rows, and waits for a slow client only so long.
pub(crate) struct Sink {
    batches: mpsc::Sender<RecordBatch>,
    stats: StatsHandle,
    idle_client: Duration,
    max_rows: Option<u64>,
}

impl Sink {
    pub(crate) fn stats(&self) -> &StatsHandle {
        &self.stats
    }

    pub(crate) async fn send(&self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = self.stats.rows() + batch.num_rows() as u64;
        if let Some(limit) = self.max_rows.filter(|limit| rows > *limit) {
            return Err(Error::new(ErrorKind::ResultTooLarge, format!("the result has more than its {limit} rows"))
                .with_hint("Add a LIMIT, or run it in the background and read it by pages."));
        }
        match tokio::time::timeout(self.idle_client, self.batches.reserve()).await {
            Ok(Ok(permit)) => {
                self.stats.add_rows(batch.num_rows());
                permit.send(batch);
                Ok(())
            }
            Ok(Err(_)) => Err(client_left()),
            Err(_) => Err(Error::new(
                ErrorKind::Cancelled,
                format!("the client read nothing for {} s", self.idle_client.as_secs()),
            )),
        }
    }
}

fn client_left() -> Error {
    Error::new(ErrorKind::Cancelled, "the client left before the end")
}

/// What the supervisor tells the stream: how it ended.
#[derive(Debug, Default)]
struct Ending {
    error: Mutex<Option<Error>>,
    told: CancellationToken,
}

/// Starts a prepared statement. The stream is ready when this returns; batches follow as the client reads.
pub(crate) async fn start(engine: Arc<Engine>, admitted: Admitted, prepared: PreparedQuery) -> Result<RunningQuery> {
    let stats = StatsHandle::begin(
        engine.clock.clone(),
        prepared.resources.clone(),
        engine.price.per_tib_usd(),
        admitted.queued(),
        prepared.planning,
    );
    let cancel = admitted.cancellation().clone();
    if !engine.history.start(prepared.id, stats.clone(), cancel.clone()) {
        engine.history.add(prepared.record(admitted.principal()), Some(stats.clone()), cancel.clone());
    }
    let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
    let sink = Sink {
        batches: sender,
        stats: stats.clone(),
        idle_client: admitted.limits().idle_client,
        max_rows: admitted.limits().result_rows,
    };
    let (id, kind, schema) = (prepared.id, prepared.kind, prepared.schema.clone());
    let client = CancellationToken::new();
    let ending = Arc::new(Ending::default());
    let who = admitted.principal().clone();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let span = tracing::info_span!("query", query_id = %id, principal = who.name());
    let work = work::produce(engine.clone(), who, prepared, sink, ready).instrument(span.clone());
    let supervisor = Supervisor {
        id,
        kind,
        stats: stats.clone(),
        clock: engine.clock.clone(),
        ending: ending.clone(),
        client: client.clone(),
        admitted,
    };
    let producer = engine.cpu.handle().spawn(work);
    tokio::spawn(supervisor.watch(engine, producer).instrument(span));
    let batches = stream_of(receiver, ending.clone(), client.drop_guard());
    // A plan that cannot be made, or a statement that fails at once, is an error of `run` and not of the stream.
    if is_ready.await.is_err() {
        ending.told.cancelled().await;
    }
    let failed_at_once = ending.error.lock().take_if(|_| stats.rows() == 0);
    match failed_at_once {
        Some(error) => Err(error),
        None => Ok(RunningQuery { id, schema, batches, stats }),
    }
}

struct Supervisor {
    id: QueryId,
    kind: StatementKind,
    stats: StatsHandle,
    clock: Arc<dyn Clock>,
    ending: Arc<Ending>,
    client: CancellationToken,
    admitted: Admitted,
}

impl Supervisor {
    async fn watch(self, engine: Arc<Engine>, mut producer: JoinHandle<Result<()>>) {
        let left = self.admitted.deadline().saturating_duration_since(self.clock.instant());
        let (outcome, stuck) = tokio::select! {
            biased;
            done = &mut producer => (done.unwrap_or_else(|join| Err(runtime::panicked(join))), false),
            () = self.admitted.cancellation().cancelled() => (Err(stopped()), true),
            () = tokio::time::sleep(left) => (Err(self.late()), true),
            () = self.client.cancelled() => (Err(client_left()), true),
        };
        if stuck {
            producer.abort();
        }
        self.record(&engine.history, outcome.as_ref().copied());
        *self.ending.error.lock() = outcome.err();
        self.ending.told.cancel();
        if stuck {
            // An aborted task ends where it next yields. Its threads are taken until then, and so is the permit.
            let _ = producer.await;
        }
        drop(self.admitted);
    }

    fn late(&self) -> Error {
        let seconds = self.admitted.run_time().as_secs_f64();
        Error::new(ErrorKind::DeadlineExceeded, format!("the query ran longer than its {seconds} s"))
            .with_hint("Ask for a longer timeout, run it in the background, or read less.")
    }

    fn record(&self, history: &History, outcome: Result<(), &Error>) {
        let statistics = self.stats.end();
        let state = match outcome {
            Ok(()) => "succeeded",
            Err(error) if error.kind() == ErrorKind::Cancelled => "cancelled",
            Err(error) => {
                if error.kind() == ErrorKind::Internal {
                    tracing::error!(query_id = %self.id, error = ?error, "a query failed inside the engine");
                }
                "failed"
            }
        };
        let kind = format!("{:?}", self.kind).to_ascii_lowercase();
        metrics::counter!("lakebed_queries_total", "kind" => kind, "state" => state).increment(1);
        metrics::histogram!("lakebed_query_seconds").record(statistics.execution_ms / 1000.0);
        metrics::counter!("lakebed_query_rows_returned_total").increment(statistics.rows_returned);
        metrics::counter!("lakebed_query_bytes_scanned_total").increment(statistics.bytes_scanned);
        metrics::counter!("lakebed_query_spilled_bytes_total").increment(statistics.spilled_bytes);
        history.end(self.id, self.clock.now(), Some(statistics), outcome);
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the query was cancelled")
}

fn stream_of(batches: mpsc::Receiver<RecordBatch>, ending: Arc<Ending>, client: DropGuard) -> BatchStream {
    let reader = Some(Reader { batches, ending, _client: client });
    Box::pin(stream::unfold(reader, |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Some(Ok(batch)) => Some((Ok(batch), Some(reader))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    }))
}

struct Reader {
    batches: mpsc::Receiver<RecordBatch>,
    ending: Arc<Ending>,
    _client: DropGuard,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        let batch = tokio::select! {
            biased;
            () = self.failed() => None,
            batch = self.batches.recv() => batch,
        };
        match batch {
            Some(batch) => Some(Ok(batch)),
            None => {
                self.ending.told.cancelled().await;
                self.ending.error.lock().take().map(Err)
            }
        }
    }

    /// Resolves only if the query has failed: the batches of one that ended well are all delivered first.
    fn failed(&self) -> impl Future<Output = ()> + use<> {
        let ending = self.ending.clone();
        async move {
            ending.told.cancelled().await;
            if ending.error.lock().is_none() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Runs work on the threads for queries and waits for it; a panic is an error. For work without a stream of its own.
pub(crate) async fn contained<T: Send + 'static>(
    engine: &Engine,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    engine.cpu.handle().spawn(work).await.unwrap_or_else(|join| Err(runtime::panicked(join)))
}
