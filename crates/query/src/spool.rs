//! Results of background queries: one Arrow file each, on the local disk, for a time and within a quota.
//!
//! The rows before each batch are remembered, so a page costs what its rows cost, wherever it lies.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
    ipc::{reader::FileReader, writer::FileWriter},
};
use chrono::{DateTime, Utc};
use lakebed_types::{Clock, Error, ErrorKind, QueryId, Result, format_bytes};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{error::from_arrow, session::empty_dir, settings::QuerySettings};

/// Results whose end is remembered, so that asking for one says `expired` and not `not_found`.
const REMEMBERED_ENDS: usize = 10_000;

/// Rows of a background query's result.
#[derive(Debug)]
pub struct ResultPage {
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// The rows asked for, in order.
    pub batches: Vec<RecordBatch>,
    /// Rows of the whole result.
    pub total_rows: u64,
    /// Rows before the first of these.
    pub offset: u64,
}

/// The results that are kept.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    quota: u64,
    lifetime: chrono::Duration,
    clock: Arc<dyn Clock>,
    used: Arc<AtomicU64>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_id: HashMap<QueryId, Slot>,
    ended: VecDeque<QueryId>,
}

#[derive(Debug, Clone)]
enum Slot {
    /// Cancelled when the writing is over, well or not.
    Writing(CancellationToken),
    Kept(Arc<Kept>),
    Ended,
}

/// A complete result. Its file goes with the last who reads it.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    schema: SchemaRef,
    /// Rows up to the end of each batch.
    ends: Vec<u64>,
    bytes: u64,
    used: Arc<AtomicU64>,
    expires: DateTime<Utc>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        remove(&self.path);
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Spool {
    /// None where there is no directory for results.
    pub(crate) fn new(settings: &QuerySettings, clock: Arc<dyn Clock>) -> Result<Option<Self>> {
        let Some(dir) = settings.spool_dir.clone() else { return Ok(None) };
        empty_dir(&dir)?;
        let lifetime = chrono::Duration::from_std(settings.spool_lifetime.min(Duration::from_secs(u32::MAX.into())))
            .unwrap_or(chrono::Duration::MAX);
        let (used, slots) = (Arc::default(), Mutex::default());
        Ok(Some(Self { dir, quota: settings.spool_bytes, lifetime, clock, used, slots }))
    }

    /// Makes room for a result to come.
    pub(crate) fn reserve(&self, id: QueryId) -> Result<()> {
        self.sweep();
        if self.used.load(Ordering::Relaxed) >= self.quota {
            let text = format!("results in the background use all their {}", format_bytes(self.quota));
            return Err(Error::new(ErrorKind::Unavailable, text)
                .with_hint("Wait until older results expire, or run the query without the background."));
        }
        self.slots.lock().by_id.insert(id, Slot::Writing(CancellationToken::new()));
        Ok(())
    }

    /// A file for this result. Blocks on the disk.
    pub(crate) fn writer(&self, id: QueryId, schema: &SchemaRef) -> Result<SpoolWriter> {
        let path = self.dir.join(format!("{id}.arrow"));
        let schema = without_dictionaries(schema);
        let file = File::create_new(&path).map_err(|error| disk_failed(&path, &error))?;
        let counted = Counted { file: BufWriter::new(file), bytes: 0, used: self.used.clone(), quota: self.quota };
        let writer = FileWriter::try_new(counted, &schema).map_err(from_arrow)?;
        Ok(SpoolWriter { writer: Some(writer), path, schema, ends: Vec::new(), used: self.used.clone() })
    }

    /// The result is complete.
    pub(crate) fn keep(&self, id: QueryId, writer: SpoolWriter) -> Result<()> {
        let kept = writer.finish(self.clock.now() + self.lifetime)?;
        self.settle(id, Some(Slot::Kept(Arc::new(kept))));
        Ok(())
    }

    /// There will be no result.
    pub(crate) fn give_up(&self, id: QueryId) {
        self.settle(id, None);
    }

    fn settle(&self, id: QueryId, slot: Option<Slot>) {
        let mut slots = self.slots.lock();
        let before = match slot {
            Some(slot) => slots.by_id.insert(id, slot),
            None => slots.by_id.remove(&id),
        };
        if let Some(Slot::Writing(done)) = before {
            done.cancel();
        }
    }

    /// The result of an execution that has ended well; waits for its last bytes.
    pub(crate) async fn kept(&self, id: QueryId) -> Result<Arc<Kept>> {
        loop {
            let slot = self.slots.lock().by_id.get(&id).cloned();
            match slot {
                Some(Slot::Kept(kept)) if kept.expires > self.clock.now() => return Ok(kept),
                Some(Slot::Kept(_) | Slot::Ended) => {
                    return Err(Error::new(ErrorKind::Expired, format!("the result of query {id} has expired"))
                        .with_hint("Run the query again."));
                }
                Some(Slot::Writing(done)) => done.cancelled().await,
                None => {
                    return Err(Error::new(ErrorKind::NotFound, format!("query {id} has no kept result"))
                        .with_hint("Only queries that run in the background keep their result."));
                }
            }
        }
    }

    /// Ends what is past its lifetime.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now();
        let mut slots = self.slots.lock();
        let is_over = |slot: &Slot| matches!(slot, Slot::Kept(kept) if kept.expires <= now);
        let over: Vec<QueryId> = slots.by_id.iter().filter(|(_, slot)| is_over(slot)).map(|(id, _)| *id).collect();
        for id in over {
            slots.by_id.insert(id, Slot::Ended);
            slots.ended.push_back(id);
        }
        while slots.ended.len() > REMEMBERED_ENDS {
            if let Some(id) = slots.ended.pop_front() {
                slots.by_id.remove(&id);
            }
        }
    }
}

impl Kept {
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn rows(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Rows `offset..offset + limit`. Blocks on the disk.
    pub(crate) fn page(&self, offset: u64, limit: usize) -> Result<ResultPage> {
        let mut batches = Vec::new();
        let mut missing = limit;
        let first = self.ends.partition_point(|end| *end <= offset);
        let before = first.checked_sub(1).map_or(0, |batch| self.ends[batch]);
        let mut skip = usize::try_from(offset.saturating_sub(before)).unwrap_or(usize::MAX);
        let mut reader = self.open()?;
        for batch in first..self.ends.len() {
            if missing == 0 {
                break;
            }
            reader.set_index(batch).map_err(from_arrow)?;
            let Some(batch) = reader.next() else { break };
            let batch = batch.map_err(from_arrow)?;
            let rows = missing.min(batch.num_rows().saturating_sub(skip));
            batches.push(batch.slice(skip, rows));
            missing -= rows;
            skip = 0;
        }
        Ok(ResultPage { schema: self.schema.clone(), batches, total_rows: self.rows(), offset })
    }

    /// All batches, one by one. Blocks on the disk.
    pub(crate) fn batches(&self) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        Ok(self.open()?.map(|batch| batch.map_err(from_arrow)))
    }

    fn open(&self) -> Result<FileReader<BufReader<File>>> {
        let file = File::open(&self.path).map_err(|error| disk_failed(&self.path, &error))?;
        FileReader::try_new(BufReader::new(file), None).map_err(from_arrow)
    }
}

/// A result that is being written. Dropping it unfinished removes the file.
pub(crate) struct SpoolWriter {
    writer: Option<FileWriter<Counted>>,
    path: PathBuf,
    schema: SchemaRef,
    ends: Vec<u64>,
    used: Arc<AtomicU64>,
}

impl SpoolWriter {
    /// Blocks on the disk.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<Vec<_>, _>>();
        let batch = RecordBatch::try_new(self.schema.clone(), columns.map_err(from_arrow)?).map_err(from_arrow)?;
        let path = &self.path;
        if let Some(writer) = &mut self.writer {
            writer.write(&batch).map_err(|error| write_failed(path, error))?;
        }
        let before = self.ends.last().copied().unwrap_or(0);
        self.ends.push(before + batch.num_rows() as u64);
        Ok(())
    }

    fn finish(mut self, expires: DateTime<Utc>) -> Result<Kept> {
        let path = self.path.clone();
        if let Some(writer) = &mut self.writer {
            writer.finish().map_err(|error| write_failed(&path, error))?;
        }
        let bytes = self.writer.take().map_or(0, |writer| writer.get_ref().bytes);
        let (schema, ends) = (self.schema.clone(), std::mem::take(&mut self.ends));
        Ok(Kept { path, schema, ends, bytes, used: self.used.clone(), expires })
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.used.fetch_sub(writer.get_ref().bytes, Ordering::Relaxed);
            remove(&self.path);
        }
    }
}

/// Counts what is written, into the quota of all results.
struct Counted {
    file: BufWriter<File>,
    bytes: u64,
    used: Arc<AtomicU64>,
    quota: u64,
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.used.load(Ordering::Relaxed).saturating_add(buffer.len() as u64) > self.quota {
            return Err(io::Error::from(io::ErrorKind::QuotaExceeded));
        }
        let written = self.file.write(buffer)?;
        self.bytes += written as u64;
        self.used.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn write_failed(path: &Path, error: arrow::error::ArrowError) -> Error {
    match error {
        arrow::error::ArrowError::IoError(_, error) if error.kind() == io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::ResultTooLarge, "the result is larger than the space that is left for results")
                .with_hint("Write it with COPY … TO or CREATE TABLE … AS instead.")
        }
        arrow::error::ArrowError::IoError(_, error) => disk_failed(path, &error),
        other => from_arrow(other),
    }
}

fn disk_failed(path: &Path, error: &io::Error) -> Error {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Error::new(ErrorKind::DiskFailed, format!("the result {name} cannot be kept or read: {error}"))
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a result that has ended could not be removed");
    }
}

/// An Arrow file has one dictionary for each column, and our batches may each bring another.
fn without_dictionaries(schema: &SchemaRef) -> SchemaRef {
    let plain = |field: &Arc<Field>| match field.data_type() {
        DataType::Dictionary(_, values) => Arc::new(field.as_ref().clone().with_data_type(values.as_ref().clone())),
        _ => field.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
