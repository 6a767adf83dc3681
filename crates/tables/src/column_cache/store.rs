//! Decoded columns of Parquet files in memory: what many queries scan again and again is unpacked once.
//!
//! A column is kept from the second scan on that asks for it, so that a single pass over a lake moves nothing in or out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewArray, GenericByteViewArray, StringViewArray},
    datatypes::{ByteViewType, DataType},
};
use metrics::{counter, gauge};
use moka::future::Cache;

use crate::caches::FileVersion;

/// Rows of the arrays that are kept: those of the engine's batches, so that a batch owns what it holds.
pub(crate) const KEPT_ROWS: usize = 16_384;
/// Batches of fewer rows, which are wide ones, would hold so much more than their own part of the kept arrays that an
/// operator's account of its memory meant nothing.
pub(crate) const FEWEST_BATCH_ROWS: usize = KEPT_ROWS / 2;
/// Columns of files for which it is remembered that somebody asked.
const ASKED_COLUMNS: u64 = 200_000;
/// Share of the cache that the columns of one row group may take: its oldest part.
const LARGEST_GROUP: u64 = 8;

/// Tells the scans of a process apart: those of a file's parts by several threads are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanNumber(u64);

/// One column of one row group, in arrays of [`KEPT_ROWS`] rows; the last is shorter.
pub(crate) type Chunk = Arc<[ArrayRef]>;

/// The cache, bounded in bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ColumnCache {
    chunks: Cache<ChunkKey, Chunk>,
    /// By file and column the scan that asked first.
    asked: Cache<(Arc<FileVersion>, usize), ScanNumber>,
    scans: Arc<AtomicU64>,
    bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ChunkKey {
    file: Arc<FileVersion>,
    group: usize,
    column: usize,
}

impl ColumnCache {
    /// A cache of at most this many bytes; None for 0.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let chunks = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &ChunkKey, chunk: &Chunk| weight(chunk))
            .eviction_listener(|_, chunk, cause| {
                gauge!("lakebed_column_cache_size_bytes").decrement(weight(&chunk));
                if cause.was_evicted() {
                    counter!("lakebed_column_cache_evictions_total").increment(1);
                }
            })
            .build();
        let asked = Cache::builder().max_capacity(ASKED_COLUMNS).build();
        (bytes > 0).then(|| Self { chunks, asked, scans: Arc::default(), bytes })
    }

    /// Bytes that decoding one row group may take at most.
    pub(crate) fn largest_group(&self) -> u64 {
        self.bytes / LARGEST_GROUP
    }

    /// A number for a scan that begins.
    pub(crate) fn next_scan(&self) -> ScanNumber {
        ScanNumber(self.scans.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes that a scan wants these columns of the file; whether other scans wanted all of them before.
    pub(crate) async fn wanted_before(&self, scan: ScanNumber, file: &Arc<FileVersion>, columns: &[usize]) -> bool {
        let mut before = true;
        for column in columns {
            let first = self.asked.get_with((Arc::clone(file), *column), async { scan }).await;
            before &= first != scan;
        }
        before
    }

    /// Whether the column of the row group is here, without counting as a use.
    pub(crate) fn holds(&self, file: &Arc<FileVersion>, group: usize, column: usize) -> bool {
        self.chunks.contains_key(&ChunkKey { file: Arc::clone(file), group, column })
    }

    /// The column of the row group if it is here, as values of this type.
    pub(crate) async fn get(
        &self,
        file: &Arc<FileVersion>,
        group: usize,
        column: usize,
        data_type: &DataType,
    ) -> Option<Chunk> {
        let chunk = self.chunks.get(&ChunkKey { file: Arc::clone(file), group, column }).await;
        let chunk = chunk.filter(|chunk| chunk.iter().all(|array| array.data_type() == data_type));
        match chunk {
            Some(_) => counter!("lakebed_column_cache_hits_total").increment(1),
            None => counter!("lakebed_column_cache_misses_total").increment(1),
        }
        chunk
    }

    /// Keeps a column of a row group, as far as there is room.
    pub(crate) async fn keep(&self, file: &Arc<FileVersion>, group: usize, column: usize, chunk: &Chunk) {
        gauge!("lakebed_column_cache_size_bytes").increment(weight(chunk));
        self.chunks.insert(ChunkKey { file: Arc::clone(file), group, column }, Arc::clone(chunk)).await;
    }

    /// Drops all that is kept; how many bytes that were.
    pub(crate) async fn clear(&self) -> u64 {
        self.settle().await;
        let bytes = self.chunks.weighted_size();
        self.chunks.invalidate_all();
        self.settle().await;
        bytes
    }

    /// Holds the bound again.
    pub(crate) async fn settle(&self) {
        self.chunks.run_pending_tasks().await;
    }
}

fn weight(chunk: &Chunk) -> u32 {
    let bytes: usize = chunk.iter().map(|array| array.get_array_memory_size()).sum();
    u32::try_from(bytes + std::mem::size_of::<ChunkKey>()).unwrap_or(u32::MAX)
}

/// An array that owns little more than its values: text that was cut from pages is copied where the pages are larger.
pub(crate) fn compact(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => compact_views(array.as_string_view())
            .map_or(array, |compacted: StringViewArray| Arc::new(compacted) as ArrayRef),
        DataType::BinaryView => compact_views(array.as_binary_view())
            .map_or(array, |compacted: BinaryViewArray| Arc::new(compacted) as ArrayRef),
        _ => array,
    }
}

fn compact_views<T: ByteViewType + ?Sized>(array: &GenericByteViewArray<T>) -> Option<GenericByteViewArray<T>> {
    let held: usize = array.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    (held > array.total_buffer_bytes_used()).then(|| array.gc())
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use lakebed_storage::Location;

    use super::*;

    fn file(name: &str) -> Arc<FileVersion> {
        let location = Location::parse(&format!("s3://bucket/{name}")).expect("a location");
        Arc::new(FileVersion::named(location, "1"))
    }

    fn chunk(rows: i64) -> Chunk {
        Arc::new([Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef])
    }

    #[tokio::test]
    async fn a_column_counts_as_wanted_from_the_second_time_on() {
        let cache = ColumnCache::new(1 << 20).expect("a cache");
        let (first, second, third) = (cache.next_scan(), cache.next_scan(), cache.next_scan());
        assert!(!cache.wanted_before(first, &file("a"), &[0, 1]).await);
        assert!(!cache.wanted_before(first, &file("a"), &[0, 1]).await, "another part of the same scan");
        assert!(!cache.wanted_before(second, &file("a"), &[1, 2]).await, "column 2 is new");
        assert!(cache.wanted_before(third, &file("a"), &[0, 1, 2]).await);
        assert!(!cache.wanted_before(third, &file("b"), &[0]).await);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_has_the_type_that_is_asked_for() {
        let cache = ColumnCache::new(100_000).expect("a cache");
        for group in 0..50 {
            cache.keep(&file("a"), group, 0, &chunk(1_000)).await;
        }
        cache.settle().await;
        assert!(cache.chunks.weighted_size() <= 100_000);
        let held = (0..50).filter(|group| cache.holds(&file("a"), *group, 0)).collect::<Vec<_>>();
        assert!(!held.is_empty() && held.len() < 13, "{held:?}");
        assert!(cache.get(&file("a"), held[0], 0, &DataType::Int64).await.is_some());
        assert!(cache.get(&file("a"), held[0], 0, &DataType::Int32).await.is_none());
        assert!(cache.clear().await > 0);
        assert!(!cache.holds(&file("a"), held[0], 0));
        assert_eq!(cache.clear().await, 0);
        assert!(ColumnCache::new(0).is_none());
    }

    #[test]
    fn text_that_shares_a_page_is_copied_out() {
        let long: StringViewArray =
            (0..1_000).map(|n| Some(format!("a text that is not inlined, number {n}"))).collect();
        let few: ArrayRef = Arc::new(long.slice(10, 3));
        let compacted = compact(Arc::clone(&few));
        assert_eq!(&compacted, &few);
        assert!(compacted.get_array_memory_size() < few.get_array_memory_size() / 10);
    }
}
