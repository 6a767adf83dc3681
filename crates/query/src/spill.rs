//! The spill files of one query: files of the server's spill directory, with a bound of their own.

use std::{
    io::{self, Write},
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use datafusion::{
    common::Result,
    execution::{SpillFile, SpillWriter, TempFileFactory, disk_manager::DiskManager},
};
use futures::Stream;
use lakebed_types::{Error, ErrorKind, format_bytes};

/// How the message of a query that has spilled too much begins.
pub(crate) const SPILLED_TOO_MUCH: &str = "the query may have";

/// What one query may have in spill files, and has. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct QuerySpill {
    server: Arc<DiskManager>,
    space: Arc<Space>,
}

#[derive(Debug)]
struct Space {
    limit: AtomicU64,
    used: AtomicU64,
}

impl QuerySpill {
    pub(crate) fn new(server: Arc<DiskManager>) -> Self {
        Self { server, space: Arc::new(Space { limit: AtomicU64::new(u64::MAX), used: AtomicU64::new(0) }) }
    }

    /// So many bytes at once from now on.
    pub(crate) fn bound(&self, bytes: u64) {
        self.space.limit.store(bytes, Ordering::Relaxed);
    }
}

impl TempFileFactory for QuerySpill {
    fn create_temp_file(&self, description: &str) -> Result<Arc<dyn SpillFile>> {
        let file = self.server.create_tmp_file(description)?;
        Ok(Arc::new(QueryFile { file, space: self.space.clone(), written: Arc::default() }))
    }
}

/// One spill file. Its bytes are free again when it is gone.
struct QueryFile {
    file: Arc<dyn SpillFile>,
    space: Arc<Space>,
    written: Arc<AtomicU64>,
}

impl SpillFile for QueryFile {
    fn path(&self) -> Option<&Path> {
        self.file.path()
    }

    fn size(&self) -> Option<u64> {
        self.file.size()
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        self.file.read_stream()
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let (writer, space, written) = (self.file.open_writer()?, self.space.clone(), self.written.clone());
        Ok(Box::new(QueryWriter { writer, space, written }))
    }
}

impl Drop for QueryFile {
    fn drop(&mut self) {
        self.space.used.fetch_sub(self.written.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

struct QueryWriter {
    writer: Box<dyn SpillWriter>,
    space: Arc<Space>,
    written: Arc<AtomicU64>,
}

impl Write for QueryWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let more = bytes.len() as u64;
        let limit = self.space.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(more).filter(|total| *total <= limit);
        if self.space.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            let text = format!("{SPILLED_TOO_MUCH} {} in spill files", format_bytes(limit));
            return Err(io::Error::other(Error::new(ErrorKind::SpillExhausted, text)));
        }
        self.written.fetch_add(more, Ordering::Relaxed);
        self.writer.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl SpillWriter for QueryWriter {
    fn finish(&mut self) -> Result<()> {
        self.writer.finish()
    }
}
