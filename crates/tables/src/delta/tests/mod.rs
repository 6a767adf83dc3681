//! Tables on stores that go wrong, several writers at once, and what the log keeps.

mod basics;
mod cleaning;
mod disk;
mod faults;
mod foreign;
mod leases;
mod log;
mod merging;
mod nan;
mod windows;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use futures::TryStreamExt;
use lakebed_storage::{Location, Mode, Storage, StorageSettings};
use lakebed_testkit::MockClock;
use lakebed_types::{Clock, SystemClock};
use object_store::ObjectStore;

use super::{DeltaOptions, DeltaState, DeltaTable, Txn, encode::FileLayout, streams};

const LOCATION: &str = "memory://lake/t/";

fn clock() -> Arc<MockClock> {
    Arc::new(MockClock::new())
}

/// At the machine's time, which the times of objects are by, and so much later.
fn machine_clock(later: Duration) -> Arc<MockClock> {
    let clock = clock();
    let passed = (SystemClock.now() - clock.now()).to_std().unwrap();
    clock.advance(passed + later);
    clock
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn storage() -> Storage {
    let storage = Storage::new(StorageSettings::default());
    storage.allow(&location(), Mode::ReadWrite).unwrap();
    storage
}

fn storage_of(store: Arc<dyn ObjectStore>) -> Storage {
    let storage = Storage::new(StorageSettings::default());
    storage.allow_through(store, &location(), Mode::ReadWrite);
    storage
}

fn location() -> Location {
    Location::parse(LOCATION).unwrap()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("date", DataType::Date32, true),
    ]))
}

/// Rows of one day; the name goes the other way than the id.
fn rows(ids: std::ops::Range<i64>, day: i32) -> RecordBatch {
    let names = StringArray::from_iter_values(ids.clone().map(|id| format!("n{}", 9_000_000 - id)));
    let days = Date32Array::from_iter_values(ids.clone().map(|_| day));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(names), Arc::new(days)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn options() -> DeltaOptions {
    DeltaOptions {
        id: "0d9a4b1e-0000-4000-8000-000000000001".to_owned(),
        partition_column: Some("date".to_owned()),
        sort_columns: vec!["name".to_owned()],
        ..DeltaOptions::default()
    }
}

async fn create(storage: &Storage, clock: Arc<dyn Clock>) -> DeltaTable {
    DeltaTable::create(storage, location(), schema(), options(), clock).await.unwrap()
}

async fn open(storage: &Storage) -> DeltaTable {
    open_with(storage, clock()).await
}

/// As another process would.
async fn open_with(storage: &Storage, clock: Arc<MockClock>) -> DeltaTable {
    DeltaTable::open(storage, location(), clock).await.unwrap()
}

/// The names of all objects of the table, below its folder.
async fn names(storage: &Storage) -> Vec<String> {
    let listed = storage.store(&location()).unwrap().list(Some(location().path()));
    let names = listed.map_ok(|meta| meta.location.to_string().trim_start_matches("t/").to_owned());
    let mut names: Vec<String> = names.try_collect().await.unwrap();
    names.sort();
    names
}

fn soon(table: &DeltaTable) -> Instant {
    table.clock.instant() + Duration::from_secs(60)
}

fn txn(app_id: &str, version: i64) -> Txn {
    Txn { app_id: app_id.to_owned(), version }
}

/// Writes and commits.
async fn add(table: &DeltaTable, batches: Vec<RecordBatch>, app_id: &str, version: i64) -> Arc<DeltaState> {
    let adds = table.write_data_files(batches, &format!("{app_id}-{version}")).await.unwrap();
    let after = table.refresh().await.unwrap().transaction(app_id);
    table.append(txn(app_id, version), after, adds, soon(table)).await.unwrap()
}

/// The ids of all rows, read from the files of a state, in order.
async fn ids(storage: &Storage, state: &DeltaState) -> Vec<i64> {
    let mut ids = Vec::new();
    for file in state.files.values() {
        ids.extend(file_ids(storage, state, file).await);
    }
    ids.sort_unstable();
    ids
}

/// The ids of a file, as they stand in it.
async fn file_ids(storage: &Storage, state: &DeltaState, file: &Arc<super::state::ActiveFile>) -> Vec<i64> {
    let run = vec![vec![Arc::clone(file)]];
    let rows = streams::merged(storage, &state.location, &FileLayout::of(state), run).unwrap();
    let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    let ids = batches.iter().flat_map(|batch| batch["id"].as_primitive::<Int64Type>().values().to_vec());
    ids.collect()
}

fn nulls(batch: &RecordBatch, column: &str) -> usize {
    batch.column_by_name(column).map_or(batch.num_rows(), |column| column.null_count())
}
