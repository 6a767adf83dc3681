//! Tables on a local disk: a version is there as a whole or not at all.

use std::path::Path as FilePath;

use object_store::memory::InMemory;

use super::*;

fn on_disk(folder: &FilePath) -> (Storage, Location) {
    let location = Location::parse(&format!("{}/t/", folder.display())).unwrap();
    let storage = Storage::new(StorageSettings::default());
    storage.allow(&location, Mode::ReadWrite).unwrap();
    (storage, location)
}

fn log_names(folder: &FilePath) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("t/_delta_log")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_at_once_each_gets_a_version_and_nothing_is_left_over() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, location) = on_disk(folder.path());
    DeltaTable::create(&storage, location.clone(), schema(), options(), clock()).await.unwrap();
    let writers = (0..4i64).map(|number| {
        let (storage, location) = (storage.clone(), location.clone());
        tokio::spawn(async move {
            let table = DeltaTable::open(&storage, location, clock()).await.unwrap();
            for version in 1..=3 {
                let first = number * 100 + version * 10;
                add(&table, vec![rows(first..first + 2, 1)], &format!("w{number}"), version).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let table = DeltaTable::open(&storage, location, clock()).await.unwrap();
    assert_eq!((table.state().version(), table.state().size().rows), (12, 24));
    table.checkpoint(Duration::ZERO).await.unwrap();
    let names = log_names(folder.path());
    assert_eq!(names.len(), 13 + 2, "versions, a checkpoint and the hint to it: {names:?}");
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
}

#[tokio::test]
async fn a_version_that_cannot_be_brought_to_the_disk_is_not_there_and_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, location) = on_disk(folder.path());
    // What is written does not get to the disk.
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    storage.allow_through(Arc::clone(&store), &location, Mode::ReadWrite);
    let error = DeltaTable::create(&storage, location, schema(), options(), clock()).await.unwrap_err();
    assert_eq!(error.kind().code(), "disk_failed");
    let there: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert!(there.is_empty(), "{there:?}");
}

#[tokio::test]
async fn what_killed_processes_left_in_a_table_goes_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, location) = on_disk(folder.path());
    let options = DeltaOptions { partition_column: Some("_day".to_owned()), ..options() };
    let schema = Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("_day", DataType::Date32, true),
    ]));
    let table = DeltaTable::create(&storage, location.clone(), schema, options, clock()).await.unwrap();
    let columns: [(&str, ArrayRef); 2] =
        [("name", Arc::new(StringArray::from(vec!["a"]))), ("_day", Arc::new(Date32Array::from(vec![1])))];
    let state = add(&table, vec![RecordBatch::try_from_iter(columns).unwrap()], "a", 1).await;
    let root = folder.path().join("t");
    let left =
        ["_day=1970-01-02/never.parquet", "_day=1970-01-02/x.parquet#1", "_delta_log/.00000000000000000002.json.5.tmp"];
    let kept = ["_delta_log/notes.txt", "_other/never.parquet", "_delta_log/00000000000000000001.json"];
    for name in left.iter().chain(&kept[..2]) {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), b"x").unwrap();
    }
    let later = DeltaTable::open(&storage, location.clone(), machine_clock(6 * DAY)).await.unwrap();
    assert_eq!(later.vacuum(7 * DAY).await.unwrap(), 0);
    let later = DeltaTable::open(&storage, location, machine_clock(8 * DAY)).await.unwrap();
    assert_eq!(later.vacuum(7 * DAY).await.unwrap(), 3);
    for (names, there) in [(left, false), (kept, true)] {
        assert!(names.iter().all(|name| root.join(name).exists() == there), "{names:?}");
    }
    assert!(state.files().all(|file| root.join(&file.path).exists()));
}
