//! What stays in memory between queries: Parquet footers, page indexes, the rows around pages, and decoded columns.

use std::{ops::Range, sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use lakebed_storage::Location;
use lakebed_types::{Error, ErrorKind, Result};
use moka::future::Cache;
use object_store::ObjectMeta;
use parquet::{
    DecodeResult,
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder},
};

use crate::{
    column_cache::ColumnCache,
    contained::{contained, contained_step},
    object::DataObject,
    page::PageFile,
};

/// Asked for at the end of a file whose footer's length is not known.
pub(crate) const TAIL_BYTES: u64 = 512 * 1024;
/// For how long a page may trust that a file is as it was.
const CHECKED_FOR: Duration = Duration::from_secs(1);
/// Files whose last check is remembered.
const CHECKED_FILES: u64 = 100_000;

/// Parquet footers, page indexes, blocks of rows and decoded columns in memory, keyed by path and ETag (or size and time),
/// bounded in bytes. Shared by all queries; cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadCaches {
    footers: Cache<FooterKey, Arc<ParquetMetaData>>,
    pages: Cache<FooterKey, Arc<PageFile>>,
    /// By the file and the block's number.
    blocks: Cache<(FooterKey, u64), RecordBatch>,
    checked: Cache<Location, Arc<ObjectMeta>>,
    columns: Option<ColumnCache>,
}

/// A version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileVersion {
    location: Location,
    /// ETag, else size and time.
    tag: String,
}

impl FileVersion {
    pub(crate) fn new(location: Location, meta: &ObjectMeta) -> Self {
        let tag = match &meta.e_tag {
            Some(tag) => format!("{}:{tag}", meta.size),
            None => format!("{}@{}", meta.size, meta.last_modified.timestamp_micros()),
        };
        Self { location, tag }
    }

    #[cfg(test)]
    pub(crate) fn named(location: Location, tag: &str) -> Self {
        Self { location, tag: tag.to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FooterKey {
    file: FileVersion,
    indexed: bool,
}

impl FooterKey {
    fn new(object: &DataObject, indexed: bool) -> Self {
        Self { file: FileVersion::new(object.location().clone(), object.meta()), indexed }
    }

    fn bytes(&self) -> usize {
        std::mem::size_of::<Self>() + self.file.location.path().as_ref().len() + self.file.tag.len()
    }
}

impl ReadCaches {
    /// Caches that hold at most `bytes` of footers, page indexes and blocks of rows, and `column_bytes` of decoded columns
    /// (0: none is kept).
    pub fn new(bytes: u64, column_bytes: u64) -> Self {
        let weigh = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        // A page reader adds little to the footer that it shares; it keeps that footer alive, so both are weighed.
        Self {
            footers: Cache::builder()
                .max_capacity(bytes / 2)
                .weigher(move |key: &FooterKey, footer: &Arc<ParquetMetaData>| {
                    weigh(key.bytes() + footer.memory_size())
                })
                .build(),
            pages: Cache::builder()
                .max_capacity(bytes / 4)
                .weigher(move |key: &FooterKey, file: &Arc<PageFile>| weigh(key.bytes() + file.memory_size()))
                .build(),
            blocks: Cache::builder()
                .max_capacity(bytes / 4)
                .weigher(move |(key, _): &(FooterKey, u64), block: &RecordBatch| {
                    weigh(key.bytes() + block.get_array_memory_size())
                })
                .build(),
            checked: Cache::builder().max_capacity(CHECKED_FILES).time_to_live(CHECKED_FOR).build(),
            columns: ColumnCache::new(column_bytes),
        }
    }

    /// Drops the decoded columns, for a process that is short of memory; how many bytes that were.
    pub async fn drop_columns(&self) -> u64 {
        match &self.columns {
            Some(columns) => columns.clear().await,
            None => 0,
        }
    }

    /// Decoded columns, where they are kept.
    pub(crate) fn columns(&self) -> Option<&ColumnCache> {
        self.columns.as_ref()
    }

    /// The footer of a file, with its page indexes if `indexed`. Concurrent callers share one read. `tail_bytes`: how much
    /// of the file's end to ask for first.
    pub(crate) async fn footer(
        &self,
        object: &DataObject,
        indexed: bool,
        tail_bytes: u64,
    ) -> Result<Arc<ParquetMetaData>, Arc<Error>> {
        if !indexed && let Some(footer) = self.footers.get(&FooterKey::new(object, true)).await {
            return Ok(footer);
        }
        let read = async {
            let (footer, _) = contained(object.location(), read_footer(object, indexed, tail_bytes)).await??;
            Ok(Arc::new(footer))
        };
        self.footers.try_get_with(FooterKey::new(object, indexed), read).await
    }

    /// What reading pages of a file needs, made once per version of the file.
    pub(crate) async fn page_file(&self, object: &DataObject) -> Result<Arc<PageFile>, Arc<Error>> {
        let read = async {
            let footer = self.footer(object, true, TAIL_BYTES).await.map_err(shared)?;
            contained_step(object.location(), || PageFile::new(footer, object.location()))?.map(Arc::new)
        };
        self.pages.try_get_with(FooterKey::new(object, true), read).await
    }

    /// A block of a file's rows. Concurrent callers share one reading.
    pub(crate) async fn block(
        &self,
        object: &DataObject,
        number: u64,
        read: impl Future<Output = Result<RecordBatch>>,
    ) -> Result<RecordBatch, Arc<Error>> {
        self.blocks.try_get_with((FooterKey::new(object, true), number), read).await
    }

    /// Whether all of these blocks are there.
    pub(crate) fn holds(&self, object: &DataObject, mut numbers: Range<u64>) -> bool {
        let key = FooterKey::new(object, true);
        numbers.all(|number| self.blocks.contains_key(&(key.clone(), number)))
    }

    /// How a file is now, asked of the store at most once a second.
    pub(crate) async fn checked(
        &self,
        location: &Location,
        look: impl Future<Output = Result<ObjectMeta>>,
    ) -> Result<Arc<ObjectMeta>, Arc<Error>> {
        self.checked.try_get_with(location.clone(), async { look.await.map(Arc::new) }).await
    }

    /// Asks the store again the next time.
    pub(crate) async fn forget(&self, location: &Location) {
        self.checked.invalidate(location).await;
    }
}

/// An error that several waiters got, as one's own.
pub(crate) fn shared(error: Arc<Error>) -> Error {
    match Arc::try_unwrap(error) {
        Ok(error) => error,
        Err(error) => {
            let copy = Error::new(error.kind(), error.message());
            let copy = match error.hint() {
                Some(hint) => copy.with_hint(hint),
                None => copy,
            };
            copy.with_source(error)
        }
    }
}

/// Reads a footer: one request if `tail_bytes` reaches far enough, else a second one. Also tells how many bytes from the
/// file's end would have been enough.
pub(crate) async fn read_footer(object: &DataObject, indexed: bool, tail_bytes: u64) -> Result<(ParquetMetaData, u64)> {
    let size = object.meta().size;
    let damaged = |error| damaged(object.location(), error);
    let policy = if indexed { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let mut decoder = ParquetMetaDataPushDecoder::try_new(size).map_err(damaged)?.with_page_index_policy(policy);
    let tail = size.saturating_sub(tail_bytes.max(8))..size;
    let mut ranges = Vec::from([tail]);
    let mut footer_bytes = 0;
    loop {
        let buffers = object.read_many(&ranges).await?;
        if footer_bytes == 0 {
            footer_bytes = buffers.first().map_or(0, |end| footer_length(end));
            // The decoder would look for it before the beginning of the file.
            if footer_bytes > size {
                return Err(damaged(ParquetError::EOF(format!(
                    "a footer of {footer_bytes} bytes in a file of {size}"
                ))));
            }
        }
        decoder.push_ranges(ranges, buffers).map_err(damaged)?;
        match decoder.try_decode().map_err(damaged)? {
            DecodeResult::Data(footer) => {
                let start = index_start(&footer).unwrap_or(size);
                return Ok((footer, footer_bytes.max(size.saturating_sub(start))));
            }
            DecodeResult::NeedsData(more) => ranges = more,
            DecodeResult::Finished => return Err(damaged(ParquetError::EOF("no footer".to_owned()))),
        }
    }
}

/// The footer's length as the last 8 bytes of the file tell it, these included.
fn footer_length(end: &[u8]) -> u64 {
    match end.last_chunk::<8>() {
        Some([a, b, c, d, ..]) => u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 8,
        None => 0,
    }
}

/// Where the page indexes begin.
pub(crate) fn index_start(footer: &ParquetMetaData) -> Option<u64> {
    let columns = footer.row_groups().iter().flat_map(|group| group.columns());
    let offsets = columns.flat_map(|column| [column.column_index_offset(), column.offset_index_offset()]);
    offsets.flatten().filter_map(|offset| u64::try_from(offset).ok()).min()
}

/// A file that is not the Parquet that it should be. Keeps an error of the store as it is.
pub(crate) fn damaged(location: &Location, error: ParquetError) -> Error {
    Error::new(ErrorKind::CorruptFile, format!("{location} is damaged: {error}"))
        .with_hint("The file may have been cut while it was written or copied; replace or remove it.")
        .with_source(error)
}
