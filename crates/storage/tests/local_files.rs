//! What only local folders have: symbolic links, empty folders, odd names, pipes.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

use std::os::unix::{ffi::OsStrExt, fs::symlink};

use futures::TryStreamExt;
use lakebed_storage::{Location, Mode, Storage, StorageSettings, classify};
use lakebed_testkit::TestLake;
use lakebed_types::ErrorKind;
use object_store::{ObjectStoreExt, PutPayload};

async fn names(storage: &Storage, folder: &Location) -> Vec<String> {
    let metas: Vec<_> = storage.list(folder).try_collect().await.unwrap();
    let skip = folder.path().as_ref().len() + 1;
    metas.iter().map(|meta| meta.location.as_ref()[skip..].to_owned()).collect()
}

#[tokio::test]
async fn links_that_lead_outside_are_refused_and_others_are_followed() {
    let (inside, outside) = (TestLake::new().unwrap(), TestLake::new().unwrap());
    inside.write("data/a.csv", "a").unwrap();
    outside.write("secret/s.csv", "secret").unwrap();
    symlink(inside.file("data"), inside.file("good folder")).unwrap();
    symlink(inside.file("data/a.csv"), inside.file("good.csv")).unwrap();
    symlink(outside.file("secret/s.csv"), inside.file("bad.csv")).unwrap();
    symlink(outside.file("secret"), inside.file("bad folder")).unwrap();
    symlink(inside.path(), inside.file("data/loop")).unwrap();
    symlink("nowhere", inside.file("broken")).unwrap();

    let storage = inside.storage(Mode::ReadWrite).unwrap();
    let root = inside.location().unwrap();
    let store = storage.store(&root).unwrap();
    // A file that leads outside is listed, so that whoever reads it is told; what lies behind a folder is not.
    assert_eq!(names(&storage, &root).await, ["bad.csv", "data/a.csv", "good folder/a.csv", "good.csv"]);

    for good in ["good.csv", "good folder/a.csv", "data/loop/data/a.csv"] {
        let path = root.child(good).unwrap().path().clone();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "a", "{good}");
    }
    for bad in ["bad.csv", "bad folder/s.csv", "bad folder/new.csv"] {
        let location = root.child(bad).unwrap();
        let path = location.path();
        let payload = PutPayload::from_static(b"x");
        let found = [
            store.get(path).await.map(|_| ()).unwrap_err(),
            store.head(path).await.map(|_| ()).unwrap_err(),
            store.get_ranges(path, std::slice::from_ref(&(0..1))).await.map(|_| ()).unwrap_err(),
            store.put(path, payload).await.map(|_| ()).unwrap_err(),
            store.put_multipart(path).await.map(|_| ()).unwrap_err(),
            store.copy(path, &root.child("copy").unwrap().path().clone()).await.unwrap_err(),
        ];
        for error in found {
            let error = classify(error, &location);
            assert_eq!(error.kind(), ErrorKind::LocationNotAllowed, "{error:?}");
            assert!(error.message().contains("symbolic link"), "{error}");
        }
    }
    let deleted = store.delete(root.child("bad folder/s.csv").unwrap().path()).await.unwrap_err();
    assert_eq!(classify(deleted, &root).kind(), ErrorKind::LocationNotAllowed);
    assert_eq!(std::fs::read_to_string(outside.file("secret/s.csv")).unwrap(), "secret");
}

#[tokio::test]
async fn an_allowed_folder_may_itself_be_a_link_and_may_be_switched() {
    let lake = TestLake::new().unwrap();
    lake.write("v1/a.csv", "1").unwrap();
    lake.write("v2/a.csv", "2").unwrap();
    symlink(lake.file("v1"), lake.file("current")).unwrap();
    let storage = Storage::new(StorageSettings::default());
    let current = Location::from_local_path(&lake.file("current")).unwrap();
    storage.allow(&current, Mode::Read).unwrap();

    let file = current.child("a.csv").unwrap();
    let store = storage.store(&current).unwrap();
    assert_eq!(store.get(file.path()).await.unwrap().bytes().await.unwrap(), "1");
    assert_eq!(names(&storage, &current).await, ["a.csv"]);
    std::fs::remove_file(lake.file("current")).unwrap();
    symlink(lake.file("v2"), lake.file("current")).unwrap();
    assert_eq!(store.get(file.path()).await.unwrap().bytes().await.unwrap(), "2");
}

/// A link from a writable folder into one that may only be read is for reading.
#[tokio::test]
async fn links_do_not_widen_what_may_be_written() {
    let lake = TestLake::new().unwrap();
    lake.write("read/a.csv", "a").unwrap();
    lake.write("write/b.csv", "b").unwrap();
    symlink(lake.file("read"), lake.file("write/link")).unwrap();
    let storage = Storage::new(StorageSettings::default());
    let location = |name: &str| lake.location().unwrap().child(name).unwrap();
    storage.allow(&location("read/"), Mode::Read).unwrap();
    storage.allow(&location("write/"), Mode::ReadWrite).unwrap();

    let linked = location("write/link/a.csv");
    let store = storage.store(&linked).unwrap();
    assert_eq!(store.get(linked.path()).await.unwrap().bytes().await.unwrap(), "a");
    let error = store.put(linked.path(), PutPayload::from_static(b"x")).await.map(|_| ()).unwrap_err();
    assert_eq!(classify(error, &linked).kind(), ErrorKind::LocationNotAllowed);
}

#[tokio::test]
async fn folders_that_are_missing_empty_or_closed() {
    let lake = TestLake::new().unwrap();
    std::fs::create_dir(lake.file("empty")).unwrap();
    let root = lake.location().unwrap();
    let storage = lake.storage(Mode::Read).unwrap();
    assert!(names(&storage, &root.child("empty/").unwrap()).await.is_empty());

    // Named before it was there, or without a slash.
    let named = root.child("late").unwrap();
    lake.write("late/x.csv", "x").unwrap();
    assert_eq!(names(&storage, &named).await, ["x.csv"]);
    assert!(storage.resolve(&named).await.unwrap().is_folder());

    let missing = root.child("missing/").unwrap();
    let error = storage.list(&missing).try_next().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::ObjectNotFound, &*format!("folder `{missing}` does not exist"))
    );
    storage.allow(&missing, Mode::Read).unwrap();
    let error = storage.list(&missing).try_next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BucketNotFound);
}

/// More files than the walk hands over at once.
#[tokio::test]
async fn many_files_come_in_order() {
    let lake = TestLake::new().unwrap();
    let mut expected: Vec<_> = (0..2500).map(|at| format!("p={}/{at}.csv", at % 3)).collect();
    for name in &expected {
        lake.write(name, "x").unwrap();
    }
    expected.sort_unstable();
    let storage = lake.storage(Mode::Read).unwrap();
    assert_eq!(names(&storage, &lake.location().unwrap()).await, expected);
    assert_eq!(storage.counters().requests(), 3, "one for each thousand, as the pages of a LIST");
}

#[tokio::test]
async fn what_is_no_file_is_passed_over_and_cannot_be_read() {
    let lake = TestLake::new().unwrap();
    lake.write("good.csv", "x").unwrap();
    lake.write("line\nfeed.csv", "x").unwrap();
    lake.write("being written.csv#1", "x").unwrap();
    std::fs::write(lake.path().join(std::ffi::OsStr::from_bytes(b"\xff.csv")), "x").unwrap();
    std::fs::create_dir(lake.file("folder.csv")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(lake.file("pipe.csv")).status().unwrap().success());

    let storage = lake.storage(Mode::Read).unwrap();
    let root = lake.location().unwrap();
    assert_eq!(names(&storage, &root).await, ["good.csv"]);
    for name in ["folder.csv", "pipe.csv"] {
        let location = root.child(name).unwrap();
        let error = storage.head(&location).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ObjectNotFound, "{name}");
    }
}

#[tokio::test]
async fn ranges_end_with_the_file() {
    let lake = TestLake::new().unwrap();
    lake.write("x", "0123456789").unwrap();
    let file = lake.location().unwrap().child("x").unwrap();
    let store = lake.storage(Mode::Read).unwrap().store(&file).unwrap();
    assert_eq!(store.get_ranges(file.path(), &[8..20, 10..11]).await.unwrap(), ["89", ""]);
    assert!(store.get_ranges(file.path(), std::slice::from_ref(&(11..12))).await.is_err());
    assert_eq!(store.get_range(file.path(), 8..20).await.unwrap(), "89");
    assert!(store.get_range(file.path(), 10..11).await.is_err());
}
