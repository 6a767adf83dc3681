//! The log as the rest of the crate has it: entries go in, their fate comes out.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use lakebed_types::{Clock, Error, ErrorKind, Result, TableName};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    folder::LogFolder,
    tracked::{TrackedFile, needed_bytes},
    writer::Writer,
};
use crate::faults::Faults;

/// Entries that may wait.
const QUEUE: usize = 4096;

/// What is called when an entry's fate is known, in the order of positions and on the writer's thread.
pub(crate) type Deliver = Box<dyn FnOnce(Result<u64>) + Send>;

/// One record on its way.
pub(crate) struct Entry {
    /// Encoded, without its position.
    pub(crate) record: Vec<u8>,
    /// The tables that need it until they are flushed: beyond its own position, or up to the given one.
    pub(crate) tables: Vec<(TableName, Option<u64>)>,
    /// Whether it must be on stable storage before it is delivered.
    pub(crate) sync: bool,
    pub(crate) deliver: Deliver,
}

pub(super) enum Command {
    Append(Entry),
    Flushed(TableName, u64),
}

/// What the writer begins with.
pub(crate) struct LogStart {
    pub(crate) folder: LogFolder,
    /// Files of earlier runs.
    pub(crate) files: Vec<TrackedFile>,
    /// The position of the next record.
    pub(crate) next_lsn: u64,
    pub(crate) file_bytes: u64,
    /// Encoded records that each new file begins with.
    pub(crate) preamble: Box<dyn Fn() -> Vec<Vec<u8>> + Send>,
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The log. The thread ends, and the folder is free, when this is closed or dropped.
#[derive(Debug)]
pub(crate) struct Log {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer lets others see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) next_lsn: AtomicU64,
    /// Bytes of all files.
    pub(super) bytes: AtomicU64,
    /// Bytes of the files that somebody needs.
    pub(super) needed_bytes: AtomicU64,
    /// Why nothing is written any more.
    pub(super) failure: Mutex<Option<String>>,
}

impl Log {
    /// Starts the thread.
    ///
    /// # Errors
    /// `internal` where the system has no more threads.
    pub(crate) fn start(start: LogStart) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.next_lsn.store(start.next_lsn, Ordering::Release);
        shared.bytes.store(start.files.iter().map(|file| file.bytes).sum(), Ordering::Relaxed);
        shared.needed_bytes.store(needed_bytes(&start.files), Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer::new(start, shared.clone());
        let thread = std::thread::Builder::new()
            .name("lakebed-wal".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|error| Error::internal("the log's thread does not start").with_source(error))?;
        Ok(Self { commands: Mutex::new(Some(sender)), shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands an entry over. What becomes of it is told by its `deliver`, which is called in any case unless this fails.
    ///
    /// # Errors
    /// `unavailable` where nothing is written any more.
    pub(crate) async fn append(&self, entry: Entry) -> Result<()> {
        self.check()?;
        let sender = self.commands.lock().clone();
        let Some(sender) = sender else { return Err(stopped("it is closed")) };
        sender.send(Command::Append(entry)).await.map_err(|_| stopped("its thread has ended"))
    }

    /// All rows of a table up to this position are in the lake.
    pub(crate) async fn flushed(&self, table: &TableName, upto: u64) {
        let sender = self.commands.lock().clone();
        if let Some(sender) = sender {
            // A writer that has ended leaves the files to the next start.
            drop(sender.send(Command::Flushed(table.clone(), upto)).await);
        }
    }

    /// Later positions are above this one.
    pub(crate) fn raise(&self, lsn: u64) {
        self.shared.next_lsn.fetch_max(lsn + 1, Ordering::AcqRel);
    }

    /// The last position that was given out.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.shared.next_lsn.load(Ordering::Acquire).saturating_sub(1)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the files that have rows which are not in the lake yet.
    pub(crate) fn needed_bytes(&self) -> u64 {
        self.shared.needed_bytes.load(Ordering::Relaxed)
    }

    /// Why nothing is written any more.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.shared.failure.lock().as_deref().map(stopped)
    }

    fn check(&self) -> Result<()> {
        self.failure().map_or(Ok(()), Err)
    }

    /// Writes what waits, and gives the folder free.
    pub(crate) fn close(&self) {
        self.commands.lock().take();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

pub(super) fn stopped(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the write-ahead log takes no rows: {why}")).with_hint(
        "Rows that were acknowledged with `wal` or `lake` are safe. Look at the disk, then restart the server.",
    )
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("bytes", &self.record.len()).field("sync", &self.sync).finish_non_exhaustive()
    }
}
