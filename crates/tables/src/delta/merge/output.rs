//! The files that a round of a merge writes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{Stream, StreamExt};
use lakebed_storage::{Location, Storage, classify_chain};
use lakebed_types::{Error, ErrorKind, Result};
use parquet::arrow::AsyncArrowWriter;
use tokio::sync::mpsc;

use crate::delta::{
    action::AddFile,
    data_file::{self, Written},
    durable,
    encode::{Encoded, FileLayout, ROW_GROUP_BYTES, Sorted},
    nan,
    state::DeltaState,
    streams::{self, Run},
    upload::Upload,
};

/// What sorting takes for a row beside the row.
const PLACE_BYTES: u64 = 64;

/// Where a round's rows go.
pub(super) struct Output {
    pub(super) storage: Storage,
    pub(super) location: Location,
    pub(super) layout: FileLayout,
    pub(super) state: Arc<DeltaState>,
    pub(super) value: Option<String>,
    /// Columns of the files that may hold NaN, and so get no bounds.
    pub(super) suspects: Vec<bool>,
    /// Begins the names of the files.
    pub(super) prefix: String,
    pub(super) target_bytes: u64,
    pub(super) now_ms: i64,
}

/// A file that is being written. Dropped before its end, its upload is given up.
struct Open {
    writer: AsyncArrowWriter<Upload>,
    path: String,
    location: Location,
}

impl Output {
    /// Writes the rows of all runs, each of which is in order, as one. `reports` is told how many are written.
    pub(super) async fn merge(self, runs: Vec<Run>, reports: mpsc::Sender<u64>) -> Result<Vec<AddFile>> {
        let rows = streams::merged(&self.storage, &self.location, &self.layout, runs)?;
        self.write_all(rows, &reports).await
    }

    /// Writes the rows of files in any order as runs of one file each. So many bytes of rows are in memory at a time, and
    /// once more of them while they are encoded.
    pub(super) async fn sort(self, runs: Vec<Run>, budget: u64, reports: mpsc::Sender<u64>) -> Result<Vec<AddFile>> {
        let one_by_one = vec![runs.into_iter().flatten().collect()];
        let mut rows = std::pin::pin!(streams::merged(&self.storage, &self.location, &self.layout, one_by_one)?);
        let (mut adds, mut batches, mut bytes, mut count) = (Vec::new(), Vec::new(), 0u64, 0u64);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            check(&reports)?;
            let rows = batch.num_rows() as u64;
            bytes = bytes.saturating_add(batch.get_array_memory_size() as u64 + rows * PLACE_BYTES);
            count += rows;
            batches.push(batch);
            if bytes >= budget {
                adds.extend(self.piece(std::mem::take(&mut batches), adds.len()).await?);
                bytes = 0;
            }
            let _ = reports.try_send(count);
        }
        adds.extend(self.piece(batches, adds.len()).await?);
        Ok(adds)
    }

    /// None of no rows.
    async fn piece(&self, batches: Vec<RecordBatch>, number: usize) -> Result<Option<AddFile>> {
        let inner = FileLayout { schema: Arc::clone(&self.layout.file_schema), partition: None, ..self.layout.clone() };
        let sorted = Sorted::new(inner, &batches)?;
        drop(batches);
        if sorted.parts() == 0 {
            return Ok(None);
        }
        let Encoded { bytes, summary, .. } = sorted.encode(0)?;
        let path = self.path(number);
        let size = bytes.len() as u64;
        data_file::upload(&self.storage, &self.location.child(&path)?, bytes.into()).await?;
        let written = Written { path, value: self.value.clone(), size, summary };
        data_file::add_file(&self.state, &self.layout, written, self.now_ms, None).map(Some)
    }

    async fn write_all(
        &self,
        rows: impl Stream<Item = Result<RecordBatch>> + Send,
        reports: &mpsc::Sender<u64>,
    ) -> Result<Vec<AddFile>> {
        let mut rows = std::pin::pin!(rows);
        let (mut adds, mut count, mut open) = (Vec::new(), 0u64, None::<Open>);
        let mut suspects = self.suspects.clone();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            check(reports)?;
            // No file of ours has NaN and bounds; one of another program may. The file that is open would get bounds, too.
            if suspect(&mut suspects, &batch)
                && let Some(begun) = open.take()
            {
                adds.push(self.finish(begun, adds.len()).await?);
            }
            let file = match &mut open {
                Some(file) => file,
                None => open.insert(self.begin(adds.len(), &suspects)?),
            };
            file.write(&batch).await?;
            count += batch.num_rows() as u64;
            // Nobody has to take every report.
            let _ = reports.try_send(count);
            if file.bytes() >= self.target_bytes
                && let Some(full) = open.take()
            {
                adds.push(self.finish(full, adds.len()).await?);
            }
        }
        if let Some(last) = open.take() {
            adds.push(self.finish(last, adds.len()).await?);
        }
        Ok(adds)
    }

    fn path(&self, number: usize) -> String {
        data_file::path(&self.state, self.value.as_deref(), &format!("{}-{number:05}.parquet", self.prefix))
    }

    fn begin(&self, number: usize, suspects: &[bool]) -> Result<Open> {
        let path = self.path(number);
        let location = self.location.child(&path)?;
        let target = Upload::new(self.storage.store(&location)?, location.path().clone());
        let schema = Arc::clone(&self.layout.file_schema);
        let unbounded: Vec<usize> = (0..suspects.len()).filter(|place| suspects[*place]).collect();
        let writer = AsyncArrowWriter::try_new(target, schema, Some(self.layout.properties(&unbounded)));
        let writer = writer.map_err(|error| unwritable(&location, error))?;
        Ok(Open { writer, path, location })
    }

    async fn finish(&self, file: Open, number: usize) -> Result<AddFile> {
        let Open { mut writer, path, location } = file;
        let footer = writer.finish().await.map_err(|error| unwritable(&location, error))?;
        durable::sync(&location).await?;
        let size = writer.bytes_written() as u64;
        let summary = self.layout.summary(&footer, size)?;
        let written = Written { path, value: self.value.clone(), size, summary };
        let merged = format!("{}/{number}", self.prefix);
        data_file::add_file(&self.state, &self.layout, written, self.now_ms, Some(&merged))
    }
}

/// Notes the columns of a batch that hold NaN; whether one of them had not.
fn suspect(suspects: &mut [bool], batch: &RecordBatch) -> bool {
    let mut is_new = false;
    for place in nan::columns_of(batch) {
        is_new |= !std::mem::replace(&mut suspects[place], true);
    }
    is_new
}

impl Open {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).await.map_err(|error| unwritable(&self.location, error))?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES {
            self.writer.flush().await.map_err(|error| unwritable(&self.location, error))?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }
}

/// Whoever asked for the merge may have gone.
fn check(reports: &mpsc::Sender<u64>) -> Result<()> {
    match reports.is_closed() {
        true => Err(Error::new(ErrorKind::Cancelled, "the merge was given up")),
        false => Ok(()),
    }
}

fn unwritable(location: &Location, error: parquet::errors::ParquetError) -> Error {
    classify_chain(&error, location)
        .unwrap_or_else(|| Error::internal(format!("{location} cannot be written: {error}")).with_source(error))
}
