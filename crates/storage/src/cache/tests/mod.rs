//! The cache over a store that counts, waits and fails as a test wants it.

mod limits;
mod reading;
mod sharing;
mod store;

use std::sync::Arc;

use bytes::Bytes;
use lakebed_types::ErrorKind;
use object_store::{ObjectStore, ObjectStoreExt, Result, path::Path};

use super::{
    BlockCache,
    blocks::{BLOCK_BYTES, StoreBlocks},
};
use crate::{
    Location, Mode, ObjectVersion, StoreCounters, allow_list::AllowList, bucket::Bucket, classify,
    counted::CountedStore, counters::Meter,
};
use store::TestStore;

const ENOUGH_BYTES: u64 = 64 << 20;

/// A bucket `s3://lake` with a cache in front.
struct Lake {
    store: Arc<TestStore>,
    blocks: StoreBlocks,
    bucket: Bucket,
}

/// One query.
#[derive(Clone)]
struct Reader {
    store: Arc<dyn ObjectStore>,
    counters: Arc<StoreCounters>,
}

impl Lake {
    fn new(cache_bytes: u64) -> Self {
        let root = Location::parse("s3://lake/").unwrap();
        let allowed = Arc::new(AllowList::new(&root));
        allowed.allow(&root, Mode::ReadWrite);
        let store = Arc::new(TestStore::default());
        let meter = Meter::new(Arc::default(), None);
        let counted = CountedStore { client: store.clone(), meter, requests: None };
        let blocks = BlockCache::new(cache_bytes).unwrap().of_store(root.store_url());
        let bucket = Bucket::new(counted, Some(blocks.clone()), allowed);
        Self { store, blocks, bucket }
    }

    /// Writes an object, and lists it.
    async fn put(&self, name: &str, bytes: &[u8]) -> ObjectVersion {
        let path = Path::from(name);
        self.store.inner.put(&path, Bytes::copy_from_slice(bytes).into()).await.unwrap();
        ObjectVersion::new(self.store.inner.head(&path).await.unwrap())
    }

    fn reader(&self) -> Reader {
        let counters = Arc::<StoreCounters>::default();
        let store = self.bucket.cached(Meter::new(Arc::default(), Some(counters.clone())));
        Reader { store, counters }
    }
}

impl Reader {
    async fn read(&self, version: &ObjectVersion, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.store.get_opts(&version.meta().location, version.range(range)).await?.bytes().await
    }

    async fn read_all(&self, version: &ObjectVersion) -> Result<Bytes> {
        self.read(version, 0..version.meta().size).await
    }

    /// Requests, bytes fetched, bytes from the cache, hits, misses.
    fn counted(&self) -> [u64; 5] {
        let counters = &self.counters;
        [
            counters.requests(),
            counters.bytes_read(),
            counters.bytes_cached(),
            counters.cache_hits(),
            counters.cache_misses(),
        ]
    }
}

/// So many blocks of bytes, and some more, which are not the same anywhere.
fn content(blocks: u64, more: u64, seed: u64) -> Vec<u8> {
    let length = (blocks * BLOCK_BYTES + more) as usize;
    let words = (0..).map(|at: u64| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

fn kind_of(error: object_store::Error) -> ErrorKind {
    classify(error, &"s3://lake/t").kind()
}
