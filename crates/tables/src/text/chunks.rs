//! The bytes of one file → chunks of whole records, in order: fetched ahead, inflated, cut where a record ends.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::physical_plan::metrics::Count;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use lakebed_storage::{ObjectVersion, classify};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::ObjectStore;
use tokio::sync::mpsc;

use super::{
    csv,
    inflate::{Damaged, Inflater},
    json,
    span::Malformed,
};
use crate::{DataFile, FileKind};

/// Aim of a chunk: decoded in a few milliseconds, and large enough that tasks and channels cost nothing.
const CHUNK_BYTES: usize = 1 << 20;
/// Aim of a file's first chunk, so that a `LIMIT` or a slow store has its first rows early.
const FIRST_CHUNK_BYTES: usize = 64 << 10;
/// The longest record that is read. A file without line ends (or a quote that is never closed) ends here, not in memory.
/// There is no limit on how far a file inflates: repetitive text packs better than 1000:1, and memory stays flat.
pub(super) const MAX_RECORD_BYTES: usize = 16 << 20;
/// Requests grow from the first size to the largest.
const FIRST_FETCH_BYTES: u64 = 1 << 20;
const MAX_FETCH_BYTES: u64 = 4 << 20;
/// Requests of one file that are under way at once.
const FETCHES_AHEAD: usize = 3;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whole records, one after the other.
#[derive(Debug)]
pub(super) struct Chunk {
    pub data: Vec<u8>,
    /// Whether it begins the file: here a header may stand.
    pub is_first: bool,
    /// Line ends in the file before it.
    pub lines_before: u64,
}

/// What a chunk stream says about its file when it fails.
#[derive(Debug)]
pub(super) struct Source {
    pub store: Arc<dyn ObjectStore>,
    pub version: ObjectVersion,
    /// The file's URL, for messages.
    pub name: String,
    /// Counts what is fetched.
    pub bytes_scanned: Count,
}

impl Source {
    /// The file's bytes in order: a few growing ranges under way at once. All of them are of the version that was
    /// listed, or it is an error.
    pub fn fetch(self: Arc<Self>) -> impl Stream<Item = Result<Bytes>> {
        stream::iter(fetch_ranges(self.version.meta().size))
            .map(move |range| {
                let source = Arc::clone(&self);
                async move { source.fetch_range(range).await }
            })
            .buffered(FETCHES_AHEAD)
    }

    /// One range of the file.
    pub async fn fetch_range(&self, range: Range<u64>) -> Result<Bytes> {
        let length = range.end - range.start;
        let options = self.version.range(range);
        let path = &self.version.meta().location;
        let got = self.store.get_opts(path, options).await.map_err(|error| self.store_error(error))?;
        let bytes = got.bytes().await.map_err(|error| self.store_error(error))?;
        if bytes.len() as u64 != length {
            return Err(self.changed());
        }
        self.bytes_scanned.add(bytes.len());
        Ok(bytes)
    }

    fn store_error(&self, error: object_store::Error) -> Error {
        match error {
            object_store::Error::Precondition { .. } => self.changed(),
            error => classify(error, &self.name),
        }
    }

    fn changed(&self) -> Error {
        Error::new(ErrorKind::Conflict, format!("`{}` changed since it was listed", self.name))
            .with_hint("Refresh the table, then run the query again.")
    }

    /// `{file} {what}`, for damaged files.
    pub fn corrupt(&self, what: &str) -> Error {
        Error::new(ErrorKind::CorruptFile, format!("`{}` {what}", self.name))
    }
}

fn fetch_ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    let (mut start, mut length) = (0, FIRST_FETCH_BYTES);
    std::iter::from_fn(move || {
        let end = size.min(start + length);
        let range = start..end;
        (start, length) = (end, (length * 2).min(MAX_FETCH_BYTES));
        (!range.is_empty()).then_some(range)
    })
}

/// Cuts a file's text at ends of records.
pub(super) struct Cutter {
    inflater: Inflater,
    shape: Shape,
    buffer: Vec<u8>,
    is_first: bool,
    lines: u64,
    max_record_bytes: usize,
    chunk_bytes: usize,
}

/// What ends a record. JSON is looked at first: it may be an array.
enum Shape {
    Unknown { kind: FileKind, dialect: csv::Dialect, multi_line: bool },
    Csv(csv::RecordEnds),
    Json(json::RecordEnds),
}

impl Cutter {
    pub fn new(file: &DataFile, kind: FileKind, max_record_bytes: usize) -> Result<Self, Damaged> {
        let (dialect, multi_line) = (csv::Dialect::from(&file.text), file.text.multi_line);
        Ok(Self {
            inflater: Inflater::new(file.compression)?,
            shape: Shape::Unknown { kind, dialect, multi_line },
            buffer: Vec::new(),
            is_first: true,
            lines: 0,
            max_record_bytes,
            chunk_bytes: CHUNK_BYTES,
        })
    }

    #[cfg(test)]
    pub fn with_chunk_bytes(self, chunk_bytes: usize) -> Self {
        Self { chunk_bytes, ..self }
    }

    /// All chunks that `input` completes.
    #[cfg(test)]
    pub fn feed(&mut self, mut input: &[u8]) -> Result<Vec<Chunk>, String> {
        let mut chunks = Vec::new();
        loop {
            let (used, grew, chunk) = self.push(input).map_err(|fault| format!("{fault:?}"))?;
            input = &input[used..];
            chunks.extend(chunk);
            if used == 0 && !grew {
                return Ok(chunks);
            }
        }
    }

    #[cfg(test)]
    pub fn end(&mut self) -> Result<Option<Chunk>, String> {
        self.finish().map_err(|fault| format!("{fault:?}"))
    }

    /// Takes a piece of `input`. Returns how much of it was used, whether that made more text and, where enough
    /// records are whole, a chunk.
    fn push(&mut self, input: &[u8]) -> Result<(usize, bool, Option<Chunk>), Fault> {
        let before = self.buffer.len();
        let used = self.inflater.step(input, &mut self.buffer)?;
        let grew = self.buffer.len() > before;
        if !grew {
            return Ok((used, false, None));
        }
        let boundary = self.boundary(false)?;
        if self.buffer.len() - boundary > self.max_record_bytes {
            return Err(Fault::LongRecord);
        }
        let aim = if self.is_first { self.chunk_bytes.min(FIRST_CHUNK_BYTES) } else { self.chunk_bytes };
        Ok((used, true, if boundary >= aim { Some(self.cut(boundary)) } else { None }))
    }

    /// What is left when the input ends.
    fn finish(&mut self) -> Result<Option<Chunk>, Fault> {
        if !self.inflater.is_complete() {
            return Err(Fault::Corrupt("ends in the middle of its compressed data"));
        }
        let boundary = self.boundary(true)?;
        let end = match &self.shape {
            Shape::Json(ends) if !ends.is_complete() => return Err(Fault::Corrupt("ends in the middle of its JSON")),
            Shape::Json(ends) if ends.has_ended() => boundary,
            _ => self.buffer.len(),
        };
        Ok((end > 0).then(|| self.cut(end)))
    }

    fn boundary(&mut self, at_end: bool) -> Result<usize, Fault> {
        if matches!(self.shape, Shape::Unknown { .. }) && !self.begin(at_end) {
            return Ok(0);
        }
        match &mut self.shape {
            Shape::Unknown { .. } => Ok(0),
            Shape::Csv(ends) => Ok(ends.scan(&self.buffer)),
            Shape::Json(ends) => Ok(ends.scan(&self.buffer)?),
        }
    }

    /// Takes away the byte order mark and, of a JSON array, everything up to its bracket. False if more is needed.
    fn begin(&mut self, at_end: bool) -> bool {
        let Shape::Unknown { kind, dialect, multi_line } = self.shape else { return true };
        if self.buffer.len() < BYTE_ORDER_MARK.len() && !at_end {
            return false;
        }
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        if kind == FileKind::Csv {
            self.shape = Shape::Csv(csv::RecordEnds::new(dialect));
            return true;
        }
        let start = json::skip_space(&self.buffer, 0, false);
        let layout = match self.buffer.get(start) {
            None if !at_end => return false,
            Some(b'[') => json::Layout::Array,
            _ if multi_line => json::Layout::Objects,
            _ => json::Layout::Lines,
        };
        if layout == json::Layout::Array {
            self.lines += count_lines(&self.buffer[..start]);
            self.buffer.drain(..=start);
        }
        self.shape = Shape::Json(json::RecordEnds::new(layout));
        true
    }

    fn cut(&mut self, at: usize) -> Chunk {
        let mut rest = Vec::with_capacity(self.chunk_bytes + self.chunk_bytes / 2);
        rest.extend_from_slice(&self.buffer[at..]);
        let mut data = std::mem::replace(&mut self.buffer, rest);
        data.truncate(at);
        match &mut self.shape {
            Shape::Csv(ends) => ends.cut(at),
            Shape::Json(ends) => ends.cut(at),
            Shape::Unknown { .. } => {}
        }
        let lines = count_lines(&data);
        let chunk = Chunk { data, is_first: self.is_first, lines_before: self.lines };
        self.is_first = false;
        self.lines += lines;
        chunk
    }
}

fn count_lines(data: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', data).count() as u64
}

/// Why a file's text cannot be cut.
#[derive(Debug)]
enum Fault {
    Corrupt(&'static str),
    LongRecord,
}

impl From<Damaged> for Fault {
    fn from(Damaged(what): Damaged) -> Self {
        Fault::Corrupt(what)
    }
}

impl From<Malformed> for Fault {
    fn from(Malformed(what): Malformed) -> Self {
        Fault::Corrupt(what)
    }
}

impl Fault {
    fn into_error(self, source: &Source, max_record_bytes: usize) -> Error {
        match self {
            Fault::Corrupt(what) => source.corrupt(what),
            Fault::LongRecord => {
                let limit = lakebed_types::format_bytes(max_record_bytes as u64);
                source
                    .corrupt(&format!("has a record longer than {limit}"))
                    .with_hint("Look for a quote that is never closed, or for a file that has no line ends.")
            }
        }
    }
}

/// Fetches, inflates and cuts until the file or the receiver ends.
pub(super) async fn pump(source: Arc<Source>, mut cutter: Cutter, chunks: mpsc::Sender<Result<Chunk>>) {
    if let Err(Some(error)) = pump_chunks(&source, &mut cutter, &chunks).await {
        // Nobody listens any more: nothing to tell.
        let _ = chunks.send(Err(error)).await;
    }
}

/// `Err(None)`: the receiver is gone.
async fn pump_chunks(
    source: &Arc<Source>,
    cutter: &mut Cutter,
    chunks: &mpsc::Sender<Result<Chunk>>,
) -> Result<(), Option<Error>> {
    let limit = cutter.max_record_bytes;
    let fault = |fault: Fault| Some(fault.into_error(source, limit));
    let mut fetched = std::pin::pin!(Arc::clone(source).fetch());
    while let Some(bytes) = fetched.try_next().await.map_err(Some)? {
        let mut input = &bytes[..];
        loop {
            let (used, grew, chunk) = cutter.push(input).map_err(fault)?;
            input = &input[used..];
            if let Some(chunk) = chunk {
                chunks.send(Ok(chunk)).await.map_err(|_| None)?;
            }
            if used == 0 && !grew {
                break;
            }
        }
        if !input.is_empty() {
            return Err(Some(source.corrupt("holds compressed data that cannot be read on")));
        }
    }
    if let Some(chunk) = cutter.finish().map_err(fault)? {
        chunks.send(Ok(chunk)).await.map_err(|_| None)?;
    }
    Ok(())
}
