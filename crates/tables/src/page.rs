//! A page of one Parquet file, without SQL.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::TryStreamExt;
use lakebed_storage::{Location, Storage};
use lakebed_types::{Error, ErrorKind, Result};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector},
    },
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};

use crate::{
    ReadCaches,
    caches::{damaged, shared},
    inspect::file_schema,
    object::DataObject,
    reader::Reader,
};

/// Rows decoded at once.
const BATCH_ROWS: usize = 8192;

/// Some rows of a file, in its order.
#[derive(Debug)]
pub struct Page {
    /// The file's columns.
    pub schema: SchemaRef,
    /// The rows; none past the end of the file.
    pub batches: Vec<RecordBatch>,
    /// Rows of the whole file.
    pub total_rows: u64,
}

/// A page of one Parquet file, straight from the right row group and page: its cost does not grow with `offset`. A remote
/// store is asked at most once a second whether the file is still the same, and every answer of it is checked; a local
/// file is looked at each time. `limit` bounds the memory.
pub async fn read_page(
    storage: &Storage,
    caches: &ReadCaches,
    location: &Location,
    offset: u64,
    limit: usize,
) -> Result<Page> {
    match try_page(storage, caches, location, offset, limit).await {
        // Replaced since it was last looked at: bytes of the new file under the old footer.
        Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::CorruptFile) => {
            caches.forget(location).await;
            try_page(storage, caches, location, offset, limit).await
        }
        page => page,
    }
}

async fn try_page(
    storage: &Storage,
    caches: &ReadCaches,
    location: &Location,
    offset: u64,
    limit: usize,
) -> Result<Page> {
    let store = storage.store(location)?;
    let object = if location.is_local() {
        DataObject::new(store, location.clone(), storage.head(location).await?).seen()
    } else {
        let meta = caches.checked(location, storage.head(location)).await.map_err(shared)?;
        DataObject::new(store, location.clone(), meta.as_ref().clone())
    };
    let file = caches.page_file(&object).await.map_err(shared)?;
    let batches = match file.part(offset, limit) {
        Some(part) => decode(caches, object, &file, part, limit).await?,
        None => Vec::new(),
    };
    Ok(Page { schema: Arc::clone(file.reader.schema()), batches, total_rows: file.rows() })
}

async fn decode(
    caches: &ReadCaches,
    object: DataObject,
    file: &PageFile,
    part: Part,
    limit: usize,
) -> Result<Vec<RecordBatch>> {
    let location = object.location().clone();
    let reader = Reader::plain(object, caches.clone());
    let rows = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, file.reader.clone())
        .with_row_groups(part.groups)
        .with_row_selection(part.rows)
        .with_batch_size(limit.min(BATCH_ROWS))
        .build()
        .map_err(|error| unreadable(&location, error))?;
    rows.try_collect().await.map_err(|error| unreadable(&location, error))
}

fn unreadable(location: &Location, error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => damaged(location, ParquetError::External(other)),
        },
        error => damaged(location, error),
    }
}

/// What reading pages of one file needs, made once.
#[derive(Debug)]
pub(crate) struct PageFile {
    reader: ArrowReaderMetadata,
    /// First row of each row group, and the number of all rows.
    starts: Vec<u64>,
}

/// Row groups, and the rows of them.
struct Part {
    groups: Vec<usize>,
    rows: RowSelection,
}

impl PageFile {
    pub(crate) fn new(footer: Arc<ParquetMetaData>, location: &Location) -> Result<Self> {
        let mut starts = Vec::with_capacity(footer.num_row_groups() + 1);
        starts.push(0);
        let mut rows = 0u64;
        for group in footer.row_groups() {
            rows += u64::try_from(group.num_rows()).unwrap_or(0);
            starts.push(rows);
        }
        let options = ArrowReaderOptions::new().with_schema(file_schema(&footer, location)?);
        let reader = ArrowReaderMetadata::try_new(footer, options).map_err(|error| damaged(location, error))?;
        Ok(Self { reader, starts })
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.reader.metadata().memory_size() + self.starts.len() * std::mem::size_of::<u64>()
    }

    fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Where rows `offset..offset + limit` lie; `None` where there are none.
    fn part(&self, offset: u64, limit: usize) -> Option<Part> {
        let end = offset.saturating_add(limit as u64).min(self.rows());
        if offset >= end {
            return None;
        }
        let first = self.starts.partition_point(|start| *start <= offset) - 1;
        let last = self.starts.partition_point(|start| *start < end) - 1;
        let skip = (offset - self.starts[first]) as usize;
        let take = (end - offset) as usize;
        let rest = (self.starts[last + 1] - end) as usize;
        let rows = [RowSelector::skip(skip), RowSelector::select(take), RowSelector::skip(rest)];
        Some(Part { groups: (first..=last).collect(), rows: RowSelection::from(rows.to_vec()) })
    }
}
