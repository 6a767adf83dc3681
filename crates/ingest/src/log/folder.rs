//! The folder of the log: who may use it, which life of the node this is, and which files there are.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use lakebed_types::{Error, ErrorKind, Result};
use uuid::Uuid;

const LOCK: &str = "lock";
const INCARNATION: &str = "incarnation";

/// The folder of a write-ahead log, for this process alone until it is dropped.
#[derive(Debug)]
pub struct LogFolder {
    path: PathBuf,
    app_id: String,
    // Held: the lock goes with it.
    _lock: File,
}

impl LogFolder {
    /// Takes the folder, and makes it where it is not there.
    ///
    /// # Errors
    /// `conflict` where another process has it; `disk_failed`.
    pub(crate) fn open(path: &Path, node: &str) -> Result<Self> {
        let failed = |cause: io::Error| disk_failed("opening the folder of the write-ahead log", path, cause);
        fs::create_dir_all(path).map_err(failed)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        let lock = take_lock(path)?;
        let app_id = app_id(path, node).map_err(failed)?;
        sync_folder(path)?;
        Ok(Self { path: path.to_owned(), app_id, _lock: lock })
    }

    /// Who commits the rows of this log. It belongs to the folder and not to the node's name, which may change: in a new
    /// folder positions begin at 1 again, and by another id the tables would not know that they have rows of this one.
    pub(crate) fn app_id(&self) -> &str {
        &self.app_id
    }

    /// The log files with the positions at which they begin, in order.
    pub(crate) fn files(&self) -> Result<Vec<(u64, PathBuf)>> {
        let failed = |cause| disk_failed("listing the write-ahead log", &self.path, cause);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if let Some(first) = path.file_name().and_then(|name| name.to_str()).and_then(first_lsn) {
                files.push((first, path));
            }
        }
        files.sort();
        Ok(files)
    }

    /// The path of a file that begins at this position.
    pub(crate) fn file(&self, first_lsn: u64) -> PathBuf {
        self.path.join(format!("wal-{first_lsn:020}.log"))
    }

    /// Makes names of files last.
    pub(crate) fn sync(&self) -> Result<()> {
        sync_folder(&self.path)
    }
}

fn first_lsn(name: &str) -> Option<u64> {
    name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().ok()
}

fn take_lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let failed = |cause: io::Error| disk_failed("opening", &path, cause);
    // Not truncated: until the lock is ours, what stands in the file is another process's.
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(folder, &mut file)),
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    // For people only: a full disk is no reason not to start.
    if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        tracing::debug!(path = %path.display(), %error, "the lock does not tell who holds it");
    }
    Ok(file)
}

fn in_use(folder: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let by = match file.take(32).read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
        _ => "another process".to_owned(),
    };
    Error::new(ErrorKind::Conflict, format!("{by} uses the write-ahead log in {}", folder.display())).with_hint(
        "Stop that process, ask it with `--url`, or give this one a data directory of its own with `--data-dir`.",
    )
}

fn app_id(folder: &Path, node: &str) -> io::Result<String> {
    let path = folder.join(INCARNATION);
    match fs::read_to_string(&path) {
        Ok(text) if text.starts_with("ingest/") => Ok(text),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the file `incarnation` is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = format!("ingest/{node}/{}", Uuid::new_v4());
            let draft = folder.join("incarnation.new");
            let mut file = File::create(&draft)?;
            file.write_all(id.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| disk_failed("syncing the folder", path, cause))
}

/// Whether the disk has no more room: what passes by itself.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An error of the disk.
pub(crate) fn disk_failed(doing: &str, path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::DiskFailed, format!("{doing} {} failed: {cause}", path.display())).with_source(cause)
}
