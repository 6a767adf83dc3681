//! The block cache in front of a real S3 server.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use lakebed_storage::{Location, Mode, ObjectVersion, Storage, StorageSettings, StoreCounters, classify};
use lakebed_testkit::{S3Key, S3Server};
use lakebed_types::{Error, ErrorKind};
use object_store::{ObjectMeta, ObjectStoreExt};

struct Lake {
    storage: Storage,
    folder: Location,
}

impl Lake {
    fn new(settings: StorageSettings) -> Self {
        let folder = Location::parse("s3://lake/t/").unwrap();
        let storage = Storage::new(settings);
        storage.allow(&folder, Mode::ReadWrite).unwrap();
        Self { storage, folder }
    }

    /// Writes an object; how a LIST tells of it afterwards.
    async fn put(&self, name: &str, bytes: &[u8]) -> ObjectMeta {
        let location = self.folder.child(name).unwrap();
        let store = self.storage.store(&location).unwrap();
        store.put(location.path(), Bytes::copy_from_slice(bytes).into()).await.unwrap();
        let listed: Vec<_> = self.storage.list(&self.folder).try_collect().await.unwrap();
        listed.into_iter().find(|meta| meta.location == *location.path()).unwrap()
    }

    /// Reads as a query does, and tells requests, bytes fetched and bytes from the cache.
    async fn read(&self, meta: &ObjectMeta, range: Range<u64>) -> Result<(Bytes, [u64; 3]), Error> {
        let counters = Arc::<StoreCounters>::default();
        let location = self.folder.sibling(&meta.location);
        let store = self.storage.counted(&location, counters.clone())?;
        let failed = |error| classify(error, &location);
        let options = ObjectVersion::new(meta.clone()).range(range);
        let bytes = store.get_opts(&meta.location, options).await.map_err(failed)?.bytes().await.map_err(failed)?;
        Ok((bytes, [counters.requests(), counters.bytes_read(), counters.bytes_cached()]))
    }
}

fn content(seed: usize) -> Vec<u8> {
    (0..1_000_000).map(|at: usize| (at.wrapping_mul(seed) >> 7) as u8).collect()
}

#[tokio::test]
async fn an_s3_server() {
    let Some(mut server) = S3Server::start().unwrap() else { return };
    server.create_bucket("lake").unwrap();
    let lake = Lake::new(StorageSettings { cache_bytes: 64 << 20, ..server.settings(S3Key::Admin) });
    let (old, new) = (content(31), content(77));
    let listed = lake.put("x", &old).await;

    let cold = lake.read(&listed, 100..900_000).await.unwrap();
    assert_eq!((cold.0.as_ref(), cold.1), (&old[100..900_000], [1, 1_000_000, 0]));
    let warm = lake.read(&listed, 100..900_000).await.unwrap();
    assert_eq!((warm.0.as_ref(), warm.1), (&old[100..900_000], [0, 0, 899_900]));

    // Some stores list tags without quotes.
    let bare = listed.e_tag.as_ref().map(|tag| tag.trim_matches('"').to_owned());
    let fresh = Lake::new(StorageSettings { cache_bytes: 64 << 20, ..server.settings(S3Key::Reader) });
    let unquoted = ObjectMeta { e_tag: bare, ..listed.clone() };
    for counted in [[1, 1_000_000 - 3 * 262_144, 0], [0, 0, 1]] {
        let read = fresh.read(&unquoted, 999_999..1_000_000).await.unwrap();
        assert_eq!((read.0.as_ref(), read.1), (&old[999_999..], counted));
    }

    let changed = lake.put("x", &new).await;
    assert_eq!(changed.size, listed.size);
    assert_eq!(lake.read(&changed, 0..10).await.unwrap().0, new[..10]);
    let error = fresh.read(&listed, 0..10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("s3://lake/t/x"), "{error}");

    // The allow-list stands in front of the cache.
    let outside = ObjectMeta { location: "elsewhere/x".into(), ..changed.clone() };
    assert_eq!(lake.read(&outside, 0..10).await.unwrap_err().kind(), ErrorKind::LocationNotAllowed);

    server.stop().unwrap();
    assert_eq!(lake.read(&changed, 5..10).await.unwrap().0, new[5..10]);
    assert_eq!(lake.read(&changed, 5..500_000).await.unwrap_err().kind(), ErrorKind::StoreUnreachable);
}

#[tokio::test]
async fn switched_off() {
    let Some(server) = S3Server::start().unwrap() else { return };
    server.create_bucket("lake").unwrap();
    let lake = Lake::new(server.settings(S3Key::Admin));
    let bytes = content(5);
    let listed = lake.put("x", &bytes).await;
    for _ in 0..2 {
        let read = lake.read(&listed, 10..20).await.unwrap();
        assert_eq!((read.0.as_ref(), read.1), (&bytes[10..20], [1, 10, 0]));
    }
}
