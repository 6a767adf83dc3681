//! A file to be read: its format, its bytes without gzip, and how much of it has been read.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::ValueEnum;
use flate2::bufread::MultiGzDecoder;
use lakebed_types::{Error, ErrorKind, Result};

const BUFFER_BYTES: usize = 256 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b];

/// What a file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    Ndjson,
    Json,
    Csv,
    Arrow,
    Parquet,
}

impl FileFormat {
    /// What a name says, with or without `.gz`.
    fn of(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "arrow" | "arrows" => Some(Self::Arrow),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// A file that has been opened, or stdin.
pub(crate) struct Input {
    /// As the user wrote it.
    pub(crate) name: String,
    pub(crate) format: FileFormat,
    pub(crate) bytes: Box<dyn BufRead + Send>,
    /// The file itself, where it can be read from its end: neither stdin nor compressed.
    pub(crate) file: Option<File>,
}

impl Input {
    /// Opens a file, or stdin for `-`. `read` counts the bytes that have been read of it.
    ///
    /// # Errors
    /// `object_not_found` or `disk_failed` for a file that cannot be read; `invalid_request` where nothing tells its format.
    pub(crate) fn open(path: &Path, format: Option<FileFormat>, read: Arc<AtomicU64>) -> Result<Self> {
        let name = path.display().to_string();
        let unknown = || {
            Error::invalid_request(format!("nothing tells the format of {name}"))
                .with_hint("Add --format ndjson, json, csv, arrow or parquet.")
        };
        let format = format.or_else(|| FileFormat::of(path)).ok_or_else(unknown)?;
        if path == Path::new("-") {
            return Self::new(name, format, Box::new(io::stdin()), None, read);
        }
        let file = File::open(path).map_err(|error| failed(&name, error))?;
        let again = file.try_clone().map_err(|error| failed(&name, error))?;
        Self::new(name, format, Box::new(file), Some(again), read)
    }

    fn new(
        name: String,
        format: FileFormat,
        bytes: Box<dyn Read + Send>,
        file: Option<File>,
        read: Arc<AtomicU64>,
    ) -> Result<Self> {
        let mut bytes = BufReader::with_capacity(BUFFER_BYTES, Counted { bytes, read });
        if bytes.fill_buf().map_err(|error| failed(&name, error))?.starts_with(GZIP) {
            let plain = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(bytes));
            return Ok(Self { name, format, bytes: Box::new(plain), file: None });
        }
        Ok(Self { name, format, bytes: Box::new(bytes), file })
    }

    /// The error for bytes that cannot be read.
    pub(crate) fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::CorruptFile, format!("{} is damaged: {error}", self.name)).with_source(error)
            }
            _ => failed(&self.name, error),
        }
    }
}

/// Bytes of all these files together, as they lie on the disk; what cannot be told counts nothing.
pub(crate) fn total_bytes(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum()
}

fn failed(name: &str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::ObjectNotFound,
        _ => ErrorKind::DiskFailed,
    };
    Error::new(kind, format!("{name} cannot be read: {error}")).with_source(error)
}

struct Counted {
    bytes: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats_through_gzip() {
        let of = |name: &str| FileFormat::of(Path::new(name));
        assert_eq!(of("a/b.NDJSON.gz"), Some(FileFormat::Ndjson));
        assert_eq!(of("x.jsonl"), Some(FileFormat::Ndjson));
        assert_eq!(of("x.csv"), Some(FileFormat::Csv));
        assert_eq!((of("x.gz"), of("x"), of("x.txt")), (None, None, None));
    }
}
