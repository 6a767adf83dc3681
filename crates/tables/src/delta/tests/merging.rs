//! Merging partitions: order, rounds, target sizes, and two who do it at once.

use super::*;
use crate::delta::{MergeOptions, merge_partition};

const THAT_DAY: &str = "1970-01-02";

fn named(prefix: &str) -> MergeOptions {
    MergeOptions { name_prefix: prefix.to_owned(), ..MergeOptions::default() }
}

async fn merged_ids(storage: &Storage, state: &DeltaState) -> Vec<i64> {
    let mut files: Vec<_> = state.files.values().collect();
    files.sort_by_key(|file| crate::delta::stats::merged(&file.add).map(|(_, place)| place));
    let mut ids = Vec::new();
    for file in files {
        ids.extend(file_ids(storage, state, file).await);
    }
    ids
}

#[tokio::test]
async fn many_files_become_one_sorted_file_in_rounds() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    for number in 0..9 {
        let ids = [rows(number * 3..number * 3 + 3, 1), rows(100 + number * 2..102 + number * 2, 1)];
        add(&table, ids.to_vec(), "a", number + 1).await;
    }
    add(&table, vec![rows(900..905, 2)], "a", 20).await;
    let reports = parking_lot::Mutex::new(Vec::new());
    let few = MergeOptions { inputs: 4, ..named("m") };
    let outcome =
        merge_partition(&table, Some(THAT_DAY), few, &|progress| reports.lock().push(progress)).await.unwrap();
    assert_eq!((outcome.rounds, outcome.lost), (3, false));
    assert!(!reports.into_inner().is_empty());
    let removed = table.remove_partition(Some("1970-01-03"), soon(&table)).await.unwrap();
    assert_eq!(removed.rows, 5, "the other day is as it was");
    let state = open(&storage).await.state();
    assert_eq!(state.files().count(), 1);
    let found = merged_ids(&storage, &state).await;
    let expected: Vec<i64> = (100..118).rev().chain((0..27).rev()).collect();
    assert_eq!(found, expected, "in the order of the name");
    let again = merge_partition(&table, Some(THAT_DAY), named("n"), &|_| ()).await.unwrap();
    assert_eq!(again.rounds, 0, "there is nothing to merge");
}

#[tokio::test]
async fn large_results_are_split_and_stay_in_order() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    for number in 0..4 {
        add(&table, vec![rows(number * 10_000..number * 10_000 + 10_000, 1)], "a", number + 1).await;
    }
    let small = MergeOptions { target_bytes: 100_000, ..named("m") };
    let outcome = merge_partition(&table, Some(THAT_DAY), small.clone(), &|_| ()).await.unwrap();
    assert!(outcome.files_written > 2, "{outcome:?}");
    let state = open(&storage).await.state();
    assert_eq!(merged_ids(&storage, &state).await, (0..40_000).rev().collect::<Vec<_>>());
    // Late rows that are few make no new merge of the day, unless it is asked for.
    add(&table, vec![rows(50_000..50_010, 1)], "a", 10).await;
    assert_eq!(merge_partition(&table, Some(THAT_DAY), small.clone(), &|_| ()).await.unwrap().rounds, 0);
    let full = MergeOptions { full: true, name_prefix: "late".to_owned(), ..small };
    assert_eq!(merge_partition(&table, Some(THAT_DAY), full, &|_| ()).await.unwrap().rounds, 1);
    let state = open(&storage).await.state();
    assert_eq!(merged_ids(&storage, &state).await, (50_000..50_010).rev().chain((0..40_000).rev()).collect::<Vec<_>>());
}

#[tokio::test]
async fn files_in_another_order_are_sorted_first() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    add(&table, vec![rows(0..10, 1)], "a", 1).await;
    // As another program would write it: by id, so not by name.
    let other = DeltaTable::create(
        &storage,
        Location::parse("memory://lake/t/other/").unwrap(),
        schema(),
        DeltaOptions {
            id: "o".to_owned(),
            partition_column: Some("date".to_owned()),
            sort_columns: vec!["id".to_owned()],
            ..DeltaOptions::default()
        },
        clock(),
    );
    let mut adds = other.await.unwrap().write_data_files(vec![rows(5..15, 1)], "x").await.unwrap();
    for add in &mut adds {
        (add.path, add.tags) = (format!("other/{}", add.path), None);
    }
    table.append(txn("spark", 1), None, adds, soon(&table)).await.unwrap();
    merge_partition(&table, Some(THAT_DAY), named("m"), &|_| ()).await.unwrap();
    let state = open(&storage).await.state();
    let expected: Vec<i64> = (0..10).chain(5..15).collect::<Vec<_>>();
    let mut expected = expected;
    expected.sort_unstable_by(|left, right| right.cmp(left));
    assert_eq!(merged_ids(&storage, &state).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_merges_at_once_one_counts() {
    let storage = storage();
    let one = create(&storage, clock()).await;
    for number in 0..6 {
        add(&one, vec![rows(number * 10..number * 10 + 10, 1)], "a", number + 1).await;
    }
    let two = open(&storage).await;
    let silent = |_| ();
    let (left, right) = tokio::join!(
        merge_partition(&one, Some(THAT_DAY), named("left"), &silent),
        merge_partition(&two, Some(THAT_DAY), named("right"), &silent),
    );
    let (left, right) = (left.unwrap(), right.unwrap());
    assert!(left.rounds == 1 || right.rounds == 1, "{left:?} {right:?}");
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn files_in_another_order_that_memory_does_not_hold_are_sorted_in_pieces() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    let mut adds = Vec::new();
    for number in 0..3 {
        let name = format!("theirs-{number}");
        adds.extend(
            table.write_data_files(vec![rows(number * 20_000..(number + 1) * 20_000, 1)], &name).await.unwrap(),
        );
    }
    for add in &mut adds {
        // Nothing tells that they are sorted.
        add.tags = None;
    }
    table.append(txn("spark", 1), None, adds, soon(&table)).await.unwrap();
    add(&table, vec![rows(90_000..90_010, 1)], "a", 1).await;
    let little = MergeOptions { memory_bytes: 500_000, full: true, ..named("m") };
    let outcome = merge_partition(&table, Some(THAT_DAY), little, &|_| ()).await.unwrap();
    assert!(outcome.rounds > 2 && outcome.files_read > 10, "{outcome:?}");
    let state = open(&storage).await.state();
    assert_eq!(state.partitions()[&Some(THAT_DAY.to_owned())].runs, 1);
    assert_eq!(merged_ids(&storage, &state).await, (90_000..90_010).rev().chain((0..60_000).rev()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_large_run_is_left_alone_while_little_comes() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    for number in 0..2 {
        add(&table, vec![rows(number * 20_000..(number + 1) * 20_000, 1)], "a", number + 1).await;
    }
    let small = MergeOptions { target_bytes: 100_000, ..named("m") };
    merge_partition(&table, Some(THAT_DAY), small.clone(), &|_| ()).await.unwrap();
    let size = |table: &DeltaTable| table.state().partitions()[&Some(THAT_DAY.to_owned())];
    assert!(size(&table).files > 2 && size(&table).newest.is_some());
    assert_eq!((size(&table).runs, size(&table).merged_runs, size(&table).loose_runs), (1, 1, 0), "it is merged");
    let large: Vec<String> = table.state().files().map(|file| file.path.clone()).collect();
    for number in 0..5 {
        add(&table, vec![rows(50_000 + number * 10..50_010 + number * 10, 1)], "a", number + 3).await;
    }
    assert_eq!((size(&table).runs, size(&table).merged_runs, size(&table).loose_runs), (6, 1, 5));
    let again = MergeOptions { name_prefix: "n".to_owned(), ..small };
    let outcome = merge_partition(&table, Some(THAT_DAY), again, &|_| ()).await.unwrap();
    assert_eq!((outcome.files_read, outcome.rows), (5, 50));
    let state = open(&storage).await.state();
    assert!(large.iter().all(|path| state.has_file(path)));
    assert_eq!((size(&table).runs, size(&table).merged_runs, size(&table).loose_runs), (2, 2, 0));
    assert_eq!(ids(&storage, &state).await, (0..40_000).chain(50_000..50_050).collect::<Vec<_>>());
}

#[tokio::test]
async fn wide_rows_are_merged_few_at_a_time() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    // Texts that are no smaller once they are compressed.
    let mut random = 1u64;
    let mut word = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{random:016x}")
    };
    for number in 0..2 {
        let narrow = rows(number * 100..(number + 1) * 100, 1);
        let texts = (0..100).map(|_| (0..10_000).map(|_| word()).collect::<String>());
        let mut columns = narrow.columns().to_vec();
        columns[1] = Arc::new(StringArray::from_iter_values(texts));
        add(&table, vec![RecordBatch::try_new(narrow.schema(), columns).unwrap()], "a", number + 1).await;
    }
    let state = open(&storage).await.state();
    let runs = state.files.values().map(|file| vec![Arc::clone(file)]).collect();
    let merged = streams::merged(&storage, &state.location, &FileLayout::of(&state), runs).unwrap();
    let batches: Vec<RecordBatch> = merged.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 200);
    assert!(batches.len() > 2 && batches.iter().all(|batch| batch.num_rows() < 100), "{}", batches.len());
}
