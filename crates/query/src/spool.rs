//! Results of background queries: on the local disk, for a time and within a quota, also across a restart.
//!
//! Each execution has a record, a small JSON file, from before it is accepted until its time is over; one that ended well
//! has its rows beside it in an Arrow file. A file gets its name only when it is whole on the disk, rows before the record
//! that tells of them. So a start finds every execution as it was last told of: ended, or interrupted by what stopped the
//! process. Files that no record names are removed then.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakebed_types::{Clock, Error, ErrorKind, QueryId, Result, format_bytes};
use parking_lot::Mutex;

use crate::{history::QueryRecord, settings::QuerySettings};

mod disk;
mod kept;
mod record;
mod recover;
mod writer;

pub(crate) use kept::Kept;
pub use kept::ResultPage;
use record::Record;
pub(crate) use writer::{SpoolWriter, Written};

/// Results whose end is remembered, so that asking for one says `expired` and not `not_found`.
const REMEMBERED_ENDS: usize = 10_000;

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
    /// Waits or runs. Its record has this many bytes.
    Open(u64),
    /// Has ended, well or not.
    Kept(Arc<Kept>),
    /// Its time is over.
    Ended,
}

impl Spool {
    /// None where there is no directory for results. Also the executions that it has records of, oldest first: those that
    /// had not ended are `interrupted` now.
    pub(crate) fn open(settings: &QuerySettings, clock: Arc<dyn Clock>) -> Result<Option<(Self, Vec<QueryRecord>)>> {
        let Some(dir) = settings.spool_dir.clone() else { return Ok(None) };
        let spool = Self::empty(dir, settings.spool_bytes, settings.spool_lifetime, clock);
        let records = recover::recover(&spool)?;
        Ok(Some((spool, records)))
    }

    fn empty(dir: PathBuf, quota: u64, lifetime: Duration, clock: Arc<dyn Clock>) -> Self {
        let lifetime = chrono::Duration::from_std(lifetime.min(Duration::from_secs(u32::MAX.into())))
            .unwrap_or(chrono::Duration::MAX);
        Self { dir, quota, lifetime, clock, used: Arc::default(), slots: Mutex::default() }
    }

    fn record_path(&self, id: QueryId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    fn rows_path(&self, id: QueryId) -> PathBuf {
        self.dir.join(format!("{id}.arrow"))
    }

    /// Accepts an execution: from here on a start knows of it. Blocks on the disk.
    pub(crate) fn reserve(&self, record: &QueryRecord) -> Result<()> {
        self.sweep();
        if self.used.load(Ordering::Relaxed) >= self.quota {
            let text = format!("results in the background use all their {}", format_bytes(self.quota));
            return Err(Error::new(ErrorKind::Unavailable, text)
                .with_hint("Wait until older results expire, or run the query without the background."));
        }
        let bytes = Record::open(record).write(&self.record_path(record.id))?;
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.slots.lock().by_id.insert(record.id, Slot::Open(bytes));
        Ok(())
    }

    /// A file for the rows of an execution. Blocks on the disk.
    pub(crate) fn writer(&self, id: QueryId, schema: &SchemaRef) -> Result<SpoolWriter> {
        SpoolWriter::create(self.rows_path(id), schema, self.used.clone(), self.quota)
    }

    /// The execution has ended as `record` says; when this returns, a start knows that too. Blocks on the disk.
    pub(crate) fn close(&self, record: &QueryRecord, rows: Option<Written>) -> Result<()> {
        let expires = self.clock.now() + self.lifetime;
        let stored = Record::closed(record, expires, rows.as_ref());
        let bytes = stored.write(&self.record_path(record.id))?;
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let kept = self.keep(record.id, bytes, expires, rows.map(Written::into_ends));
        if let Some(Slot::Open(before)) = self.slots.lock().by_id.insert(record.id, Slot::Kept(Arc::new(kept))) {
            self.used.fetch_sub(before, Ordering::Relaxed);
        }
        Ok(())
    }

    /// `ends`: bytes of the rows' file, and rows up to the end of each batch.
    fn keep(&self, id: QueryId, record_bytes: u64, expires: DateTime<Utc>, ends: Option<(u64, Vec<u64>)>) -> Kept {
        let (rows_bytes, ends) = ends.map_or((0, None), |(bytes, ends)| (bytes, Some(ends)));
        let files = kept::Files {
            record: self.record_path(id),
            rows: ends.is_some().then(|| self.rows_path(id)),
            bytes: record_bytes + rows_bytes,
            used: self.used.clone(),
            over: false.into(),
        };
        Kept::new(files, ends.unwrap_or_default(), expires)
    }

    /// Whether an execution has not ended.
    pub(crate) fn has_open(&self) -> bool {
        self.slots.lock().by_id.values().any(|slot| matches!(slot, Slot::Open(_)))
    }

    /// The end of an execution could not be written down: a start will call it interrupted.
    pub(crate) fn give_up(&self, id: QueryId) {
        self.slots.lock().by_id.remove(&id);
    }

    /// The result of an execution that has ended well.
    pub(crate) fn kept(&self, id: QueryId) -> Result<Arc<Kept>> {
        let slot = self.slots.lock().by_id.get(&id).cloned();
        match slot {
            Some(Slot::Kept(kept)) if kept.expires() > self.clock.now() => Ok(kept),
            Some(Slot::Kept(_) | Slot::Ended) => {
                Err(Error::new(ErrorKind::Expired, format!("the result of query {id} has expired"))
                    .with_hint("Run the query again."))
            }
            Some(Slot::Open(_)) | None => {
                Err(Error::new(ErrorKind::NotFound, format!("query {id} has no kept result"))
                    .with_hint("Only queries that run in the background keep their result."))
            }
        }
    }

    /// The record of an execution that has ended, as long as it is kept: for those that the history no longer remembers.
    pub(crate) fn record(&self, id: QueryId) -> Option<QueryRecord> {
        let slot = self.slots.lock().by_id.get(&id).cloned();
        match slot? {
            Slot::Kept(_) => Record::read(&self.record_path(id)).ok().map(Record::into_history),
            Slot::Open(_) | Slot::Ended => None,
        }
    }

    /// Ends what is past its lifetime.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now();
        let mut slots = self.slots.lock();
        let is_over = |slot: &Slot| matches!(slot, Slot::Kept(kept) if kept.expires() <= now);
        let over: Vec<QueryId> = slots.by_id.iter().filter(|(_, slot)| is_over(slot)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(Slot::Kept(kept)) = slots.by_id.insert(id, Slot::Ended) {
                kept.end();
            }
            slots.ended.push_back(id);
        }
        while slots.ended.len() > REMEMBERED_ENDS {
            if let Some(id) = slots.ended.pop_front() {
                slots.by_id.remove(&id);
            }
        }
    }
}

/// A file of the spool, for messages.
fn disk_failed(path: &Path, error: &std::io::Error) -> Error {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Error::new(ErrorKind::DiskFailed, format!("the result {name} cannot be kept or read: {error}"))
}

#[cfg(test)]
mod tests;
