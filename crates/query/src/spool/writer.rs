//! The rows of an execution on their way to the disk.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    ipc::writer::FileWriter,
};
use lakebed_types::{Error, ErrorKind, Result};

use super::{disk, disk_failed};
use crate::error::from_arrow;

/// Rows that are being written. Dropping it unfinished removes the file.
pub(crate) struct SpoolWriter {
    writer: Option<FileWriter<Counted>>,
    path: PathBuf,
    schema: SchemaRef,
    ends: Vec<u64>,
}

impl SpoolWriter {
    pub(super) fn create(path: PathBuf, schema: &SchemaRef, used: Arc<AtomicU64>, quota: u64) -> Result<Self> {
        let schema = without_dictionaries(schema);
        let file = disk::create(&disk::part_of(&path)).map_err(|error| disk_failed(&path, &error))?;
        let counted = Counted { file: BufWriter::new(file), bytes: 0, used, quota };
        let writer = FileWriter::try_new(counted, &schema).map_err(from_arrow)?;
        Ok(Self { writer: Some(writer), path, schema, ends: Vec::new() })
    }

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

    /// Sees to it that all of it is on the disk, and gives the file its name. Blocks on the disk.
    pub(crate) fn finish(mut self) -> Result<Written> {
        let path = self.path.clone();
        let failed = |error| disk_failed(&path, &error);
        let Some(writer) = &mut self.writer else { return Err(Error::internal("a result was finished twice")) };
        writer.finish().map_err(|error| write_failed(&path, error))?;
        writer.get_ref().file.get_ref().sync_all().map_err(failed)?;
        disk::publish(&path).map_err(failed)?;
        let Some(writer) = self.writer.take() else { return Err(Error::internal("a result was finished twice")) };
        let Counted { bytes, used, .. } = writer.into_inner().map_err(from_arrow)?;
        Ok(Written { path, bytes, used, ends: std::mem::take(&mut self.ends), named_by_record: false })
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            let counted = writer.get_ref();
            counted.used.fetch_sub(counted.bytes, Ordering::Relaxed);
            disk::remove(&disk::part_of(&self.path));
            disk::remove(&self.path);
        }
    }
}

/// Rows that are on the disk. Dropping it before a record names them removes the file.
#[derive(Debug)]
pub(crate) struct Written {
    path: PathBuf,
    bytes: u64,
    used: Arc<AtomicU64>,
    ends: Vec<u64>,
    named_by_record: bool,
}

impl Written {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows up to the end of each batch.
    pub(super) fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// A record names the file now. Bytes, and rows up to the end of each batch.
    pub(super) fn into_ends(mut self) -> (u64, Vec<u64>) {
        self.named_by_record = true;
        (self.bytes, std::mem::take(&mut self.ends))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.named_by_record {
            disk::remove(&self.path);
            self.used.fetch_sub(self.bytes, Ordering::Relaxed);
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

fn write_failed(path: &Path, error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, error) if error.kind() == io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::ResultTooLarge, "the result is larger than the space that is left for results")
                .with_hint("Write it with COPY … TO or CREATE TABLE … AS instead.")
        }
        ArrowError::IoError(_, error) => disk_failed(path, &error),
        other => from_arrow(other),
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
