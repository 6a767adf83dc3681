//! What is read from checkpoints, and what is refused.

use object_store::{ObjectStoreExt, path::Path};

use super::*;

async fn remove_commits(storage: &Storage, versions: std::ops::RangeInclusive<i64>) {
    let store = storage.store(&location()).unwrap();
    for version in versions {
        store.delete(&Path::from(format!("t/_delta_log/{version:020}.json"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_checkpoint_stands_for_the_commits_before_it() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    for version in 1..=5 {
        add(&table, vec![rows(version * 10..version * 10 + 3, version as i32)], "a", version).await;
    }
    table.remove_partition(Some("1970-01-02"), soon(&table)).await.unwrap();
    let version = table.checkpoint(Duration::ZERO).await.unwrap();
    assert_eq!(table.state().commits_since_checkpoint(), 0);
    add(&table, vec![rows(0..2, 9)], "b", 1).await;
    remove_commits(&storage, 0..=version).await;
    let (known, opened) = (table.state(), open(&storage).await.state());
    assert_eq!((opened.version(), opened.id()), (known.version(), known.id()));
    assert_eq!(opened.files().collect::<Vec<_>>(), known.files().collect::<Vec<_>>());
    assert_eq!(opened.tombstones, known.tombstones);
    assert_eq!(opened.transactions, known.transactions);
    assert_eq!((opened.schema(), opened.sort_columns()), (known.schema(), known.sort_columns()));
    assert_eq!(opened.tombstones.len(), 1);
    assert_eq!(ids(&storage, &opened).await, [0, 1, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52]);
    assert_eq!(opened.commits_since_checkpoint(), 1);
}

#[tokio::test]
async fn files_of_other_writers_are_looked_into() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    let mut adds = table.write_data_files(vec![rows(0..5, 1)], "x").await.unwrap();
    for add in &mut adds {
        (add.tags, add.stats, add.modification_time) = (None, None, 12_345);
    }
    table.append(txn("spark", 1), None, adds, soon(&table)).await.unwrap();
    let opened = open(&storage).await.state();
    assert_eq!(opened.snapshot().unwrap().rows(), Some(5));
    assert_eq!(ids(&storage, &opened).await, (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_table_beyond_us_is_refused_and_not_misread() {
    let commit = |line: &str| format!("{line}\n").into_bytes();
    let beyond = [
        r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#,
        r#"{"protocol":{"minReaderVersion":2,"minWriterVersion":5}}"#,
        r#"{"add":{"path":"x.parquet","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true,"deletionVector":{"storageType":"u"}}}"#,
        r#"{"add":{"path":"s3://elsewhere/x.parquet","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true}}"#,
    ];
    for line in beyond {
        let storage = storage();
        create(&storage, clock()).await;
        let store = storage.store(&location()).unwrap();
        let next = Path::from("t/_delta_log/00000000000000000001.json");
        store.put(&next, commit(line).into()).await.unwrap();
        let error = DeltaTable::open(&storage, location(), clock()).await.unwrap_err();
        assert_eq!(error.kind().code(), "unsupported", "{line}: {error}");
    }
}

#[tokio::test]
async fn a_commit_that_is_no_json_is_named() {
    let storage = storage();
    create(&storage, clock()).await;
    let store = storage.store(&location()).unwrap();
    let next = Path::from("t/_delta_log/00000000000000000001.json");
    store.put(&next, b"{\"add\":".to_vec().into()).await.unwrap();
    let error = DeltaTable::open(&storage, location(), clock()).await.unwrap_err();
    assert_eq!(error.kind().code(), "corrupt_file");
    assert!(error.message().contains("00000000000000000001.json"), "{error}");
}
