//! A page of one Parquet file, without SQL.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::SchemaRef,
};
use futures::{TryFutureExt, TryStreamExt};
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
    contained::contained,
    inspect::file_schema,
    object::DataObject,
    reader::Reader,
};

/// Rows decoded at once.
const BATCH_ROWS: usize = 8192;
/// Small pages are cut from blocks of this many rows, which are kept: whoever reads a page reads the next one too, and to
/// decode one row costs nearly as much as to decode all that were compressed with it.
const BLOCK_ROWS: usize = 4096;

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

/// A page of one Parquet file, straight from the right row group and page: its cost does not grow with `offset`. Rows near
/// those of an earlier page are kept in memory. The rows are those of the file as it is now: where nothing must be read, the
/// store is asked how the file is; else its answers tell, and a remote store is asked at most once a second. `limit` bounds
/// the memory.
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
    let described = |meta| DataObject::new(Arc::clone(&store), location.clone(), meta);
    let mut object = if location.is_local() {
        described(storage.head(location).await?).seen()
    } else {
        described(caches.checked(location, storage.head(location)).await.map_err(shared)?.as_ref().clone())
    };
    let mut file = caches.page_file(&object).await.map_err(shared)?;
    if !location.is_local() && limit <= BLOCK_ROWS && caches.holds(&object, blocks(&file.wanted(offset, limit))) {
        // Nothing would be read, and no answer of the store would show that the file was replaced.
        object = described(storage.head(location).await?);
        file = caches.page_file(&object).await.map_err(shared)?;
    }
    let rows = file.wanted(offset, limit);
    let batches = if rows.is_empty() {
        Vec::new()
    } else if limit > BLOCK_ROWS {
        decode(caches, &object, &file, rows).await?
    } else {
        from_blocks(caches, &object, &file, rows).await?
    };
    Ok(Page { schema: Arc::clone(file.reader.schema()), batches, total_rows: file.rows() })
}

/// The numbers of the blocks that hold rows.
fn blocks(rows: &Range<u64>) -> Range<u64> {
    rows.start / BLOCK_ROWS as u64..rows.end.div_ceil(BLOCK_ROWS as u64)
}

/// Rows cut from the blocks that hold them, which are decoded only where they are not kept.
async fn from_blocks(
    caches: &ReadCaches,
    object: &DataObject,
    file: &PageFile,
    rows: Range<u64>,
) -> Result<Vec<RecordBatch>> {
    let size = BLOCK_ROWS as u64;
    let mut batches = Vec::new();
    for number in blocks(&rows) {
        let start = number * size;
        let read = async {
            let decoded = decode(caches, object, file, start..file.rows().min(start + size)).await?;
            one_batch(file.reader.schema(), &decoded)
        };
        let block = caches.block(object, number, read).await.map_err(shared)?;
        let from = rows.start.saturating_sub(start) as usize;
        let to = (rows.end - start).min(block.num_rows() as u64) as usize;
        batches.push(block.slice(from, to - from));
    }
    Ok(batches)
}

/// One batch without bytes of other rows: texts otherwise keep alive all that was decompressed with them.
fn one_batch(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let failed = |error| Error::internal("rows of a page cannot be joined").with_source(error);
    let batch = concat_batches(schema, batches).map_err(failed)?;
    let columns = batch.columns().iter().map(|column| match column.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()) as ArrayRef,
        None => Arc::clone(column),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).map_err(failed)
}

async fn decode(
    caches: &ReadCaches,
    object: &DataObject,
    file: &PageFile,
    rows: Range<u64>,
) -> Result<Vec<RecordBatch>> {
    let location = object.location();
    let limit = (rows.end - rows.start) as usize;
    let part = file.part(rows);
    let reader = Reader::plain(object.clone(), caches.clone());
    let rows = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, file.reader.clone())
        .with_row_groups(part.groups)
        .with_row_selection(part.rows)
        .with_batch_size(limit.min(BATCH_ROWS))
        .build()
        .map_err(|error| unreadable(location, error))?;
    contained(location, rows.try_collect().map_err(|error| unreadable(location, error))).await?
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

    /// The rows `offset..offset + limit` as far as the file has them.
    fn wanted(&self, offset: u64, limit: usize) -> Range<u64> {
        offset.min(self.rows())..offset.saturating_add(limit as u64).min(self.rows())
    }

    /// Where rows of the file lie; there must be some.
    fn part(&self, wanted: Range<u64>) -> Part {
        let first = self.starts.partition_point(|start| *start <= wanted.start) - 1;
        let last = self.starts.partition_point(|start| *start < wanted.end) - 1;
        let skip = (wanted.start - self.starts[first]) as usize;
        let take = (wanted.end - wanted.start) as usize;
        let rest = (self.starts[last + 1] - wanted.end) as usize;
        let rows = [RowSelector::skip(skip), RowSelector::select(take), RowSelector::skip(rest)];
        Part { groups: (first..=last).collect(), rows: RowSelection::from(rows.to_vec()) }
    }
}
