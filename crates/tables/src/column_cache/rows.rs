//! The rows of a file from kept columns, row group by row group.

use std::{collections::VecDeque, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    datasource::physical_plan::ParquetFileMetrics,
    error::{DataFusionError, Result},
};
use datafusion_datasource::morsel::Morsel;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    file::OpenedFile,
    store::{Chunk, ColumnCache},
};
use crate::reader::Readers;

/// The rows of a file from kept columns.
#[derive(Debug)]
pub(crate) struct ColumnMorsel {
    reading: Reading,
}

impl ColumnMorsel {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading }
    }
}

impl Morsel for ColumnMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let groups = stream::try_unfold(self.reading, |mut reading| async move {
            let batches = reading.next_group().await?;
            Ok::<_, DataFusionError>(batches.map(|batches| (stream::iter(batches.into_iter().map(Ok)), reading)))
        });
        groups.try_flatten().boxed()
    }
}

/// What is left to read of a file.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) file: OpenedFile,
    pub(super) columns: ColumnCache,
    pub(super) readers: Arc<Readers>,
    /// Rows of a batch, at most.
    pub(super) batch_rows: usize,
    pub(super) groups: VecDeque<usize>,
    pub(super) metrics: ParquetFileMetrics,
}

impl Reading {
    /// The batches of the next row group that has some.
    async fn next_group(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        while let Some(group) = self.groups.pop_front() {
            if self.file.is_ruled_out_by_now(group) {
                self.metrics.row_groups_pruned_dynamic_filter.add(1);
                continue;
            }
            let chunks = self.chunks(group).await?;
            let blocks = chunks.first().map_or(0, |chunk| chunk.len());
            let batch = |block: usize| {
                let arrays = chunks.iter().filter_map(|chunk| chunk.get(block).cloned()).collect();
                self.file.exprs.batch(arrays)
            };
            let batches = (0..blocks).map(batch).collect::<Result<Vec<_>>>()?;
            return Ok(Some(batches.iter().flat_map(|batch| self.parts(batch)).collect()));
        }
        Ok(None)
    }

    fn parts(&self, batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
        let (rows, most) = (batch.num_rows(), self.batch_rows);
        (0..rows).step_by(most).map(move |from| batch.slice(from, most.min(rows - from)))
    }

    /// The needed columns of a row group, from the cache and, where they are missing there, from the file.
    async fn chunks(&self, group: usize) -> Result<Vec<Chunk>> {
        let OpenedFile { version, exprs, .. } = &self.file;
        let mut found = Vec::with_capacity(exprs.columns.len());
        for (column, field) in exprs.columns.iter().zip(exprs.needed.fields()) {
            found.push(self.columns.get(version, group, *column, field.data_type()).await);
        }
        let missing = || exprs.columns.iter().zip(&found).filter(|(_, chunk)| chunk.is_none());
        let missing: Vec<usize> = missing().map(|(column, _)| *column).collect();
        let scanned = self.file.stored_bytes(group, &exprs.columns);
        self.metrics.bytes_scanned.add(scanned as usize);
        self.readers.counters.spare(scanned - self.file.stored_bytes(group, &missing));
        if missing.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        let decoded = self.file.decode(&self.readers.caches, group, &missing).await?;
        for (column, chunk) in missing.iter().zip(&decoded) {
            self.columns.keep(version, group, *column, chunk).await;
        }
        self.columns.settle().await;
        let mut decoded = decoded.into_iter();
        Ok(found.into_iter().filter_map(|chunk| chunk.or_else(|| decoded.next())).collect())
    }
}
