//! NaN is greater than every number: a filter finds it in files as it does in memory.

use arrow::{array::Float64Array, datatypes::Float64Type};
use datafusion::prelude::SessionContext;
use lakebed_storage::StoreCounters;

use super::*;
use crate::{
    ReadCaches, ScanCounters,
    delta::{AddFile, MergeOptions, merge_partition},
    provider,
};

fn numbers() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("y", DataType::Float64, true),
        Field::new("date", DataType::Date32, true),
    ]))
}

fn batch(x: &[f64], day: i32) -> RecordBatch {
    let (y, days) = (Float64Array::from_iter_values(x.iter().map(|_| 7.0)), Date32Array::from(vec![day; x.len()]));
    let columns: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(x.to_vec())), Arc::new(y), Arc::new(days)];
    RecordBatch::try_new(numbers(), columns).unwrap()
}

async fn table(storage: &Storage) -> DeltaTable {
    let options = DeltaOptions { sort_columns: Vec::new(), ..options() };
    DeltaTable::create(storage, location(), numbers(), options, clock()).await.unwrap()
}

/// How many rows the engine finds.
async fn found(storage: &Storage, state: &DeltaState, filter: &str) -> usize {
    let (snapshot, counters) = (state.snapshot().unwrap(), Arc::new(StoreCounters::default()));
    let url = snapshot.location().store_url();
    let caches = ReadCaches::new(1024 * 1024, 1024 * 1024);
    let files = provider(snapshot, storage, counters, Arc::new(ScanCounters::default()), &caches).unwrap();
    let context = SessionContext::new();
    context.register_object_store(&url, storage.store_for_url(&url).unwrap());
    context.register_table("t", files).unwrap();
    let rows = context.sql(&format!("SELECT x FROM t WHERE {filter}")).await.unwrap().collect().await.unwrap();
    rows.iter().map(RecordBatch::num_rows).sum()
}

fn has_bounds(add: &AddFile, column: &str) -> bool {
    let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref().unwrap()).unwrap();
    stats["maxValues"].get(column).is_some()
}

fn merge(prefix: &str) -> MergeOptions {
    MergeOptions { name_prefix: prefix.to_owned(), full: true, ..MergeOptions::default() }
}

#[tokio::test]
async fn rows_with_nan_are_found_in_files_and_merged_files() {
    let storage = storage();
    let table = table(&storage).await;
    add(&table, vec![batch(&[1.0, f64::NAN, 2.0], 1), batch(&[1.0, 2.0], 2)], "a", 1).await;
    let state = add(&table, vec![batch(&[3.0, 4.0], 1)], "a", 2).await;
    let bounds: Vec<(bool, bool)> = state.files().map(|add| (has_bounds(add, "x"), has_bounds(add, "y"))).collect();
    assert_eq!(bounds.iter().filter(|(x, _)| *x).count(), 2, "of three files one has NaN: {bounds:?}");
    assert!(bounds.iter().all(|(_, y)| *y));
    for (filter, rows) in [("x > 100", 1), ("x = 'NaN'::double", 1), ("x >= 3", 3), ("x < 1.5", 2)] {
        assert_eq!(found(&storage, &state, filter).await, rows, "{filter}");
    }
    let outcome = merge_partition(&table, Some("1970-01-02"), merge("m"), &|_| ()).await.unwrap();
    assert_eq!((outcome.rounds, outcome.files_written), (1, 1), "what is known before needs no file of its own");
    let state = open(&storage).await.state();
    for (filter, rows) in [("x > 100", 1), ("x >= 3", 3), ("x < 1.5", 2), ("y > 8", 0)] {
        assert_eq!(found(&storage, &state, filter).await, rows, "{filter} after a merge");
    }
    assert!(state.files().all(|add| has_bounds(add, "y")));
}

#[tokio::test]
async fn nan_that_another_program_has_hidden_behind_bounds_shows_after_a_merge() {
    let storage = storage();
    let table = table(&storage).await;
    // As the Parquet writer would have it, without a word of ours.
    let mut bytes = Vec::new();
    let rows = batch(&[1.0, f64::NAN, 2.0], 1).project(&[0, 1]).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let mut adds = table.write_data_files(vec![batch(&[0.0], 1)], "theirs").await.unwrap();
    let place = object_store::path::Path::from(format!("t/{}", adds[0].path));
    let size = bytes.len() as u64;
    object_store::ObjectStoreExt::put(&storage.store(&location()).unwrap(), &place, bytes.into()).await.unwrap();
    for add in &mut adds {
        (add.size, add.stats, add.tags) = (size, None, None);
    }
    table.append(txn("spark", 1), None, adds, soon(&table)).await.unwrap();
    add(&table, vec![batch(&[3.0, 4.0], 1)], "a", 1).await;
    merge_partition(&table, Some("1970-01-02"), merge("m"), &|_| ()).await.unwrap();
    let state = open(&storage).await.state();
    assert_eq!((state.size().rows, state.partitions()[&Some("1970-01-02".to_owned())].runs), (5, 1));
    assert_eq!(found(&storage, &state, "x > 100").await, 1);
}

#[tokio::test]
async fn nulls_and_numbers_are_no_nan() {
    let storage = storage();
    let table = table(&storage).await;
    let nulls: ArrayRef = Arc::new(arrow::array::PrimitiveArray::<Float64Type>::new_null(3));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![1; 3]));
    let nothing = RecordBatch::try_from_iter([("x", nulls), ("date", days)]).unwrap();
    add(&table, vec![nothing], "a", 1).await;
    add(&table, vec![batch(&[3.0, f64::INFINITY, -0.0], 1)], "a", 2).await;
    merge_partition(&table, Some("1970-01-02"), merge("m"), &|_| ()).await.unwrap();
    let state = table.state();
    let file = state.files.values().next().unwrap();
    assert!(file.data.summary.columns()[0].max.is_some(), "all that has bounds keeps them");
}
