//! Old versions of the log go; what can be read stays, and whoever was away finds the way back.

use object_store::{ObjectStoreExt, path::Path};

use super::*;

/// Versions 0 to 9, with checkpoints of 5 and 8.
async fn ten_versions(storage: &Storage, clock: &Arc<MockClock>) -> DeltaTable {
    let table = create(storage, clock.clone()).await;
    for version in 1..=9 {
        add(&table, vec![rows(version * 10..version * 10 + 3, 1)], "a", version).await;
        if version == 5 || version == 8 {
            assert_eq!(table.checkpoint(Duration::ZERO).await.unwrap(), version);
        }
    }
    table
}

fn expected(versions: std::ops::RangeInclusive<i64>) -> Vec<i64> {
    versions.flat_map(|version| version * 10..version * 10 + 3).collect()
}

async fn log_names(storage: &Storage) -> Vec<String> {
    let names = names(storage).await.into_iter();
    let log = names.filter_map(|name| name.strip_prefix("_delta_log/").map(str::to_owned));
    log.map(|name| name.trim_start_matches('0').to_owned()).collect()
}

#[tokio::test]
async fn versions_that_a_checkpoint_stands_for_go_after_a_month() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    let table = ten_versions(&storage, &clock).await;
    clock.advance(29 * DAY);
    assert_eq!(table.clean_log().await.unwrap(), 0);
    clock.advance(2 * DAY);
    // Commits 0 to 7 and the checkpoint of 5.
    assert_eq!(table.clean_log().await.unwrap(), 9);
    assert_eq!(log_names(&storage).await, ["8.checkpoint.parquet", "8.json", "9.json", "_last_checkpoint"]);
    let opened = open_with(&storage, clock.clone()).await;
    assert_eq!(ids(&storage, &opened.state()).await, expected(1..=9));
    add(&opened, vec![rows(100..103, 1)], "a", 10).await;
    assert_eq!(table.clean_log().await.unwrap(), 0);
    assert_eq!(ids(&storage, &table.refresh().await.unwrap()).await, expected(1..=10));
    assert_eq!(table.state().transaction("a"), Some(10));
}

#[tokio::test]
async fn whoever_was_away_meanwhile_goes_on_at_the_newest_version() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    let table = ten_versions(&storage, &clock).await;
    let folder = Path::from("t/_delta_log");
    let store = storage.store(&location()).unwrap();
    // One that stands at each version, as if it had been asleep since.
    let mut sleepers = Vec::new();
    for version in 1..=9 {
        let hidden = hide_after(&store, &folder, version).await;
        let sleeper = open_with(&storage, clock.clone()).await;
        assert_eq!(sleeper.state().version(), version);
        sleepers.push(sleeper);
        for (path, bytes) in hidden {
            store.put(&path, bytes.into()).await.unwrap();
        }
    }
    clock.advance(31 * DAY);
    assert!(table.clean_log().await.unwrap() > 0);
    for (number, sleeper) in sleepers.iter().enumerate() {
        let version = 10 + number as i64;
        // Creating the version after its own would succeed, and nobody would ever read it.
        let state = add(sleeper, vec![rows(version * 10..version * 10 + 3, 1)], "a", version).await;
        assert_eq!(state.version(), version);
    }
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, expected(1..=18));
    assert_eq!(ids(&storage, &table.refresh().await.unwrap()).await, expected(1..=18));
}

/// Takes the versions and checkpoints after this one away, and the hint; what was taken.
async fn hide_after(store: &Arc<dyn ObjectStore>, folder: &Path, version: i64) -> Vec<(Path, Vec<u8>)> {
    let listed: Vec<_> = store.list(Some(folder)).try_collect().await.unwrap();
    let mut hidden = Vec::new();
    for meta in listed {
        let name = meta.location.filename().unwrap().to_owned();
        let is_later = name.get(..20).and_then(|digits| digits.parse::<i64>().ok()).is_none_or(|found| found > version);
        if is_later {
            let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            store.delete(&meta.location).await.unwrap();
            hidden.push((meta.location, bytes.to_vec()));
        }
    }
    hidden
}

#[tokio::test]
async fn a_log_whose_hint_is_gone_is_read_from_its_newest_checkpoint() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    let table = ten_versions(&storage, &clock).await;
    clock.advance(31 * DAY);
    table.clean_log().await.unwrap();
    let store = storage.store(&location()).unwrap();
    store.delete(&Path::from("t/_delta_log/_last_checkpoint")).await.unwrap();
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, expected(1..=9));
    assert_eq!(table.clean_log().await.unwrap(), 0, "without a hint nothing is removed");
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_stands_for_nothing() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    let table = ten_versions(&storage, &clock).await;
    clock.advance(31 * DAY);
    let store = storage.store(&location()).unwrap();
    let newest = Path::from("t/_delta_log/00000000000000000008.checkpoint.parquet");
    store.put(&newest, b"PAR1 and no more".to_vec().into()).await.unwrap();
    assert_eq!(table.clean_log().await.unwrap_err().kind().code(), "corrupt_file");
    assert_eq!(log_names(&storage).await.len(), 13);
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, expected(1..=9));
}

#[tokio::test]
async fn the_table_says_for_how_long_versions_are_kept() {
    for (name, value, days, goes) in [
        ("delta.logRetentionDuration", "interval 60 days", 59, false),
        ("delta.logRetentionDuration", "interval 60 days", 61, true),
        ("delta.logRetentionDuration", "interval 5 minutes", 0, false),
        ("delta.logRetentionDuration", "interval 5 minutes", 2, true),
        ("delta.logRetentionDuration", "as long as you like", 31, true),
        ("delta.enableExpiredLogCleanup", "false", 1000, false),
    ] {
        let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
        let configuration = [(name.to_owned(), value.to_owned())].into();
        let options = DeltaOptions { configuration, ..options() };
        let table = DeltaTable::create(&storage, location(), schema(), options, clock.clone()).await.unwrap();
        add(&table, vec![rows(0..3, 1)], "a", 1).await;
        table.checkpoint(Duration::ZERO).await.unwrap();
        clock.advance(DAY * days);
        assert_eq!(table.clean_log().await.unwrap() > 0, goes, "{name} {value}, {days} days");
    }
}

#[tokio::test]
async fn a_table_without_the_beginning_of_its_log_is_not_made_anew() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    let table = ten_versions(&storage, &clock).await;
    clock.advance(31 * DAY);
    table.clean_log().await.unwrap();
    let error = DeltaTable::create(&storage, location(), schema(), options(), clock).await.unwrap_err();
    assert_eq!(error.kind().code(), "already_exists");
}

#[tokio::test]
async fn a_checkpoint_of_another_node_is_noticed() {
    let storage = storage();
    let one = create(&storage, clock()).await;
    let two = open(&storage).await;
    for version in 1..=5 {
        add(&one, vec![rows(version * 10..version * 10 + 3, 1)], "a", version).await;
    }
    assert_eq!(two.look_for_checkpoint(Duration::ZERO).await.unwrap(), 6);
    one.checkpoint(Duration::ZERO).await.unwrap();
    assert_eq!(two.look_for_checkpoint(Duration::ZERO).await.unwrap(), 0);
    add(&one, vec![rows(100..103, 1)], "a", 6).await;
    assert_eq!(two.look_for_checkpoint(Duration::ZERO).await.unwrap(), 1);
}

#[tokio::test]
async fn a_checkpoint_tells_of_removed_files_as_long_as_vacuum_leaves_them() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    let table = create(&storage, clock.clone()).await;
    add(&table, vec![rows(0..5, 1)], "a", 1).await;
    clock.advance(10 * DAY);
    table.remove_partition(Some("1970-01-02"), soon(&table)).await.unwrap();
    clock.advance(8 * DAY);
    table.checkpoint(9 * DAY).await.unwrap();
    // The file is 18 days old, and left the table 8 days ago.
    assert_eq!(open_with(&storage, clock.clone()).await.vacuum(9 * DAY).await.unwrap(), 0);
    clock.advance(2 * DAY);
    assert_eq!(open_with(&storage, clock).await.vacuum(9 * DAY).await.unwrap(), 1);
}

#[tokio::test]
async fn files_stay_for_as_long_as_the_table_says_where_that_is_longer() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    let configuration = [("delta.deletedFileRetentionDuration".to_owned(), "interval 30 days".to_owned())].into();
    let options = DeltaOptions { configuration, ..options() };
    let table = DeltaTable::create(&storage, location(), schema(), options, clock.clone()).await.unwrap();
    add(&table, vec![rows(0..5, 1)], "a", 1).await;
    clock.advance(20 * DAY);
    table.remove_partition(Some("1970-01-02"), soon(&table)).await.unwrap();
    clock.advance(29 * DAY);
    // A checkpoint that forgot the removal would have the file gone.
    table.checkpoint(Duration::ZERO).await.unwrap();
    assert_eq!(open_with(&storage, clock.clone()).await.vacuum(7 * DAY).await.unwrap(), 0);
    clock.advance(2 * DAY);
    assert_eq!(open_with(&storage, clock).await.vacuum(7 * DAY).await.unwrap(), 1);
}

#[tokio::test]
async fn what_comes_before_a_gap_in_the_log_is_not_the_table() {
    let (storage, clock) = (storage(), machine_clock(Duration::ZERO));
    ten_versions(&storage, &clock).await;
    let store = storage.store(&location()).unwrap();
    let log = |name: &str| Path::from(format!("t/_delta_log/{name}"));
    store.put(&log("00000000000000000008.checkpoint.parquet"), b"PAR1".to_vec().into()).await.unwrap();
    for version in 3..=5 {
        store.delete(&log(&format!("{version:020}.json"))).await.unwrap();
    }
    // Versions 0 to 2 are there, and the checkpoint of 5 leads on from there.
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, expected(1..=9));
    store.delete(&log("00000000000000000005.checkpoint.parquet")).await.unwrap();
    let error = DeltaTable::open(&storage, location(), clock).await.unwrap_err();
    assert_eq!(error.kind().code(), "corrupt_file");
    assert!(error.message().contains("gap"), "{error}");
}
