//! A running query as a response body: encoded batch by batch off the I/O threads, never buffered as a whole.
//!
//! A failure after the first byte is always visible: NDJSON and JSON carry it in their last bytes, the other formats
//! end without the end of the chunked body, so that no client can take a part for the whole.

use std::time::Duration;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream::Fuse};
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_query::{BatchStream, RunningQuery, StatsHandle};
use lakebed_types::{Error, QueryId, QueryStatistics, Result};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::{
    compress::Compressor,
    error::{ApiError, ApiResult, problem, status},
    negotiate::Delivery,
};

/// Encoded chunks that wait for a slow client, besides the one being made.
const CHUNKS_IN_FLIGHT: usize = 2;
/// Encoded bytes of text that are made at once: a first byte soon, and little memory however large a batch is as text.
const CHUNK_BYTES: usize = 1 << 20;
/// Rows of the first chunk of text, before it is known how long a row is.
const FIRST_ROWS: usize = 1024;
/// Cells (rows × columns) that are encoded on the spot: the way to another thread costs more.
const CELLS_ON_THE_SPOT: usize = 4096;

/// What a JSON document says around its rows. Other formats have only rows.
pub(crate) struct Document {
    /// Members before the rows.
    pub(crate) preamble: Map<String, Value>,
    /// The name of the array of rows; None = `data`.
    pub(crate) rows_member: Option<&'static str>,
    /// Whether `columns` is written before the rows.
    pub(crate) columns: bool,
    /// Rows after which the document ends; the trailer is told whether there were more.
    pub(crate) row_limit: Option<u64>,
    /// Members after the rows.
    pub(crate) trailer: Trailer,
}

impl Document {
    fn split(self, delivery: Delivery) -> (EncodeOptions, Trailer) {
        let options = EncodeOptions {
            numbers: delivery.numbers,
            preamble: self.preamble,
            rows_member: self.rows_member,
            without_columns: !self.columns,
        };
        (options, self.trailer)
    }
}

/// Makes the last members of a JSON document, once the rows are out.
pub(crate) type Trailer = Box<dyn FnOnce(&Ended) -> Map<String, Value> + Send>;

/// How a result ended.
pub(crate) struct Ended {
    /// Rows that were sent.
    pub(crate) rows: u64,
    /// Whether the row limit held some back.
    pub(crate) more: bool,
    /// Final statistics; None for results that come from a spool.
    pub(crate) statistics: Option<QueryStatistics>,
}

/// Rows on their way out.
pub(crate) struct Source {
    pub(crate) id: QueryId,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: BatchStream,
    pub(crate) stats: Option<StatsHandle>,
}

impl From<RunningQuery> for Source {
    fn from(running: RunningQuery) -> Self {
        Self { id: running.id, schema: running.schema, batches: running.batches, stats: Some(running.stats) }
    }
}

/// The response of a running query. Waits for its first batch, so that a failure before it has its own status.
pub(crate) async fn respond(
    source: Source,
    delivery: Delivery,
    document: Document,
    idle_client: Duration,
) -> ApiResult<Response> {
    let Source { id, schema, batches, stats } = source;
    let failed = |error| ApiError::of(error, id);
    // Fused: a result without any batch is asked once more by the pump.
    let mut batches = batches.fuse();
    let rest = batches.next().await.transpose().map_err(failed)?;
    let timing = stats.as_ref().map(|stats| server_timing(&stats.snapshot()));

    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let row_limit = document.row_limit;
    let (options, trailer) = document.split(delivery);
    let writer = Writer::new(delivery, schema, options).map_err(failed)?;
    let part_rows = if writer.text { FIRST_ROWS } else { usize::MAX };
    let writer = Some(writer);
    let mut pump =
        Pump { id, batches, rest, part_rows, stats, writer, sender, rows: 0, row_limit, more: false, idle_client };
    let head = pump.begin().await.map_err(failed)?;
    tokio::spawn(pump.run(head, trailer));

    let mut response = head_of(id, delivery);
    if let Some(timing) = timing.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert("server-timing", timing);
    }
    *response.body_mut() = Body::from_stream(chunks(receiver));
    Ok(response)
}

/// A small result that is all there: one page. JSON only has a document around it.
pub(crate) async fn page(
    id: QueryId,
    (schema, batches): (SchemaRef, Vec<RecordBatch>),
    delivery: Delivery,
    document: Document,
) -> ApiResult<Response> {
    let failed = |error| ApiError::of(error, id);
    let (options, trailer) = document.split(delivery);
    let mut writer = Writer::new(delivery, schema, options).map_err(failed)?;
    let ended = Ended { rows: batches.iter().map(|b| b.num_rows() as u64).sum(), more: false, statistics: None };
    let trailer = trailer(&ended);
    let cells = batches.iter().map(cells).sum();
    let body = off_runtime(cells, move || {
        let mut body = BytesMut::from(writer.begin()?.as_ref());
        for batch in &batches {
            body.extend_from_slice(&writer.batch(batch)?);
        }
        body.extend_from_slice(&writer.finish(&trailer)?);
        Ok(body.freeze())
    });
    let mut response = head_of(id, delivery);
    *response.body_mut() = Body::from(body.await.map_err(failed)?);
    Ok(response)
}

fn head_of(id: QueryId, delivery: Delivery) -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(id);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(delivery.format.media_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if let Some(coding) = delivery.coding.header() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// `Server-Timing` as it stands at the first byte.
fn server_timing(statistics: &QueryStatistics) -> String {
    let first = statistics.first_row_ms.map(|ms| format!(", first;dur={ms:.2}")).unwrap_or_default();
    format!("queue;dur={:.2}, plan;dur={:.2}{first}", statistics.queue_ms, statistics.planning_ms)
}

/// What the pump hands to the body.
enum Chunk {
    Bytes(Bytes),
    /// The body is whole. A channel that closes without it broke.
    End,
}

fn chunks(receiver: mpsc::Receiver<Chunk>) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    futures::stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Chunk::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Chunk::End) => None,
            None => Some((Err(std::io::Error::other("the result broke off")), None)),
        }
    })
}

/// Why a result stops early.
enum Stop {
    /// The client is gone.
    Gone,
    /// The client took nothing for too long.
    Idle,
    Failed(Error),
}

/// Moves batches from the query to the body.
struct Pump {
    id: QueryId,
    batches: Fuse<BatchStream>,
    /// What is left of the batch that is being sent.
    rest: Option<RecordBatch>,
    /// Rows that are encoded at once.
    part_rows: usize,
    stats: Option<StatsHandle>,
    /// Away only while a batch is being encoded.
    writer: Option<Writer>,
    sender: mpsc::Sender<Chunk>,
    rows: u64,
    row_limit: Option<u64>,
    more: bool,
    idle_client: Duration,
}

impl Pump {
    /// The first bytes: whatever the format begins with and the first rows.
    async fn begin(&mut self) -> Result<Bytes> {
        let head = self.encode(Writer::begin, 0).await?;
        let Some(part) = self.part_of_rest() else { return Ok(head) };
        let rows = self.encode_part(part).await?;
        Ok([head, rows].concat().into())
    }

    async fn run(mut self, head: Bytes, trailer: Trailer) {
        let id = self.id;
        match self.pump(head).await {
            Ok(()) => {
                if let Err(Stop::Failed(error)) = self.finish(trailer).await {
                    tracing::error!(query_id = %id, error = ?error, "ending a result failed");
                }
            }
            Err(Stop::Gone) => tracing::info!(query_id = %id, rows = self.rows, "the client went away"),
            Err(Stop::Idle) => tracing::warn!(query_id = %id, rows = self.rows, "the client took nothing for too long"),
            Err(Stop::Failed(error)) => {
                tracing::warn!(query_id = %id, code = error.kind().code(), error = ?error, "failed after the first byte");
                self.fail(&error).await;
            }
        }
    }

    async fn pump(&mut self, head: Bytes) -> Result<(), Stop> {
        self.send(head).await?;
        loop {
            while let Some(part) = self.part_of_rest() {
                let bytes = self.encode_part(part).await.map_err(Stop::Failed)?;
                self.send(bytes).await?;
            }
            self.rest = self.next().await?;
            if self.rest.is_none() {
                return Ok(());
            }
        }
    }

    /// The next rows to encode, off the batch that is there.
    fn part_of_rest(&mut self) -> Option<RecordBatch> {
        let batch = self.rest.take().filter(|batch| batch.num_rows() > 0)?;
        if batch.num_rows() <= self.part_rows {
            return Some(batch);
        }
        self.rest = Some(batch.slice(self.part_rows, batch.num_rows() - self.part_rows));
        Some(batch.slice(0, self.part_rows))
    }

    /// The next batch, or the news that nobody wants it.
    async fn next(&mut self) -> Result<Option<RecordBatch>, Stop> {
        tokio::select! {
            biased;
            () = self.sender.closed() => Err(Stop::Gone),
            next = self.batches.next() => next.transpose().map_err(Stop::Failed),
        }
    }

    async fn encode_part(&mut self, mut part: RecordBatch) -> Result<Bytes> {
        let left = self.row_limit.map_or(u64::MAX, |limit| limit - self.rows);
        if part.num_rows() as u64 > left {
            self.more = true;
            part = part.slice(0, left as usize);
        }
        let rows = part.num_rows();
        if rows == 0 {
            return Ok(Bytes::new());
        }
        self.rows += rows as u64;
        let cells = cells(&part);
        let bytes = self.encode(move |writer| writer.batch(&part), cells).await?;
        if let Some(writer) = self.writer.as_ref().filter(|writer| writer.text && writer.encoded > 0) {
            self.part_rows = (rows * CHUNK_BYTES / writer.encoded).max(1);
        }
        Ok(bytes)
    }

    async fn encode(
        &mut self,
        work: impl FnOnce(&mut Writer) -> Result<Bytes> + Send + 'static,
        cells: usize,
    ) -> Result<Bytes> {
        let mut writer = self.take_writer()?;
        // The writer comes back also after a failure: it can still say in the body what went wrong.
        let (writer, bytes) = off_runtime(cells, move || {
            let bytes = work(&mut writer);
            Ok((writer, bytes))
        })
        .await?;
        self.writer = Some(writer);
        bytes
    }

    fn take_writer(&mut self) -> Result<Writer> {
        self.writer.take().ok_or_else(|| Error::internal("the encoder of a result was lost"))
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Stop> {
        match bytes.is_empty() {
            true => Ok(()),
            false => self.hand_over(Chunk::Bytes(bytes)).await,
        }
    }

    async fn hand_over(&mut self, chunk: Chunk) -> Result<(), Stop> {
        use mpsc::error::SendTimeoutError as E;
        self.sender.send_timeout(chunk, self.idle_client).await.map_err(|error| match error {
            E::Timeout(_) => Stop::Idle,
            E::Closed(_) => Stop::Gone,
        })
    }

    async fn finish(&mut self, trailer: Trailer) -> Result<(), Stop> {
        let statistics = self.stats.as_ref().map(StatsHandle::snapshot);
        let trailer = trailer(&Ended { rows: self.rows, more: self.more, statistics });
        let writer = self.take_writer().map_err(Stop::Failed)?;
        let cells = if writer.ends_heavily { usize::MAX } else { 0 };
        let bytes = off_runtime(cells, move || writer.finish(&trailer)).await.map_err(Stop::Failed)?;
        self.send(bytes).await?;
        self.hand_over(Chunk::End).await
    }

    /// Says in the body what went wrong, where the format has a place for it; else the body breaks off.
    async fn fail(&mut self, error: &Error) {
        let problem = problem(error, status(error.kind()), self.id);
        let Some(bytes) = self.writer.take().and_then(|writer| writer.fail(&problem)) else { return };
        if self.send(bytes).await.is_ok() {
            let _: Result<(), Stop> = self.hand_over(Chunk::End).await;
        }
    }
}

fn cells(batch: &RecordBatch) -> usize {
    batch.num_rows() * batch.num_columns().max(1)
}

/// Runs CPU work away from the I/O threads, unless it is small.
async fn off_runtime<T: Send + 'static>(cells: usize, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if cells <= CELLS_ON_THE_SPOT {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::internal("encoding a result failed").with_source(panic)))
}

/// Encoder and compression of one result.
struct Writer {
    encoder: Encoder,
    compressor: Compressor,
    /// Whether rows become text, which takes more bytes than they do in memory.
    text: bool,
    /// Bytes of the last rows before compression.
    encoded: usize,
    /// Parquet's last bytes are a whole row group.
    ends_heavily: bool,
}

impl Writer {
    fn new(delivery: Delivery, schema: SchemaRef, options: EncodeOptions) -> Result<Self> {
        let encoder = Encoder::new(delivery.format, schema, options)?;
        let text = matches!(delivery.format, Format::Json | Format::NdJson | Format::Csv);
        let ends_heavily = delivery.format == Format::Parquet;
        Ok(Self { encoder, compressor: Compressor::new(delivery.coding)?, text, encoded: 0, ends_heavily })
    }

    fn begin(&mut self) -> Result<Bytes> {
        let bytes = self.encoder.begin()?;
        self.compressor.push(bytes)
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let bytes = self.encoder.batch(batch)?;
        self.encoded = bytes.len();
        self.compressor.push(bytes)
    }

    fn finish(self, trailer: &Map<String, Value>) -> Result<Bytes> {
        let bytes = self.encoder.finish(trailer)?;
        self.compressor.finish(bytes)
    }

    fn fail(self, problem: &Value) -> Option<Bytes> {
        let bytes = self.encoder.fail(problem)?;
        self.compressor.finish(bytes).ok()
    }
}

/// A trailer that says nothing.
pub(crate) fn no_trailer() -> Trailer {
    Box::new(|_| Map::new())
}
