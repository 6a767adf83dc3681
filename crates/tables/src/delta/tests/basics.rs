//! One writer, a store without faults.

use super::*;

use crate::delta::Rewritten;

#[tokio::test]
async fn what_is_appended_is_there_once_and_sorted() {
    let (storage, clock) = (storage(), clock());
    let table = create(&storage, clock).await;
    let batches = vec![rows(0..10, 1), rows(10..30, 2), rows(30..40, 1)];
    let adds = table.write_data_files(batches, "x").await.unwrap();
    assert_eq!(adds.iter().map(|add| add.rows().unwrap()).collect::<Vec<_>>(), [20, 20]);
    assert_eq!(adds[0].path, "date=1970-01-02/x-00000.parquet");
    let state = table.append(txn("a", 7), None, adds.clone(), soon(&table)).await.unwrap();
    assert_eq!((state.version(), state.transaction("a")), (1, Some(7)));
    // The same once more, as after a restart: nothing happens.
    let again = table.append(txn("a", 7), None, adds, soon(&table)).await.unwrap();
    assert_eq!(again.version(), 1);
    let opened = open(&storage).await.state();
    assert_eq!(ids(&storage, &opened).await, (0..40).collect::<Vec<_>>());
    for file in opened.files.values() {
        let found = file_ids(&storage, &opened, file).await;
        assert!(found.is_sorted_by(|left, right| left > right), "sorted by name: {found:?}");
        assert_eq!(file.data.summary.columns()[0].null_count, Some(0));
    }
    let snapshot = opened.snapshot().unwrap();
    assert_eq!((snapshot.rows(), snapshot.partition_columns().len()), (Some(40), 1));
}

#[tokio::test]
async fn rows_that_an_earlier_attempt_holds_are_not_added_again() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    let first = table.write_data_files(vec![rows(0..5, 1)], "first").await.unwrap();
    let wider = table.write_data_files(vec![rows(0..9, 1)], "wider").await.unwrap();
    // The first attempt was thought to be lost, and lands late.
    table.append(txn("a", 5), None, first, soon(&table)).await.unwrap();
    let error = table.append(txn("a", 9), None, wider, soon(&table)).await.unwrap_err();
    assert_eq!(error.kind().code(), "conflict");
    let rest = table.write_data_files(vec![rows(5..9, 1)], "rest").await.unwrap();
    table.append(txn("a", 9), Some(5), rest.clone(), soon(&table)).await.unwrap();
    table.append(txn("a", 9), Some(5), rest, soon(&table)).await.unwrap();
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_folder_holds_one_table() {
    let storage = storage();
    create(&storage, clock()).await;
    let options = DeltaOptions { id: "another".to_owned(), ..DeltaOptions::default() };
    let error = DeltaTable::create(&storage, location(), schema(), options, clock()).await.unwrap_err();
    assert_eq!(error.kind().code(), "already_exists");
    let nowhere = Location::parse("memory://lake/t/nowhere/").unwrap();
    let error = DeltaTable::open(&storage, nowhere, clock()).await.unwrap_err();
    assert_eq!(error.kind().code(), "table_not_found");
}

#[tokio::test]
async fn columns_are_added_and_older_files_have_null_there() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    add(&table, vec![rows(0..5, 1)], "a", 1).await;
    let wanted = vec![Field::new("extra", DataType::UInt8, true), Field::new("ID", DataType::Int64, true)];
    let state = table.add_columns(wanted.clone(), soon(&table)).await.unwrap();
    let names: Vec<_> = state.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "name", "extra", "date"]);
    assert_eq!(table.add_columns(wanted, soon(&table)).await.unwrap().version(), state.version());
    let conflict = vec![Field::new("name", DataType::Int64, true)];
    assert_eq!(table.add_columns(conflict, soon(&table)).await.unwrap_err().kind().code(), "schema_conflict");
    let many = (0..9_997).map(|n| Field::new(format!("c{n}"), DataType::Int64, true)).collect();
    assert_eq!(table.add_columns(many, soon(&table)).await.unwrap_err().kind().code(), "invalid_request");
    let zoneless = vec![Field::new("at", DataType::Timestamp(arrow::datatypes::TimeUnit::Second, None), true)];
    table.add_columns(zoneless, soon(&table)).await.unwrap();
    // A batch from before the columns came.
    add(&table, vec![rows(5..8, 1)], "a", 2).await;
    let opened = open(&storage).await.state();
    assert_eq!(ids(&storage, &opened).await, (0..8).collect::<Vec<_>>());
    let runs = opened.files.values().map(|file| vec![Arc::clone(file)]).collect();
    let merged = streams::merged(&storage, &opened.location, &FileLayout::of(&opened), runs).unwrap();
    let batches: Vec<RecordBatch> = merged.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| nulls(batch, "extra")).sum::<usize>(), 8);
}

#[tokio::test]
async fn a_rewrite_whose_inputs_are_gone_is_lost() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    let state = add(&table, vec![rows(0..5, 1)], "a", 1).await;
    let old: Vec<String> = state.files().map(|file| file.path.clone()).collect();
    let new = table.write_data_files(vec![rows(0..5, 1)], "new").await.unwrap();
    let other = table.write_data_files(vec![rows(0..5, 1)], "other").await.unwrap();
    assert!(matches!(table.rewrite(&old, new.clone(), soon(&table)).await.unwrap(), Rewritten::Done(_)));
    // Ours again, as if the answer had been lost.
    assert!(matches!(table.rewrite(&old, new, soon(&table)).await.unwrap(), Rewritten::Done(_)));
    assert!(matches!(table.rewrite(&old, other, soon(&table)).await.unwrap(), Rewritten::Lost(_)));
    assert_eq!(ids(&storage, &table.state()).await, (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn columns_of_another_node_are_found_and_none_is_left_out() {
    let storage = storage();
    let one = create(&storage, clock()).await;
    let two = open(&storage).await;
    let field = Field::new("extra", DataType::Int64, true);
    one.add_columns(vec![field.clone()], soon(&one)).await.unwrap();
    let extra: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let batch =
        |name: &str| RecordBatch::try_from_iter([("id", Arc::clone(&extra)), (name, Arc::clone(&extra))]).unwrap();
    let adds = two.write_data_files(vec![batch("extra")], "x").await.unwrap();
    assert!(adds[0].stats.as_deref().unwrap().contains(r#""maxValues":{"id":7,"extra":7}"#), "{adds:?}");
    let error = two.write_data_files(vec![batch("unheard")], "y").await.unwrap_err();
    assert_eq!(error.kind().code(), "schema_conflict");
}

#[tokio::test]
async fn a_partition_is_removed_as_a_whole() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    add(&table, vec![rows(0..5, 1), rows(5..9, 2)], "a", 1).await;
    let removed = table.remove_partition(Some("1970-01-02"), soon(&table)).await.unwrap();
    assert_eq!((removed.files, removed.rows, removed.version), (1, 5, 2));
    let again = table.remove_partition(Some("1970-01-02"), soon(&table)).await.unwrap();
    assert_eq!((again.files, again.version), (0, 2));
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, [5, 6, 7, 8]);
}

#[tokio::test]
async fn vacuum_leaves_what_is_used_and_what_is_young() {
    // The store has the machine's time, so this clock has it too.
    let (storage, clock) = (storage(), Arc::new(lakebed_types::SystemClock));
    let table = create(&storage, clock).await;
    let state = add(&table, vec![rows(0..5, 1)], "a", 1).await;
    let old: Vec<String> = state.files().map(|file| file.path.clone()).collect();
    let other = open(&storage).await;
    let new = other.write_data_files(vec![rows(0..5, 1)], "new").await.unwrap();
    table.rewrite(&old, new, soon(&table)).await.unwrap();
    // Another process wrote it, and is gone.
    other.write_data_files(vec![rows(90..95, 1)], "orphan").await.unwrap();
    // A flush of ours that takes long.
    let under_way = table.write_data_files(vec![rows(5..9, 1)], "under-way").await.unwrap();
    assert_eq!(table.vacuum(Duration::from_secs(3600)).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    // The replaced file and the one that was never committed.
    assert_eq!(table.vacuum(Duration::from_millis(5)).await.unwrap(), 2);
    table.append(txn("a", 2), Some(1), under_way.clone(), soon(&table)).await.unwrap();
    assert_eq!(table.vacuum(Duration::from_millis(5)).await.unwrap(), 0);
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, (0..9).collect::<Vec<_>>());
    // Once it is committed its files are like all others.
    table.remove_partition(Some("1970-01-02"), soon(&table)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(table.vacuum(Duration::from_millis(5)).await.unwrap(), 2);
}

#[tokio::test]
async fn files_that_a_restart_commits_are_left_by_vacuum_meanwhile() {
    let (storage, clock) = (storage(), machine_clock(DAY));
    let adds = create(&storage, clock.clone()).await.write_data_files(vec![rows(0..5, 1)], "x").await.unwrap();
    // Nothing but the log knows of them, and the first attempt at the commit fails.
    let table = open_with(&storage, clock).await;
    let elsewhere = table.append(txn("a", 5), Some(3), adds.clone(), soon(&table)).await;
    assert_eq!(elsewhere.unwrap_err().kind().code(), "conflict");
    table.unfinished.begin_commit(&adds);
    assert_eq!(table.vacuum(Duration::ZERO).await.unwrap(), 0);
    table.append(txn("a", 5), None, adds.clone(), soon(&table)).await.unwrap();
    assert!(table.unfinished.now().is_empty());
    assert_eq!(ids(&storage, &table.state()).await, (0..5).collect::<Vec<_>>());
}
