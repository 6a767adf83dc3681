//! The same checks against memory, local files and a real S3 server: what a caller sees does not depend on the store.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use lakebed_storage::{Location, Mode, Storage, StorageSettings, StoreCounters, classify};
use lakebed_testkit::{S3Key, S3Server, TestLake};
use lakebed_types::{Error, ErrorKind};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

/// A writable folder, a folder that may only be read, and nothing else.
struct Lake {
    storage: Storage,
    writable: Location,
    readable: Location,
}

impl Lake {
    fn new(settings: StorageSettings, base: &Location) -> Self {
        let storage = Storage::new(settings);
        let writable = base.child("mit Leer/größe=ä/").unwrap();
        let readable = base.child("read only/").unwrap();
        storage.allow(&writable, Mode::ReadWrite).unwrap();
        storage.allow(&readable, Mode::Read).unwrap();
        Self { storage, writable, readable }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.storage.store(&self.writable).unwrap()
    }

    async fn put(&self, name: &str, bytes: &'static str) -> Location {
        let location = self.writable.child(name).unwrap();
        self.store().put(location.path(), PutPayload::from_static(bytes.as_bytes())).await.unwrap();
        location
    }

    async fn names_below(&self, folder: &Location) -> Result<Vec<String>, Error> {
        let metas: Vec<_> = self.storage.list(folder).try_collect().await?;
        Ok(metas.iter().map(|meta| folder.sibling(&meta.location).to_string()).collect())
    }
}

async fn conforms(lake: Lake) {
    empty_and_missing(&lake).await;
    names_of_all_kinds(&lake).await;
    more_than_a_page(&lake).await;
    reading(&lake).await;
    writing(&lake).await;
    counting(&lake).await;
    outside_is_refused(&lake).await;
}

async fn empty_and_missing(lake: &Lake) {
    let missing = lake.writable.child("no such.parquet").unwrap();
    let error = lake.storage.head(&missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ObjectNotFound);
    assert_eq!(error.message(), format!("`{missing}` does not exist"));
    let error = lake.store().get(missing.path()).await.map(|_| ()).unwrap_err();
    assert_eq!(classify(error, &missing).kind(), ErrorKind::ObjectNotFound);

    for place in [missing, lake.writable.child("no such folder/").unwrap()] {
        assert_eq!(lake.names_below(&place).await.unwrap_err().kind(), ErrorKind::ObjectNotFound, "{place}");
        assert_eq!(lake.storage.resolve(&place.child("").unwrap()).await.unwrap().to_string().pop(), Some('/'));
    }
}

/// Every name comes back from LIST as it was written, with the same facts as from HEAD. The order is by bytes, as S3
/// has it, except from SeaweedFS, which sorts folder by folder.
async fn names_of_all_kinds(lake: &Lake) {
    let folder = lake.writable.child("names/").unwrap();
    let mut names = vec![
        "names/a b.csv",
        "names/a-b.csv",
        "names/a/z.csv",
        "names/a/year=2024/ä ö 日本.csv",
        "names/50%25 + [x]{y}~.csv",
        "names/what?now=#x.csv",
        "names/Z.csv",
    ];
    for name in &names {
        lake.put(name, "x").await;
    }
    names.sort_unstable();
    let expected: Vec<_> = names.iter().map(|name| lake.writable.child(name).unwrap().to_string()).collect();
    let mut found = lake.names_below(&folder).await.unwrap();
    if folder.scheme() == "s3" {
        found.sort_unstable();
    }
    assert_eq!(found, expected);

    let listed: Vec<_> = lake.storage.list(&folder).try_collect().await.unwrap();
    for meta in listed {
        let head = lake.storage.head(&folder.sibling(&meta.location)).await.unwrap();
        assert_eq!((head.size, &head.e_tag), (meta.size, &meta.e_tag), "{}", meta.location);
        assert!(meta.e_tag.is_some());
    }

    // A URL without a slash at the end is what it is found to be.
    let bare = Location::parse(folder.child("a").unwrap().to_string().trim_end_matches('/')).unwrap();
    assert_eq!(lake.storage.resolve(&bare).await.unwrap(), folder.child("a/").unwrap());
    assert_eq!(lake.names_below(&bare).await.unwrap().len(), 2);
    let file = folder.child("Z.csv").unwrap();
    assert_eq!(lake.names_below(&file).await.unwrap(), [file.to_string()]);
    assert_eq!(lake.storage.resolve(&file).await.unwrap(), file);

    let level = lake.store().list_with_delimiter(Some(folder.path())).await.unwrap();
    assert_eq!(level.common_prefixes, [folder.child("a/").unwrap().path().clone()]);
    assert_eq!(level.objects.len(), 5);
}

/// More objects than one answer of a LIST holds.
async fn more_than_a_page(lake: &Lake) {
    let folder = lake.writable.child("many files/").unwrap();
    let names: BTreeSet<_> = (0..1100).map(|at| folder.child(&format!("ä {at:04}")).unwrap().to_string()).collect();
    let puts = names.iter().map(|name| lake.put(&name[lake.writable.to_string().len()..], "x"));
    futures::stream::iter(puts).buffer_unordered(16).count().await;
    let before = lake.storage.counters().requests();
    let found = lake.names_below(&folder).await.unwrap();
    assert_eq!(lake.storage.counters().requests() - before, 2);
    assert_eq!(found.len(), names.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), names);
}

async fn reading(lake: &Lake) {
    let file = lake.put("digits", "0123456789").await;
    let store = lake.store();
    assert_eq!(store.get(file.path()).await.unwrap().bytes().await.unwrap(), "0123456789");
    assert_eq!(store.get_range(file.path(), 2..5).await.unwrap(), "234");
    let parts = store.get_ranges(file.path(), &[0..1, 8..10, 3..4]).await.unwrap();
    assert_eq!(parts, ["0", "89", "3"]);
    assert_eq!(lake.storage.head(&file).await.unwrap().size, 10);
}

async fn writing(lake: &Lake) {
    let store = lake.store();
    let file = lake.put("w/first", "1").await;
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let again = store.put_opts(file.path(), PutPayload::from_static(b"2"), create).await.unwrap_err();
    assert_eq!(classify(again, &file).kind(), ErrorKind::AlreadyExists);

    let big = lake.writable.child("w/big").unwrap();
    let mut upload = store.put_multipart(big.path()).await.unwrap();
    for _ in 0..2 {
        upload.put_part(vec![7; 5 << 20].into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert_eq!(lake.storage.head(&big).await.unwrap().size, 10 << 20);

    let moved = lake.writable.child("w/moved").unwrap();
    store.copy(file.path(), moved.path()).await.unwrap();
    store.delete(file.path()).await.unwrap();
    assert_eq!(store.get(moved.path()).await.unwrap().bytes().await.unwrap(), "1");
    assert_eq!(lake.storage.head(&file).await.unwrap_err().kind(), ErrorKind::ObjectNotFound);
    store.rename(moved.path(), file.path()).await.unwrap();
    assert_eq!(
        lake.names_below(&lake.writable.child("w/").unwrap()).await.unwrap(),
        [big.to_string(), file.to_string()]
    );
}

async fn counting(lake: &Lake) {
    let file = lake.put("counted", "0123456789").await;
    let before = [lake.storage.counters().requests(), lake.storage.counters().bytes_read()];
    let counters = Arc::new(StoreCounters::default());
    let store = lake.storage.counted(&file, counters.clone()).unwrap();
    store.get(file.path()).await.unwrap().bytes().await.unwrap();
    store.get_range(file.path(), 0..3).await.unwrap();
    store.get_ranges(file.path(), &[0..1, 1..2]).await.unwrap();
    store.head(file.path()).await.unwrap();
    store.put(file.path(), PutPayload::from_static(b"12")).await.unwrap();
    assert_eq!((counters.requests(), counters.bytes_read(), counters.bytes_written()), (5, 15, 2));

    lake.store().get(file.path()).await.unwrap().bytes().await.unwrap();
    assert_eq!(counters.requests(), 5, "another query's requests are not counted");
    let after = [lake.storage.counters().requests(), lake.storage.counters().bytes_read()];
    assert_eq!([after[0] - before[0], after[1] - before[1]], [6, 17]);
}

/// Every operation, from the writable folder's own store.
async fn outside_is_refused(lake: &Lake) {
    let store = lake.store();
    let inside = lake.put("inside", "x").await;
    let above = lake.writable.sibling(&lake.writable.path().parent().unwrap());
    let similar = above.child("größe=ä2").unwrap();
    for outside in [similar, above, inside.sibling(&"etc/passwd".into())] {
        for mode in [Mode::Read, Mode::ReadWrite] {
            let error = lake.storage.check(&outside, mode).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LocationNotAllowed);
            assert!(error.message().contains(&outside.to_string()), "{error}");
        }
        let refused = |error: object_store::Error| {
            assert_eq!(classify(error, &outside).kind(), ErrorKind::LocationNotAllowed, "{outside}");
        };
        let path = outside.path();
        refused(store.get(path).await.map(|_| ()).unwrap_err());
        refused(store.get_ranges(path, std::slice::from_ref(&(0..1))).await.unwrap_err());
        refused(store.list(Some(path)).try_next().await.unwrap_err());
        refused(store.list_with_offset(Some(path), path).try_next().await.unwrap_err());
        refused(store.list_with_delimiter(Some(path)).await.unwrap_err());
        refused(store.copy(path, inside.path()).await.unwrap_err());
        refuses_writes(&store, &inside, &outside).await;
        assert_eq!(lake.names_below(&outside).await.unwrap_err().kind(), ErrorKind::LocationNotAllowed);
        assert_eq!(lake.storage.store(&outside).unwrap_err().kind(), ErrorKind::LocationNotAllowed);
    }
    assert!(store.list(None).try_next().await.is_err());

    let locked = lake.readable.child("x").unwrap();
    lake.storage.check(&locked, Mode::Read).unwrap();
    let error = lake.storage.check(&locked, Mode::ReadWrite).unwrap_err();
    assert_eq!(error.message(), format!("`{locked}` may be read but not written"));
    refuses_writes(&store, &inside, &locked).await;
    assert_eq!(lake.storage.head(&inside).await.unwrap().size, 1);
}

async fn refuses_writes(store: &Arc<dyn ObjectStore>, inside: &Location, target: &Location) {
    let refused = |error: object_store::Error| {
        assert_eq!(classify(error, target).kind(), ErrorKind::LocationNotAllowed, "{target}");
    };
    let path = target.path();
    refused(store.put(path, PutPayload::from_static(b"x")).await.map(|_| ()).unwrap_err());
    refused(store.put_multipart(path).await.map(|_| ()).unwrap_err());
    refused(store.delete(path).await.unwrap_err());
    refused(store.copy(inside.path(), path).await.unwrap_err());
    refused(store.rename(inside.path(), path).await.unwrap_err());
    refused(store.rename(path, inside.path()).await.unwrap_err());
}

#[tokio::test]
async fn memory() {
    conforms(Lake::new(StorageSettings::default(), &Location::parse("memory://bucket/").unwrap())).await;
}

#[tokio::test]
async fn local_files() {
    let folder = TestLake::new().unwrap();
    conforms(Lake::new(StorageSettings::default(), &folder.location().unwrap())).await;
}

#[tokio::test]
async fn an_s3_server() {
    let Some(server) = S3Server::start().unwrap() else { return };
    server.create_bucket("lake").unwrap();
    conforms(Lake::new(server.settings(S3Key::Admin), &Location::parse("s3://lake/").unwrap())).await;
}

/// Requests run on another runtime than the caller's, and with a block cache, as in the server.
#[test]
fn an_s3_server_from_another_runtime() {
    let Some(server) = S3Server::start().unwrap() else { return };
    server.create_bucket("lake").unwrap();
    let network = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (io_runtime, cache_bytes) = (Some(network.handle().clone()), 64 << 20);
    let settings = StorageSettings { io_runtime, cache_bytes, ..server.settings(S3Key::Admin) };
    // Without its own I/O driver, so that a request made here would panic.
    let planning = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    planning.block_on(conforms(Lake::new(settings, &Location::parse("s3://lake/").unwrap())));
}
