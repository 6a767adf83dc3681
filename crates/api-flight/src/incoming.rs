//! Arrow data that clients send. Nothing in it is believed: sizes are held against the message that they came in before
//! anything is allocated for them.

use std::{panic::AssertUnwindSafe, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{
    FlightData,
    decode::{DecodedPayload, FlightDataDecoder},
    error::FlightError,
};
use arrow_ipc::{Field, MessageHeader, RecordBatch as Header, root_as_message};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use lakebed_query::BatchStream;
use lakebed_types::{Error, ErrorKind, Result};
use tonic::{Code, Status, Streaming};

/// Fields of a schema, those within others included, and how deep they lie.
const MAX_FIELDS: usize = 10_000;
const MAX_DEPTH: usize = 32;
/// Rows of one message.
const MAX_ROWS: i64 = 16 << 20;
/// How much larger than a message its content may be once it is decompressed.
const MAX_EXPANSION: usize = 8;
/// Bytes before a compressed buffer that tell its size, and what they say of one that is not compressed.
const SIZE_PREFIX: usize = 8;
const NOT_COMPRESSED: i64 = -1;

/// What a client sends after its first message.
pub(crate) struct Incoming {
    pub(crate) first: FlightData,
    pub(crate) rest: Streaming<FlightData>,
}

/// Bounds on what is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a message.
    pub(crate) message_bytes: usize,
    /// How long a client may send nothing.
    pub(crate) idle: Duration,
}

impl Incoming {
    /// The schema, and the batches as they come.
    ///
    /// # Errors
    /// `invalid_request` for what is no Arrow data, `request_too_large` for what would be more than its message can hold.
    pub(crate) async fn open(self, bounds: Bounds) -> Result<(SchemaRef, BatchStream)> {
        let mut decoded = Box::pin(self.decoded(bounds));
        match decoded.next().await {
            Some(Ok(Part::Schema(schema))) => Ok((schema, Box::pin(decoded.filter_map(batch)))),
            Some(Ok(Part::Batch(_))) => Err(malformed("rows came before their schema")),
            Some(Err(error)) => Err(error),
            None => Err(malformed("there is no schema")),
        }
    }

    /// All of it, where there is little. None where the client sends no schema.
    ///
    /// # Errors
    /// As for [`Incoming::open`].
    pub(crate) async fn collect(
        self,
        bounds: Bounds,
        max_rows: usize,
    ) -> Result<Option<(SchemaRef, Vec<RecordBatch>)>> {
        let mut decoded = Box::pin(self.decoded(bounds));
        let schema = match decoded.try_next().await? {
            Some(Part::Schema(schema)) => schema,
            Some(Part::Batch(_)) => return Err(malformed("rows came before their schema")),
            None => return Ok(None),
        };
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(part) = decoded.try_next().await? {
            let Part::Batch(batch) = part else { return Err(malformed("there are two schemas")) };
            rows += batch.num_rows();
            if rows > max_rows {
                return Err(Error::new(ErrorKind::RequestTooLarge, format!("more than {max_rows} rows of parameters"))
                    .with_hint("Send rows with a bulk ingestion instead."));
            }
            batches.push(batch);
        }
        Ok(Some((schema, batches)))
    }

    fn decoded(self, bounds: Bounds) -> impl Stream<Item = Result<Part>> + Send {
        let first = stream::iter([Ok(self.first)]);
        let rest = waited(self.rest, bounds.idle);
        let checked = first.chain(rest).filter_map(move |data| async move {
            match data {
                // A message may be the descriptor alone.
                Ok(data) if data.data_header.is_empty() => None,
                Ok(data) => Some(check(&data, bounds).map(|()| data).map_err(ours)),
                Err(status) => Some(Err(FlightError::Tonic(Box::new(status)))),
            }
        });
        let decoder = AssertUnwindSafe(FlightDataDecoder::new(checked)).catch_unwind();
        decoder.filter_map(|part| async move {
            match part {
                Ok(Ok(part)) => match part.payload {
                    DecodedPayload::None => None,
                    DecodedPayload::Schema(schema) => Some(Ok(Part::Schema(schema))),
                    DecodedPayload::RecordBatch(batch) => Some(Ok(Part::Batch(batch))),
                },
                Ok(Err(error)) => Some(Err(theirs(error))),
                Err(_) => Some(Err(malformed("it contradicts itself"))),
            }
        })
    }
}

enum Part {
    Schema(SchemaRef),
    Batch(RecordBatch),
}

async fn batch(part: Result<Part>) -> Option<Result<RecordBatch>> {
    match part {
        Ok(Part::Batch(batch)) => Some(Ok(batch)),
        Ok(Part::Schema(_)) => Some(Err(malformed("there are two schemas"))),
        Err(error) => Some(Err(error)),
    }
}

/// Messages, none of which may be waited for longer than this.
fn waited(messages: Streaming<FlightData>, idle: Duration) -> impl Stream<Item = Result<FlightData, Status>> + Send {
    stream::unfold(Some(messages), move |messages| async move {
        let mut messages = messages?;
        match tokio::time::timeout(idle, messages.message()).boxed().await {
            Ok(Ok(Some(message))) => Some((Ok(message), Some(messages))),
            Ok(Ok(None)) => None,
            Ok(Err(status)) => Some((Err(status), None)),
            Err(_) => Some((Err(Status::cancelled("the client sent nothing for too long")), None)),
        }
    })
}

/// Holds what a message says of itself against what it has.
fn check(data: &FlightData, bounds: Bounds) -> Result<()> {
    let message = root_as_message(&data.data_header).map_err(|_| malformed("a message's header cannot be read"))?;
    match message.header_type() {
        MessageHeader::Schema => {
            let schema = message.header_as_schema().and_then(|schema| schema.fields());
            check_fields(schema.into_iter().flatten())
        }
        MessageHeader::RecordBatch => match message.header_as_record_batch() {
            Some(header) => check_batch(&header, &data.data_body, bounds),
            None => Err(malformed("a batch has no header")),
        },
        MessageHeader::DictionaryBatch => {
            match message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()) {
                Some(header) => check_batch(&header, &data.data_body, bounds),
                None => Err(malformed("a dictionary has no data")),
            }
        }
        _ => Err(malformed("a message is neither schema nor rows")),
    }
}

fn check_fields<'a>(fields: impl Iterator<Item = Field<'a>>) -> Result<()> {
    let mut open: Vec<(Field<'a>, usize)> = fields.take(MAX_FIELDS + 1).map(|field| (field, 1)).collect();
    let mut count = open.len();
    while let Some((field, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(too_complex(format!("the schema is deeper than {MAX_DEPTH} levels")));
        }
        let inner = field.children().into_iter().flatten().take(MAX_FIELDS + 1).map(|child| (child, depth + 1));
        let before = open.len();
        open.extend(inner);
        count += open.len() - before;
        if count > MAX_FIELDS {
            break;
        }
    }
    if count > MAX_FIELDS {
        return Err(too_complex(format!("the schema has more than {MAX_FIELDS} fields")));
    }
    Ok(())
}

fn check_batch(header: &Header<'_>, body: &[u8], bounds: Bounds) -> Result<()> {
    let in_range = |rows: i64| (0..=MAX_ROWS).contains(&rows);
    if !in_range(header.length()) {
        return Err(too_large(format!("a batch has more than {MAX_ROWS} rows")));
    }
    let nodes = header.nodes();
    // Lists within lists have more values than rows, and each takes room in the message.
    let most = i64::try_from(body.len()).unwrap_or(i64::MAX).saturating_mul(8).max(MAX_ROWS);
    if nodes.into_iter().flatten().any(|node| node.length() < 0 || node.length() > most || node.null_count() < 0) {
        return Err(malformed("a column has an impossible length"));
    }
    let mut decompressed = 0_i64;
    for buffer in header.buffers().into_iter().flatten() {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let bytes = range.and_then(|(at, length)| body.get(at..at.checked_add(length)?));
        let Some(bytes) = bytes else {
            return Err(malformed("a buffer lies outside its message"));
        };
        if header.compression().is_some() && !bytes.is_empty() {
            decompressed = decompressed.saturating_add(decompressed_size(bytes)?);
        }
    }
    let limit = i64::try_from(bounds.message_bytes.saturating_mul(MAX_EXPANSION)).unwrap_or(i64::MAX);
    if decompressed > limit {
        return Err(too_large("a batch is too large once it is decompressed".to_owned()));
    }
    Ok(())
}

fn decompressed_size(buffer: &[u8]) -> Result<i64> {
    let prefix = buffer.first_chunk::<SIZE_PREFIX>().ok_or_else(|| malformed("a compressed buffer has no size"))?;
    match i64::from_le_bytes(*prefix) {
        NOT_COMPRESSED => Ok(0),
        size @ 0.. => Ok(size),
        _ => Err(malformed("a compressed buffer has an impossible size")),
    }
}

fn malformed(what: &str) -> Error {
    Error::invalid_request(format!("the Arrow data cannot be read: {what}"))
}

fn too_large(what: String) -> Error {
    Error::new(ErrorKind::RequestTooLarge, what).with_hint("Send smaller batches.")
}

fn too_complex(what: String) -> Error {
    Error::new(ErrorKind::QueryTooComplex, what)
}

/// Through the decoder and back.
fn ours(error: Error) -> FlightError {
    FlightError::ExternalError(Box::new(error))
}

fn theirs(error: FlightError) -> Error {
    match error {
        FlightError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => malformed("it contradicts itself").with_source(other),
        },
        FlightError::Tonic(status) => of_status(&status),
        other => malformed("it contradicts itself").with_source(other),
    }
}

/// Why no more messages come.
pub(crate) fn of_status(status: &Status) -> Error {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            Error::new(ErrorKind::RequestTooLarge, "a message is larger than the server takes")
                .with_hint("Send smaller batches.")
        }
        Code::Internal | Code::InvalidArgument => malformed("a message is no Protocol Buffer"),
        _ => Error::new(ErrorKind::Cancelled, format!("the client did not send the rest: {}", status.message())),
    }
}
