//! The one thread that writes the log: takes what waits, writes it, syncs once, tells all in order.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use lakebed_types::{Clock, Error, ErrorKind, Result, TableName};
use tokio::sync::mpsc;

use super::{
    file::{LogFile, WalFile},
    folder::{LogFolder, disk_failed, is_full},
    group::{Group, Refusal, disk_is_full},
    handle::{Command, Deliver, Entry, LogStart, Shared, stopped},
    record::set_lsn,
    tracked::{TrackedFile, needed_bytes},
};
use crate::faults::{Faults, Window};

/// What the thread has.
pub(super) struct Writer {
    folder: LogFolder,
    sealed: Vec<TrackedFile>,
    current: Option<Current>,
    file_bytes: u64,
    preamble: Box<dyn Fn() -> Vec<Vec<u8>> + Send>,
    faults: Arc<dyn Faults>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
}

struct Current {
    file: Box<dyn LogFile>,
    tracked: TrackedFile,
}

impl Writer {
    pub(super) fn new(start: LogStart, shared: Arc<Shared>) -> Self {
        Self {
            folder: start.folder,
            sealed: start.files,
            current: None,
            file_bytes: start.file_bytes,
            preamble: start.preamble,
            faults: start.faults,
            clock: start.clock,
            shared,
        }
    }

    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        // A panic of a test's fault, or of ours, must not leave others waiting for acknowledgements that never come.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve(&mut commands)));
        if ended.is_err() {
            self.poison("its thread has panicked");
        }
    }

    fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut group = Group::default();
            group.add(first);
            while !group.is_full()
                && let Ok(next) = commands.try_recv()
            {
                group.add(next);
            }
            self.write(group.entries);
            for (table, upto) in group.flushed {
                self.forget(&table, upto);
            }
            let files = self.sealed.iter().chain(self.current.as_ref().map(|current| &current.tracked));
            self.shared.needed_bytes.store(needed_bytes(files), Ordering::Relaxed);
        }
    }

    /// Writes a group, syncs where one asks for it, and tells all.
    fn write(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let sync = entries.iter().any(|entry| entry.sync);
        let mut written = Vec::with_capacity(entries.len());
        let mut entries = entries.into_iter();
        while let Some(mut entry) = entries.next() {
            if self.is_full() {
                // The next file begins with the keys that are remembered, so those of this one have to be.
                self.finish(std::mem::take(&mut written), sync);
            }
            match self.write_one(&mut entry) {
                Ok(lsn) => written.push((lsn, entry.deliver)),
                Err(error) => {
                    self.finish(written, sync);
                    let again = Refusal::of(&error);
                    (entry.deliver)(Err(error));
                    entries.for_each(|entry| (entry.deliver)(Err(again.error())));
                    return;
                }
            }
        }
        self.finish(written, sync);
    }

    fn write_one(&mut self, entry: &mut Entry) -> Result<u64> {
        if let Some(why) = self.shared.failure.lock().as_deref() {
            return Err(stopped(why));
        }
        self.roll()?;
        let lsn = self.shared.next_lsn.fetch_add(1, Ordering::AcqRel);
        set_lsn(&mut entry.record, lsn);
        self.put(&entry.record)?;
        if let Some(current) = &mut self.current {
            for (table, upto) in &entry.tables {
                current.tracked.needs(table, upto.unwrap_or(lsn));
            }
        }
        Ok(lsn)
    }

    fn put(&mut self, record: &[u8]) -> Result<()> {
        let Some(current) = &mut self.current else { return Err(Error::internal("the log has no file")) };
        let before = current.file.bytes();
        match current.file.append(record) {
            Ok(()) => {
                let more = current.file.bytes() - before;
                current.tracked.bytes += more;
                self.shared.bytes.fetch_add(more, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(self.write_failed(error)),
        }
    }

    /// A full disk is not the end: what was written stays, and the next record begins a new file.
    fn write_failed(&mut self, error: io::Error) -> Error {
        let full = is_full(&error);
        let Some(mut current) = self.current.take() else { return Error::internal("the log has no file") };
        let path = current.tracked.path.clone();
        let sealed = match full {
            true => current.file.seal(),
            false => Err(error),
        };
        self.sealed.push(current.tracked);
        match sealed {
            Ok(()) => disk_is_full(),
            Err(error) => {
                let error = disk_failed("writing", &path, error);
                self.poison(error.message());
                error
            }
        }
    }

    /// Syncs, and tells all in order.
    fn finish(&mut self, written: Vec<(u64, Deliver)>, sync: bool) {
        if written.is_empty() {
            return;
        }
        let synced = if sync { self.sync() } else { Ok(()) };
        let refusal = synced.err().map(|error| Refusal::of(&error));
        for (lsn, deliver) in written {
            deliver(match &refusal {
                None => Ok(lsn),
                Some(refusal) => Err(refusal.error()),
            });
        }
    }

    /// The first error is the last sync: the system may have dropped what it could not write.
    fn sync(&mut self) -> Result<()> {
        if let Some(why) = self.shared.failure.lock().as_deref() {
            return Err(stopped(why));
        }
        self.faults.at(Window::BeforeSync).inspect_err(|error| self.poison(error.message()))?;
        let Some(current) = &mut self.current else { return Ok(()) };
        let started = self.clock.instant();
        if let Err(error) = current.file.sync() {
            let error = disk_failed("syncing", &current.tracked.path, error);
            self.poison(error.message());
            return Err(error);
        }
        metrics::histogram!("lakebed_ingest_wal_sync_seconds")
            .record(self.clock.instant().saturating_duration_since(started).as_secs_f64());
        self.faults.at(Window::AfterSync).inspect_err(|error| self.poison(error.message()))
    }

    fn is_full(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.file.bytes() >= self.file_bytes)
    }

    /// Begins a new file where there is none, or the last one is full.
    fn roll(&mut self) -> Result<()> {
        if self.current.is_some() && !self.is_full() {
            return Ok(());
        }
        if self.current.is_some() {
            self.sync()?;
            self.sealed.extend(self.current.take().map(|current| current.tracked));
        }
        match self.begin_file() {
            // The disk is full of what nobody needs any more: it has to go first, or nothing would ever be written again.
            // The keys in it are in memory, and in the new file a moment later.
            Err(error) if error.kind() == ErrorKind::IngestBusy && self.delete_done() => self.begin_file()?,
            begun => begun?,
        }
        self.delete_done();
        Ok(())
    }

    /// A new file, with all keys that are remembered.
    fn begin_file(&mut self) -> Result<()> {
        let path = self.folder.file(self.shared.next_lsn.load(Ordering::Acquire));
        let file = Box::new(WalFile::create(&path, self.faults.clone())?);
        self.faults.at(Window::FileCreated).inspect_err(|error| self.poison(error.message()))?;
        self.folder.sync().inspect_err(|error| self.poison(error.message()))?;
        self.current = Some(Current { file, tracked: TrackedFile::new(path, 0) });
        for mut record in (self.preamble)() {
            set_lsn(&mut record, self.shared.next_lsn.fetch_add(1, Ordering::AcqRel));
            self.put(&record)?;
        }
        self.sync()
    }

    fn forget(&mut self, table: &TableName, upto: u64) {
        for file in self.sealed.iter_mut().chain(self.current.as_mut().map(|current| &mut current.tracked)) {
            file.flushed(table, upto);
        }
        // Only a newer file makes the keys that they know superfluous.
        if self.current.is_some() {
            self.delete_done();
        }
    }

    /// Deletes files that nobody needs. Whether there was one.
    fn delete_done(&mut self) -> bool {
        if self.sealed.iter().all(|file| !file.is_done()) {
            return false;
        }
        let (mut kept, before) = (Vec::new(), self.sealed.len());
        for file in self.sealed.drain(..) {
            let deleted = file.is_done()
                && self.faults.at(Window::BeforeDelete).is_ok()
                && std::fs::remove_file(&file.path)
                    .inspect_err(
                        |error| tracing::warn!(path = %file.path.display(), %error, "cannot delete a log file"),
                    )
                    .is_ok();
            match deleted {
                true => drop(self.shared.bytes.fetch_sub(file.bytes, Ordering::Relaxed)),
                false => kept.push(file),
            }
        }
        self.sealed = kept;
        if let Err(error) = self.folder.sync() {
            tracing::warn!(?error, "the deletion of log files may not last");
        }
        self.sealed.len() < before
    }

    fn poison(&self, why: &str) {
        tracing::error!(why, "the write-ahead log takes no more rows");
        self.shared.failure.lock().get_or_insert_with(|| why.to_owned());
    }
}
