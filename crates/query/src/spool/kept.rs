//! An execution that has ended, and its rows.
//!
//! The rows before each batch are remembered, so a page costs what its rows cost, wherever it lies.

use std::{
    fs::File,
    io::BufReader,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::reader::FileReader};
use chrono::{DateTime, Utc};
use lakebed_types::{Error, Result};

use super::{disk, disk_failed};
use crate::error::from_arrow;

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

/// The files of an execution. Once its time is over they go with the last who reads them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) record: PathBuf,
    pub(super) rows: Option<PathBuf>,
    pub(super) bytes: u64,
    /// Bytes of all files together.
    pub(super) used: Arc<AtomicU64>,
    pub(super) over: AtomicBool,
}

impl Drop for Files {
    fn drop(&mut self) {
        if !*self.over.get_mut() {
            return;
        }
        disk::remove(&self.record);
        if let Some(rows) = &self.rows {
            disk::remove(rows);
        }
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An execution that has ended.
#[derive(Debug)]
pub(crate) struct Kept {
    files: Files,
    /// Rows up to the end of each batch.
    ends: Vec<u64>,
    expires: DateTime<Utc>,
}

impl Kept {
    pub(super) fn new(files: Files, ends: Vec<u64>, expires: DateTime<Utc>) -> Self {
        Self { files, ends, expires }
    }

    pub(super) fn expires(&self) -> DateTime<Utc> {
        self.expires
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.bytes
    }

    /// Its time is over: nobody will ask for it again.
    pub(super) fn end(&self) {
        self.files.over.store(true, Ordering::Relaxed);
    }

    fn rows(&self) -> u64 {
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
        Ok(ResultPage { schema: reader.schema(), batches, total_rows: self.rows(), offset })
    }

    /// The schema, and all batches, one by one. Blocks on the disk.
    pub(crate) fn batches(&self) -> Result<(SchemaRef, impl Iterator<Item = Result<RecordBatch>> + use<>)> {
        let reader = self.open()?;
        Ok((reader.schema(), reader.map(|batch| batch.map_err(from_arrow))))
    }

    fn open(&self) -> Result<FileReader<BufReader<File>>> {
        let path =
            self.files.rows.as_ref().ok_or_else(|| Error::internal("a result without rows was asked for them"))?;
        let file = File::open(path).map_err(|error| disk_failed(path, &error))?;
        FileReader::try_new(BufReader::new(file), None).map_err(from_arrow)
    }
}
