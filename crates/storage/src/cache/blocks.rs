//! What is in memory, and what is on its way there.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use metrics::{counter, gauge};
use moka::future::Cache;
use object_store::path::Path;
use url::Url;

use super::flight::Flights;
use crate::ObjectVersion;

/// Bytes of a block; the last one of an object may be shorter.
pub(super) const BLOCK_BYTES: u64 = 256 * 1024;
/// Taken by an entry beside its block and its path.
const ENTRY_BYTES: usize = 256;

/// The blocks of all remote stores, bounded in bytes. A block that nobody asks for a second time gives way to one that
/// was asked for more often (TinyLFU), so that a large scan does not wipe out what others use; uses are counted once
/// half of the room is taken. Cheap to clone.
#[derive(Clone)]
pub(crate) struct BlockCache {
    blocks: Cache<BlockKey, Bytes>,
    flights: Arc<Flights>,
}

/// A version of an object.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectKey {
    store: Arc<Url>,
    pub(super) path: Path,
    version: String,
}

/// A block of a version of an object; block `n` begins at byte `n * BLOCK_BYTES`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BlockKey {
    pub(super) object: Arc<ObjectKey>,
    pub(super) block: u64,
}

impl BlockKey {
    fn weight(&self, block: &Bytes) -> u32 {
        let bytes = block.len() + ENTRY_BYTES + self.object.path.as_ref().len() + self.object.version.len();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

impl BlockCache {
    /// A cache of at most this many bytes; None for 0.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let cache = Cache::builder().max_capacity(bytes).weigher(BlockKey::weight);
        let cache = cache.eviction_listener(|key, block, cause| {
            gauge!("lakebed_cache_size_bytes").decrement(key.weight(&block));
            if cause.was_evicted() {
                counter!("lakebed_cache_evictions_total").increment(1);
            }
        });
        (bytes > 0).then(|| Self { blocks: cache.build(), flights: Arc::default() })
    }

    /// The part for one store.
    pub(crate) fn of_store(&self, store: Url) -> StoreBlocks {
        StoreBlocks { cache: self.clone(), store: Arc::new(store) }
    }

    pub(super) fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// Those of an object's blocks that are here.
    pub(super) async fn present(&self, object: &Arc<ObjectKey>, blocks: Range<u64>) -> Vec<Option<Bytes>> {
        let mut present = Vec::with_capacity((blocks.end - blocks.start) as usize);
        for block in blocks {
            present.push(self.blocks.get(&BlockKey { object: object.clone(), block }).await);
        }
        present
    }

    /// The same, without counting as a use of them.
    pub(super) async fn look_again(&self, object: &Arc<ObjectKey>, blocks: Range<u64>) -> Vec<Option<Bytes>> {
        let mut present = Vec::with_capacity((blocks.end - blocks.start) as usize);
        for block in blocks {
            let key = BlockKey { object: object.clone(), block };
            let there = self.blocks.contains_key(&key);
            present.push(if there { self.blocks.get(&key).await } else { None });
        }
        present
    }

    /// Keeps neighbouring blocks, as far as there is room for them. When it returns the bound is kept again.
    pub(super) async fn keep(&self, object: &Arc<ObjectKey>, first: u64, blocks: &[Bytes]) {
        for (block, bytes) in (first..).zip(blocks) {
            let key = BlockKey { object: object.clone(), block };
            gauge!("lakebed_cache_size_bytes").increment(key.weight(bytes));
            self.blocks.insert(key, bytes.clone()).await;
        }
        self.blocks.run_pending_tasks().await;
    }

    /// Bytes in use, once all that is pending is done.
    #[cfg(test)]
    pub(super) async fn size_bytes(&self) -> u64 {
        self.blocks.run_pending_tasks().await;
        let counted: u64 = self.blocks.iter().map(|(key, block)| u64::from(key.weight(&block))).sum();
        assert_eq!(counted, self.blocks.weighted_size());
        counted
    }
}

impl fmt::Debug for BlockCache {
    /// Leaves the blocks out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockCache({} bytes)", self.blocks.weighted_size())
    }
}

/// The blocks of one store.
#[derive(Debug, Clone)]
pub(crate) struct StoreBlocks {
    pub(super) cache: BlockCache,
    store: Arc<Url>,
}

impl StoreBlocks {
    /// The key of an object; None where its versions cannot be told apart.
    pub(super) fn object(&self, version: &ObjectVersion) -> Option<Arc<ObjectKey>> {
        let path = version.meta().location.clone();
        Some(Arc::new(ObjectKey { store: self.store.clone(), path, version: version.key()? }))
    }
}
