//! One execution: a producer on the threads for queries, a supervisor that ends it, and the stream its client reads.
//!
//! The supervisor owns the permit. It waits for the first of: the end of the work, the deadline, a cancellation, a client
//! that went away; writes the history; and gives the permit back once nothing of the query runs any more.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use arrow::{
    array::AsArray,
    datatypes::{DataType, SchemaRef},
    record_batch::RecordBatch,
};
use futures::{Stream, stream};
use lakebed_access::{Admitted, Limit, Limits, breach};
use lakebed_types::{Clock, Error, ErrorKind, QueryId, Result, StatementKind, format_bytes};
use parking_lot::Mutex;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument as _, field::Empty};

use crate::{
    admit, cancel::Cancel, history::History, memory::QUERY_MAY, metering::Metering, pace::Stop,
    prepared::PreparedQuery, runtime, service::Engine, spill::SPILLED_TOO_MUCH, stats::StatsHandle, work,
};

/// Batches between the query and its client, besides those that each has in hand. More would only hold memory.
const CHANNEL_BATCHES: usize = 1;

/// How often a query that runs is held against its limits.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

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

/// Where the work puts its batches. Counts rows and bytes, and waits for a slow client only so long.
pub(crate) struct Sink {
    batches: mpsc::Sender<RecordBatch>,
    stats: StatsHandle,
    limits: Arc<Limits>,
    workgroup: String,
    bytes: u64,
}

impl Sink {
    pub(crate) fn stats(&self) -> &StatsHandle {
        &self.stats
    }

    pub(crate) async fn send(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.check(&batch)?;
        let idle_client = self.limits.idle_client;
        match tokio::time::timeout(idle_client, self.batches.reserve()).await {
            Ok(Ok(permit)) => {
                self.stats.add_rows(batch.num_rows());
                permit.send(batch);
                Ok(())
            }
            Ok(Err(_)) => Err(client_left()),
            Err(_) => Err(Error::new(
                ErrorKind::Cancelled,
                format!("the client read nothing for {} s", idle_client.as_secs()),
            )),
        }
    }

    fn check(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = self.stats.rows() + batch.num_rows() as u64;
        if let Some(limit) = self.limits.result_rows.filter(|limit| rows > *limit) {
            let what = format!("the result has more than {limit} rows");
            return Err(breach(&self.workgroup, Limit::ResultRows, limit, ErrorKind::ResultTooLarge, what)
                .with_hint("Add a LIMIT, or ask for fewer rows."));
        }
        let Some(limit) = self.limits.result_bytes else { return Ok(()) };
        self.bytes += bytes_of(batch);
        if self.bytes > limit {
            let shown = format_bytes(limit);
            let what = format!("the result has more than {shown}");
            return Err(breach(&self.workgroup, Limit::ResultBytes, shown, ErrorKind::ResultTooLarge, what)
                .with_hint("Add a LIMIT, or select fewer columns."));
        }
        Ok(())
    }
}

/// Bytes of the values of a batch in memory, without what its buffers hold besides.
fn bytes_of(batch: &RecordBatch) -> u64 {
    let of = |column: &arrow::array::ArrayRef| {
        let texts = match column.data_type() {
            DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
            DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
            _ => 0,
        };
        let rest = column.to_data().get_slice_memory_size();
        texts + rest.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(of).sum::<usize>() as u64
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
    let (limits, workgroup) = (admitted.limits().clone(), admitted.principal().workgroup().to_owned());
    // The limits may have changed while it waited.
    if let Err(error) = admit::check(&engine, &workgroup, &limits, &prepared) {
        engine.history.refuse(prepared.record(admitted.principal()), engine.clock.now(), &error);
        return Err(error);
    }
    let memory_limit = prepared.resources.memory.bind(limits.memory_bytes, admitted.memory_bytes());
    prepared.resources.spill.bound(limits.spill_bytes.unwrap_or(u64::MAX));
    let stats = StatsHandle::begin(
        engine.clock.clone(),
        prepared.resources.clone(),
        engine.price.per_tib_usd(),
        admitted.queued(),
        prepared.planning,
    );
    let cancel = Cancel::of(admitted.cancellation().clone());
    if !engine.history.start(prepared.id, stats.clone(), cancel.clone()) {
        engine.history.add(prepared.record(admitted.principal()), Some(stats.clone()), cancel.clone());
    }
    let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
    let sink =
        Sink { batches: sender, stats: stats.clone(), limits: limits.clone(), workgroup: workgroup.clone(), bytes: 0 };
    let stop = prepared.resources.stop.clone();
    let (id, kind, schema) = (prepared.id, prepared.kind, prepared.schema.clone());
    let client = CancellationToken::new();
    let ending = Arc::new(Ending::default());
    let who = admitted.principal().clone();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let span = tracing::info_span!("query", query_id = %id, principal = who.name(), state = Empty, rows = Empty, bytes_scanned = Empty);
    let work = work::produce(engine.clone(), who, prepared, sink, ready).instrument(span.clone());
    let supervisor = Supervisor {
        id,
        kind,
        stats: stats.clone(),
        clock: engine.clock.clone(),
        ending: ending.clone(),
        client: client.clone(),
        cancel,
        stop,
        metering: Metering::new(engine.access.workgroups().clone(), &workgroup, limits),
        memory_limit: memory_limit as u64,
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
    cancel: Cancel,
    /// Ends what computes without a pause.
    stop: Stop,
    metering: Metering,
    /// What the query may reserve, in bytes.
    memory_limit: u64,
    admitted: Admitted,
}

impl Supervisor {
    async fn watch(mut self, engine: Arc<Engine>, mut producer: JoinHandle<Result<()>>) {
        let (outcome, stuck) = self.outcome(&mut producer).await;
        if stuck {
            self.stop.stop();
            producer.abort();
        }
        let outcome = self.charged(outcome).map_err(|error| self.told(error));
        self.record(&engine.history, outcome.as_ref().copied());
        *self.ending.error.lock() = outcome.err();
        self.ending.told.cancel();
        if stuck {
            // An aborted task ends where it next yields. Its threads are taken until then, and so is the permit.
            let _ = producer.await;
        }
        drop(self.admitted);
    }

    /// How it ends, and whether its work goes on for now.
    async fn outcome(&mut self, producer: &mut JoinHandle<Result<()>>) -> (Result<()>, bool) {
        let left = self.admitted.deadline().saturating_duration_since(self.clock.instant());
        let deadline = tokio::time::sleep(left);
        tokio::pin!(deadline);
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK_PERIOD, LOOK_PERIOD);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                done = &mut *producer => return (done.unwrap_or_else(|join| Err(runtime::panicked(join))), false),
                error = self.cancel.cancelled() => return (Err(error), true),
                () = &mut deadline => return (Err(self.late()), true),
                () = self.client.cancelled() => return (Err(client_left()), true),
                _ = looks.tick() => {
                    if let Err(error) = self.metering.goes_on(self.stats.snapshot().bytes_scanned) {
                        return (Err(error), true);
                    }
                }
            }
        }
    }

    /// Charges what was scanned, however it ended.
    fn charged(&mut self, outcome: Result<()>) -> Result<()> {
        let scanned = self.stats.snapshot().bytes_scanned;
        match outcome {
            Ok(()) => self.metering.ended(scanned),
            Err(error) => {
                self.metering.charge(scanned);
                Err(error)
            }
        }
    }

    fn late(&self) -> Error {
        let seconds = self.admitted.run_time().as_secs_f64();
        let what = format!("the query ran longer than its {seconds} s");
        let error = match self.admitted.run_time_limit() {
            Some(limit) => {
                let workgroup = self.admitted.principal().workgroup();
                breach(workgroup, limit, format!("{seconds} s"), ErrorKind::DeadlineExceeded, what)
            }
            None => Error::new(ErrorKind::DeadlineExceeded, what),
        };
        error.with_hint("Ask for a longer timeout, run it in the background, or read less.")
    }

    /// The pool and the spill files know nothing of workgroups.
    fn told(&self, error: Error) -> Error {
        let (limit, bytes) = match error.kind() {
            ErrorKind::MemoryExhausted if error.message().starts_with(QUERY_MAY) => (Limit::Memory, self.memory_limit),
            ErrorKind::SpillExhausted if error.message().starts_with(SPILLED_TOO_MUCH) => {
                (Limit::Spill, self.admitted.limits().spill_bytes.unwrap_or_default())
            }
            _ => return error,
        };
        let workgroup = self.admitted.principal().workgroup();
        breach(workgroup, limit, format_bytes(bytes), error.kind(), error.message())
            .with_hint(error.hint().unwrap_or("Filter earlier, select fewer columns, or join fewer rows at once."))
            .with_source(error)
    }

    fn record(&self, history: &History, outcome: Result<(), &Error>) {
        self.stats.tell_operators();
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
        let span = tracing::Span::current();
        span.record("state", state);
        span.record("rows", statistics.rows_returned);
        span.record("bytes_scanned", statistics.bytes_scanned);
        let kind = format!("{:?}", self.kind).to_ascii_lowercase();
        metrics::counter!("lakebed_queries_total", "kind" => kind, "state" => state).increment(1);
        metrics::histogram!("lakebed_query_seconds").record(statistics.execution_ms / 1000.0);
        metrics::counter!("lakebed_query_rows_returned_total").increment(statistics.rows_returned);
        metrics::counter!("lakebed_query_bytes_scanned_total").increment(statistics.bytes_scanned);
        metrics::counter!("lakebed_query_spilled_bytes_total").increment(statistics.spilled_bytes);
        history.end(self.id, self.clock.now(), Some(statistics), outcome);
    }
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
