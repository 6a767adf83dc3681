//! Requests and bytes, counted.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::counter;

/// Requests and bytes since the start, or for one query.
#[derive(Debug, Default)]
pub struct StoreCounters {
    requests: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    bytes_cached: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

impl StoreCounters {
    /// Requests sent to stores, without retries; each page of a LIST is one.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of objects that came from stores.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Bytes of objects that went to stores.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::Relaxed)
    }

    /// Bytes that readers asked for and got without a request of their own: from a cache, or from a request that another
    /// reader had under way.
    pub fn bytes_cached(&self) -> u64 {
        self.bytes_cached.load(Ordering::Relaxed)
    }

    /// Counts bytes that nobody had to ask for, because what they say is in memory.
    pub fn spare(&self, bytes: u64) {
        self.bytes_cached.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Blocks that readers got without a request of their own.
    pub fn cache_hits(&self) -> u64 {
        self.cache_hits.load(Ordering::Relaxed)
    }

    /// Blocks that readers had to fetch.
    pub fn cache_misses(&self) -> u64 {
        self.cache_misses.load(Ordering::Relaxed)
    }
}

/// Where a reader got a block from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockSource {
    /// The cache.
    Memory,
    /// Another reader's request.
    Shared,
    /// Its own request.
    Store,
}

/// What a store counts into: the whole process's counters and metrics, and one query's where there is one.
#[derive(Clone)]
pub(crate) struct Meter {
    process: Arc<StoreCounters>,
    query: Option<Arc<StoreCounters>>,
}

impl Meter {
    pub(crate) fn new(process: Arc<StoreCounters>, query: Option<Arc<StoreCounters>>) -> Self {
        Self { process, query }
    }

    /// One request, named as in the metric's label.
    pub(crate) fn request(&self, operation: &'static str) {
        self.add(1, |counters| &counters.requests);
        counter!("lakebed_store_requests_total", "operation" => operation).increment(1);
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.add(bytes, |counters| &counters.bytes_read);
        counter!("lakebed_store_bytes_total", "direction" => "read").increment(bytes);
    }

    pub(crate) fn written(&self, bytes: u64) {
        self.add(bytes, |counters| &counters.bytes_written);
        counter!("lakebed_store_bytes_total", "direction" => "written").increment(bytes);
    }

    /// A block for a reader, of which it asked for so many bytes.
    pub(crate) fn block(&self, from: BlockSource, bytes: u64) {
        let from = match from {
            BlockSource::Store => {
                self.add(1, |counters| &counters.cache_misses);
                counter!("lakebed_cache_misses_total").increment(1);
                return;
            }
            BlockSource::Memory => "memory",
            BlockSource::Shared => "shared",
        };
        self.add(1, |counters| &counters.cache_hits);
        self.add(bytes, |counters| &counters.bytes_cached);
        counter!("lakebed_cache_hits_total", "from" => from).increment(1);
        counter!("lakebed_cache_bytes_total").increment(bytes);
    }

    fn add(&self, count: u64, which: impl Fn(&StoreCounters) -> &AtomicU64) {
        which(&self.process).fetch_add(count, Ordering::Relaxed);
        if let Some(query) = &self.query {
            which(query).fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter(requests: {})", self.process.requests())
    }
}
