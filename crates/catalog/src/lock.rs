//! The lock beside a catalog file: one process at a time.
//!
//! An advisory lock of the operating system, which is gone when its process is gone, however that ended. The process id
//! inside the file is for people only.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use lakebed_types::{Error, ErrorKind, Result};

/// Held as long as the catalog is open.
#[derive(Debug)]
pub(crate) struct CatalogLock {
    _file: File,
}

impl CatalogLock {
    /// Takes the lock of this catalog file without waiting.
    pub(crate) fn take(catalog: &Path) -> Result<Self> {
        let path = lock_path(catalog);
        let failed = |cause: std::io::Error| {
            Error::new(ErrorKind::DiskFailed, format!("cannot lock catalog {}: {cause}", catalog.display()))
                .with_source(cause)
        };
        // Not truncated: until the lock is ours, what stands in the file is another process's.
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(catalog, &mut file)),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        write_process_id(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn lock_path(catalog: &Path) -> PathBuf {
    let mut name = catalog.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn write_process_id(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    file.flush()
}

fn in_use(catalog: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let by = match file.take(32).read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
        _ => "another process".to_owned(),
    };
    Error::new(ErrorKind::Conflict, format!("catalog {} is in use by {by}", catalog.display())).with_hint(
        "Stop that process, ask it with `--url`, or give this one a data directory of its own with `--data-dir`.",
    )
}
