//! A running query as a stream of messages: encoded batch by batch on the threads for queries, a few messages ahead of the
//! client. Dropping the stream ends the query.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use lakebed_query::{BatchStream, QueryService, RunningQuery, StatsHandle};
use lakebed_types::{Error, ErrorKind, QueryId, QueryStatistics, Result};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tonic::{Code, Status, metadata::MetadataMap};

use crate::{error::Failure, ipc::Encoder, options::Compression, shape::Shape};

/// Messages that wait for a slow client, besides the one being made.
const MESSAGES_IN_FLIGHT: usize = 2;
/// The trailer that tells what the query took, as JSON.
pub(crate) const STATISTICS: &str = "x-lakebed-statistics";

/// What a client reads.
pub(crate) type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// The stream of a running query.
///
/// # Errors
/// As for [`Encoder::new`].
pub(crate) fn of_query(
    query: &QueryService,
    running: RunningQuery,
    shape: Shape,
    compression: Option<Compression>,
    idle_client: Duration,
) -> Result<FlightStream> {
    let RunningQuery { id, batches, stats, .. } = running;
    let encoder = Encoder::new(compression)?;
    let (sender, receiver) = mpsc::channel(MESSAGES_IN_FLIGHT);
    let waiting = VecDeque::with_capacity(MESSAGES_IN_FLIGHT + 1);
    let pump = Pump { id, batches, stats, shape, encoder, sender, waiting, idle_client };
    query.threads().spawn(pump.run());
    Ok(messages(receiver, id).boxed())
}

/// The stream of rows that are all there.
///
/// # Errors
/// `internal`.
pub(crate) fn of_batch(batch: &RecordBatch, shape: &Shape, compression: Option<Compression>) -> Result<FlightStream> {
    let mut encoder = Encoder::new(compression)?;
    let mut messages = vec![Ok(encoder.schema(shape.schema()))];
    for part in shape.parts(batch)? {
        messages.push(Ok(encoder.batch(&part)?));
    }
    Ok(stream::iter(messages).boxed())
}

/// A message on its way. The pump takes it back from a client that does not come for it.
type Slot = Arc<Mutex<Option<FlightData>>>;

/// What the pump hands to the client's side.
enum Item {
    Message(Slot),
    /// The stream is whole.
    End(Box<QueryStatistics>),
    Failed(Error),
}

/// A channel that closes without an end broke.
fn messages(
    receiver: mpsc::Receiver<Item>,
    id: QueryId,
) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    stream::unfold(Some(receiver), move |receiver| async move {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Item::Message(slot)) => match slot.lock().take() {
                Some(message) => Some((Ok(message), Some(receiver))),
                None => Some((Err(Failure::of(idle(), id).into()), None)),
            },
            Some(Item::End(statistics)) => Some((Err(whole(&statistics)), None)),
            Some(Item::Failed(failed)) => Some((Err(Failure::of(failed, id).into()), None)),
            None => Some((Err(Failure::of(idle(), id).into()), None)),
        }
    })
}

fn idle() -> Error {
    Error::new(ErrorKind::Cancelled, "the client took nothing of the result for too long")
}

/// A status `ok` is what ends a stream well; this one has a trailer besides.
fn whole(statistics: &QueryStatistics) -> Status {
    let mut trailers = MetadataMap::new();
    if let Some(value) = serde_json::to_string(statistics).ok().and_then(|json| json.parse().ok()) {
        trailers.insert(STATISTICS, value);
    }
    Status::with_metadata(Code::Ok, "", trailers)
}

/// Why a stream stops early.
enum Stop {
    /// The client is gone.
    Gone,
    /// The client took nothing for too long.
    Idle,
    Failed(Error),
}

/// Moves batches from the query to the client.
struct Pump {
    id: QueryId,
    batches: BatchStream,
    stats: StatsHandle,
    shape: Shape,
    encoder: Encoder,
    sender: mpsc::Sender<Item>,
    /// The messages that the client may not have taken yet.
    waiting: VecDeque<Slot>,
    idle_client: Duration,
}

impl Pump {
    async fn run(mut self) {
        let id = self.id;
        match self.pump().await {
            Ok(()) => {
                let end = Item::End(Box::new(self.stats.snapshot()));
                let _: Result<(), Stop> = self.hand_over(end).await;
            }
            Err(Stop::Gone) => tracing::info!(query_id = %id, "the client went away"),
            Err(Stop::Idle) => {
                tracing::warn!(query_id = %id, "the client took nothing for too long");
                // It may hold its connection open for as long as it likes, but not these.
                self.waiting.drain(..).for_each(|slot| drop(slot.lock().take()));
            }
            Err(Stop::Failed(error)) => {
                tracing::warn!(query_id = %id, code = error.kind().code(), ?error, "failed after the first message");
                let _: Result<(), Stop> = self.hand_over(Item::Failed(error)).await;
            }
        }
    }

    async fn pump(&mut self) -> Result<(), Stop> {
        let schema = self.encoder.schema(self.shape.schema());
        self.send(schema).await?;
        while let Some(batch) = self.next().await? {
            for part in self.shape.parts(&batch).map_err(Stop::Failed)? {
                let message = self.encoder.batch(&part).map_err(Stop::Failed)?;
                self.send(message).await?;
            }
        }
        Ok(())
    }

    /// The next batch, or the news that nobody wants it.
    async fn next(&mut self) -> Result<Option<RecordBatch>, Stop> {
        tokio::select! {
            biased;
            () = self.sender.closed() => Err(Stop::Gone),
            next = self.batches.next() => next.transpose().map_err(Stop::Failed),
        }
    }

    async fn send(&mut self, message: FlightData) -> Result<(), Stop> {
        let bytes = message.data_header.len() + message.data_body.len();
        let slot = Slot::new(Mutex::new(Some(message)));
        if self.waiting.len() > MESSAGES_IN_FLIGHT {
            self.waiting.pop_front();
        }
        self.waiting.push_back(slot.clone());
        self.hand_over(Item::Message(slot)).await?;
        metrics::counter!("lakebed_flight_bytes_sent_total").increment(bytes as u64);
        Ok(())
    }

    async fn hand_over(&mut self, item: Item) -> Result<(), Stop> {
        use mpsc::error::SendTimeoutError as E;
        self.sender.send_timeout(item, self.idle_client).await.map_err(|error| match error {
            E::Timeout(_) => Stop::Idle,
            E::Closed(_) => Stop::Gone,
        })
    }
}
