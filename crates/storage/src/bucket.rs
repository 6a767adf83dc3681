//! One store with its layers: the allow-list on top, the block cache where readers want it, the counted client.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::{
    allow_list::AllowList,
    cache::{CachedStore, StoreBlocks},
    counted::CountedStore,
    counters::Meter,
    guarded::GuardedStore,
};

/// A bucket, the local files or a store in memory, as this process may reach it.
#[derive(Debug)]
pub(crate) struct Bucket {
    counted: CountedStore,
    blocks: Option<StoreBlocks>,
    allowed: Arc<AllowList>,
    store: Arc<GuardedStore>,
}

impl Bucket {
    /// `blocks`: the cache for what is read of it; None where it is switched off, and for stores that are near.
    pub(crate) fn new(counted: CountedStore, blocks: Option<StoreBlocks>, allowed: Arc<AllowList>) -> Self {
        let store = Arc::new(GuardedStore { below: Arc::new(counted.clone()), allowed: allowed.clone() });
        Self { counted, blocks, allowed, store }
    }

    pub(crate) fn allowed(&self) -> &AllowList {
        &self.allowed
    }

    /// The store past the cache, counting for the whole process only.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// The store behind the cache, counting into `meter`.
    pub(crate) fn cached(&self, meter: Meter) -> Arc<dyn ObjectStore> {
        let counted = Arc::new(CountedStore { meter: meter.clone(), ..self.counted.clone() });
        let below: Arc<dyn ObjectStore> = match self.blocks.clone() {
            Some(blocks) => Arc::new(CachedStore::new(counted, blocks, meter)),
            None => counted,
        };
        Arc::new(GuardedStore { below, allowed: self.allowed.clone() })
    }
}
