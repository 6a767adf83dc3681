//! One file of the log, by way of the crate that frames and checks its records.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lakebed_types::{Error, ErrorKind, Result};
use wal_db::{FileStore, OpenPolicy, Wal, WalConfig, WalError, WalStore};

use super::{
    folder::{disk_failed, is_full},
    group::disk_is_full,
    record::{MAX_RECORD_BYTES, Record},
};
use crate::faults::Faults;

/// One file of the log, with one writer.
pub(crate) trait LogFile: fmt::Debug + Send {
    /// Writes a record, which is not on stable storage yet.
    ///
    /// # Errors
    /// What the disk says. The file must be sealed then.
    fn append(&mut self, record: &[u8]) -> io::Result<()>;

    /// Puts all records on stable storage.
    ///
    /// # Errors
    /// What the disk says. What the file has is not known then, until it is opened again.
    fn sync(&mut self) -> io::Result<()>;

    /// Bytes written.
    fn bytes(&self) -> u64;

    /// Cuts off what a failed [`Self::append`] may have left, for good.
    ///
    /// # Errors
    /// What the disk says.
    fn seal(&mut self) -> io::Result<()>;
}

/// A file that `wal-db` writes.
pub(crate) struct WalFile {
    wal: Wal<DiskFile>,
    path: PathBuf,
    good_bytes: u64,
}

impl WalFile {
    /// A new file.
    pub(crate) fn create(path: &Path, faults: Arc<dyn Faults>) -> Result<Self> {
        let wal = open(path, Cut::TornTail, faults)?;
        Ok(Self { wal, path: path.to_owned(), good_bytes: 0 })
    }
}

impl LogFile for WalFile {
    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let _place_in_the_file = self.wal.append(record).map_err(io_error)?;
        self.good_bytes = self.wal.len();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.wal.sync().map_err(io_error)
    }

    fn bytes(&self) -> u64 {
        self.good_bytes
    }

    fn seal(&mut self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(self.good_bytes)?;
        file.sync_all()
    }
}

impl fmt::Debug for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Whether the end of a file may be cut off: a write that a crash interrupted was never acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Of the last file.
    TornTail,
    /// Earlier files were complete before the next was begun.
    Nothing,
}

/// What a file had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanned {
    pub(crate) bytes: u64,
    /// Bytes of a torn record that were cut off.
    pub(crate) cut: u64,
}

/// Checks a whole file before anything of it is used; puts on stable storage what it has.
///
/// # Errors
/// `corrupt_file` where it is damaged other than at its torn end, with a way out; `disk_failed`.
pub(crate) fn scan(path: &Path, cut: Cut, faults: Arc<dyn Faults>) -> Result<Scanned> {
    let wal = open(path, cut, faults)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(|cause| disk_failed("syncing", path, cause))?;
    Ok(Scanned { bytes: wal.len(), cut: wal.truncated_on_open() })
}

/// Reads a checked file from its beginning, record by record, until `each` has enough and says false.
///
/// # Errors
/// `corrupt_file`, `disk_failed`, and what `each` returns.
pub(crate) fn read(
    path: &Path,
    faults: Arc<dyn Faults>,
    mut each: impl FnMut(u64, Record) -> Result<bool>,
) -> Result<()> {
    let wal = open(path, Cut::Nothing, faults)?;
    for record in wal.iter().map_err(|error| damaged(path, error))? {
        let record = record.map_err(|error| damaged(path, error))?;
        let (lsn, record) = Record::decode(record.data()).map_err(|error| error.context(path.display()))?;
        if !each(lsn, record)? {
            return Ok(());
        }
    }
    Ok(())
}

fn open(path: &Path, cut: Cut, faults: Arc<dyn Faults>) -> Result<Wal<DiskFile>> {
    let config = WalConfig::new().with_max_record_size(MAX_RECORD_BYTES).with_open_policy(OpenPolicy::Strict);
    let store = FileStore::open(path).map_err(|error| damaged(path, error))?;
    let store = DiskFile { store, path: path.to_owned(), cut, faults };
    Wal::with_store_and_config(store, config).map_err(|error| damaged(path, error))
}

/// A file on a disk that may fail.
struct DiskFile {
    store: FileStore,
    path: PathBuf,
    cut: Cut,
    faults: Arc<dyn Faults>,
}

impl WalStore for DiskFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> wal_db::Result<()> {
        self.faults.write()?;
        self.store.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> wal_db::Result<usize> {
        self.store.read_at(offset, buffer)
    }

    fn truncate(&self, length: u64) -> wal_db::Result<()> {
        if self.cut == Cut::Nothing {
            return Err(WalError::Corruption { offset: length, reason: "a complete file has a damaged end" });
        }
        self.store.truncate(length)?;
        File::options().write(true).open(&self.path)?.sync_all()?;
        Ok(())
    }

    fn sync(&self) -> wal_db::Result<()> {
        self.faults.sync()?;
        self.store.sync()
    }

    fn len(&self) -> wal_db::Result<u64> {
        self.store.len()
    }
}

fn io_error(error: WalError) -> io::Error {
    match error {
        WalError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

fn damaged(path: &Path, error: WalError) -> Error {
    match error {
        WalError::Corruption { offset, reason } => {
            let size = fs::metadata(path).map(|metadata| metadata.len()).unwrap_or_default();
            let message =
                format!("the write-ahead log {} is damaged at byte {offset} of {size}: {reason}", path.display());
            Error::new(ErrorKind::CorruptFile, message).with_hint(
                "Nothing has been changed. Restore the file from a backup, or move it out of the folder to start \
                 without the rows in it that are not in the lake yet.",
            )
        }
        WalError::Io { source, .. } if is_full(&source) => disk_is_full(),
        other => {
            let message = format!("the write-ahead log {} cannot be used: {other}", path.display());
            Error::new(ErrorKind::DiskFailed, message).with_source(other)
        }
    }
}
