//! Every row once: files and buffer together, against any version, whatever happens in between.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use datafusion::prelude::SessionContext;
use lakebed_storage::{Location, Mode, Storage, StorageSettings, StoreCounters};
use lakebed_testkit::MockClock;
use lakebed_types::{Clock, DatabaseName, TableName};
use proptest::prelude::*;

use super::{BufferRows, Buffers, TableBuffer, provider_with_buffer};
use crate::{
    DeltaOptions, DeltaState, DeltaTable, MergeOptions, ReadCaches, ScanCounters, Txn, merge_partition, provider,
};

const APP: &str = "ingest/here/1";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("date", DataType::Date32, true),
    ]))
}

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let names = StringArray::from_iter_values(ids.clone().map(|id| format!("name {id}")));
    let days = Date32Array::from_iter_values(ids.clone().map(|id| (id % 2) as i32));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(names), Arc::new(days)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn ids_of(batches: &[RecordBatch]) -> Vec<i64> {
    let mut ids: Vec<i64> =
        batches.iter().flat_map(|batch| batch["id"].as_primitive::<Int64Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

fn buffer(clock: &Arc<MockClock>) -> Arc<TableBuffer> {
    let name = TableName::new(DatabaseName::default_database(), "t").unwrap();
    Buffers::new(Arc::clone(clock) as Arc<dyn Clock>).open(&name, APP, "a table", schema())
}

/// A table with its buffer, and what has been sent to it.
struct World {
    storage: Storage,
    clock: Arc<MockClock>,
    table: DeltaTable,
    buffer: Arc<TableBuffer>,
    sent: i64,
    lsn: u64,
    /// A version that a reader has pinned.
    pinned: Arc<DeltaState>,
    flushes: i64,
}

#[derive(Debug, Clone)]
enum Step {
    Push(i64),
    /// Up to this share of the positions that are there.
    Flush(f64),
    Merge,
    AddColumn,
    Pin,
    ReadPinned,
    Pass(u64),
    Bound(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40i64).prop_map(Step::Push),
        1 => Just(Step::Push(9000)),
        3 => (0.0..1.0f64).prop_map(Step::Flush),
        1 => Just(Step::Merge),
        1 => Just(Step::AddColumn),
        2 => Just(Step::Pin),
        3 => Just(Step::ReadPinned),
        2 => (1..90u64).prop_map(Step::Pass),
        1 => (0..400u64).prop_map(Step::Bound),
    ]
}

impl World {
    async fn new() -> Self {
        let storage = Storage::new(StorageSettings::default());
        let location = Location::parse("memory://lake/t/").unwrap();
        storage.allow(&location, Mode::ReadWrite).unwrap();
        let options = DeltaOptions {
            id: "t".to_owned(),
            partition_column: Some("date".to_owned()),
            sort_columns: vec!["id".to_owned()],
            ..DeltaOptions::default()
        };
        let clock = Arc::new(MockClock::new());
        let table = DeltaTable::create(&storage, location, schema(), options, Arc::clone(&clock) as _).await.unwrap();
        let (buffer, pinned) = (buffer(&clock), table.state());
        Self { storage, clock, table, buffer, sent: 0, lsn: 0, pinned, flushes: 0 }
    }

    async fn step(&mut self, step: Step) {
        let deadline = self.clock.instant();
        match step {
            Step::Push(count) => {
                self.lsn += 3;
                self.buffer.push(self.lsn, rows(self.sent..self.sent + count), count as u64 * 10);
                self.sent += count;
            }
            Step::Flush(share) => {
                let from = self.buffer.flushed_lsn();
                let upto = from + ((self.lsn - from.min(self.lsn)) as f64 * share).ceil() as u64;
                self.flushes += 1;
                let batches = self.buffer.frozen(upto);
                let adds = self.table.write_data_files(batches, &format!("f{}", self.flushes)).await.unwrap();
                let txn = Txn { app_id: APP.to_owned(), version: upto as i64 };
                self.table.append(txn, self.table.state().transaction(APP), adds, deadline).await.unwrap();
                // Committed, and the buffer does not know it yet.
                self.check().await;
                self.buffer.flushed(upto, self.clock.instant());
            }
            Step::Merge => {
                for day in ["1970-01-01", "1970-01-02"] {
                    self.flushes += 1;
                    let options = MergeOptions { name_prefix: format!("m{}", self.flushes), ..MergeOptions::default() };
                    merge_partition(&self.table, Some(day), options, &|_| ()).await.unwrap();
                }
            }
            Step::AddColumn => {
                let field = Field::new(format!("c{}", self.sent % 3), DataType::Utf8, true);
                self.table.add_columns(vec![field], deadline).await.unwrap();
            }
            Step::Pin => self.pinned = self.table.state(),
            Step::ReadPinned => {
                if let Some(rows) = self.after(&self.pinned) {
                    self.read(&self.pinned, rows).await;
                }
            }
            Step::Pass(seconds) => {
                self.clock.advance(Duration::from_secs(seconds));
                self.buffer.sweep(self.clock.instant());
            }
            Step::Bound(most) => self.buffer.sweep_to(self.clock.instant(), most),
        }
        self.check().await;
    }

    fn after(&self, state: &DeltaState) -> Option<BufferRows> {
        self.buffer.after(state.transaction(APP).unwrap_or(0) as u64)
    }

    /// The newest version can always be read.
    async fn check(&self) {
        let state = self.table.state();
        let rows = self.after(&state).expect("the newest version needs nothing that is gone");
        self.read(&state, rows).await;
    }

    async fn read(&self, state: &DeltaState, rows: BufferRows) {
        let all: Vec<i64> = (0..self.sent).collect();
        let context = self.context(state, rows);
        let query = |sql: &'static str| async { context.sql(sql).await.unwrap().collect().await.unwrap() };
        assert_eq!(ids_of(&query("SELECT id FROM t").await), all);
        let counted = query("SELECT count(*) AS id FROM t").await;
        assert_eq!(ids_of(&counted), [self.sent]);
        let some = ids_of(&query("SELECT id FROM t WHERE date = '1970-01-02' AND id >= 10").await);
        assert_eq!(some, all.iter().copied().filter(|id| id % 2 == 1 && *id >= 10).collect::<Vec<_>>());
        let last = ids_of(&query("SELECT max(id) AS id FROM t WHERE name >= 'name'").await);
        assert_eq!(last.first().copied().unwrap_or(0), (self.sent - 1).max(0));
    }

    fn context(&self, state: &DeltaState, rows: BufferRows) -> SessionContext {
        context(&self.storage, state, rows)
    }
}

fn context(storage: &Storage, state: &DeltaState, rows: BufferRows) -> SessionContext {
    let counters = Arc::new(StoreCounters::default());
    let caches = ReadCaches::new(1024 * 1024, 1024 * 1024);
    let files =
        provider(state.snapshot().unwrap(), storage, counters, Arc::new(ScanCounters::default()), &caches).unwrap();
    let context = SessionContext::new();
    let url = state.snapshot().unwrap().location().store_url();
    context.register_object_store(&url, storage.store_for_url(&url).unwrap());
    context.register_table("t", provider_with_buffer(files, rows)).unwrap();
    context
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_row_is_read_once_whatever_happens(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.step(step).await;
            }
        });
    }
}

#[test]
fn rows_leave_memory_a_while_after_they_are_in_files() {
    let clock = Arc::new(MockClock::new());
    let buffer = buffer(&clock);
    buffer.push(1, rows(0..10), 100);
    clock.advance(Duration::from_secs(5));
    buffer.push(2, rows(10..30), 200);
    assert_eq!((buffer.rows(), buffer.bytes(), buffer.last_lsn()), (30, 300, 2));
    assert_eq!(ids_of(&buffer.frozen(1)), (0..10).collect::<Vec<_>>());
    buffer.flushed(1, clock.instant());
    assert_eq!((buffer.rows(), buffer.bytes(), buffer.held_bytes()), (20, 200, 300));
    assert_eq!(buffer.after(0).unwrap().rows(), 30, "for a version before the flush");
    assert_eq!(buffer.after(1).unwrap().rows(), 20);
    clock.advance(Duration::from_secs(61));
    buffer.sweep(clock.instant());
    assert!(buffer.after(0).is_none());
    assert_eq!((buffer.after(1).unwrap().rows(), buffer.held_bytes()), (20, 200));
    assert_ne!(buffer.after(1).unwrap().position(), buffer.after(2).unwrap().position());
    buffer.push(3, rows(30..40), 100);
    buffer.flushed(2, clock.instant());
    buffer.sweep_to(clock.instant(), 300);
    assert_eq!(buffer.after(1).unwrap().rows(), 30, "within the bound");
    buffer.sweep_to(clock.instant(), 10);
    assert!(buffer.after(1).is_none());
    assert_eq!((buffer.after(2).unwrap().rows(), buffer.held_bytes()), (10, 100), "what is in no file stays");
}

#[test]
fn small_batches_are_joined_and_come_apart_at_any_position() {
    let clock = Arc::new(MockClock::new());
    let buffer = buffer(&clock);
    for lsn in 1..=1000u64 {
        buffer.push(lsn, rows(lsn as i64..lsn as i64 + 1), 7);
    }
    assert!(buffer.frozen(1000).len() < 30, "{} batches", buffer.frozen(1000).len());
    assert_eq!(buffer.bytes(), 7000);
    for watermark in [0, 1, 499, 998, 1000] {
        let parts = buffer.read_from(watermark, usize::MAX).unwrap();
        assert_eq!(parts.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), (watermark + 1..=1000).collect::<Vec<_>>());
        assert!(parts.iter().all(|(lsn, batch)| ids_of(std::slice::from_ref(batch)) == [*lsn as i64]));
    }
    assert_eq!(buffer.read_from(10, 5).unwrap().len(), 5);
    buffer.flushed(333, clock.instant());
    assert_eq!(ids_of(&buffer.frozen(500)), (334..=500).collect::<Vec<_>>());
    assert_eq!(buffer.rows(), 667);
}

#[tokio::test]
async fn buffered_batches_are_pruned_by_their_bounds() {
    let world = World::new().await;
    world.buffer.push(1, rows(0..9000), 1);
    world.buffer.push(2, rows(20_000..29_000), 1);
    let rows = world.buffer.after(0).unwrap();
    let context = world.context(&world.table.state(), rows);
    let plan = context.sql("SELECT name FROM t WHERE id > 25000").await.unwrap().create_physical_plan().await.unwrap();
    let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string();
    assert!(text.contains("partition_sizes=[1]"), "one of two batches: {text}");
    let found = context.sql("SELECT name FROM t WHERE id > 28998").await.unwrap().collect().await.unwrap();
    let names: Vec<String> =
        found.iter().flat_map(|batch| batch.column(0).as_string_view().iter().flatten().map(str::to_owned)).collect();
    assert_eq!(names, ["name 28999"]);
    assert!(found.iter().all(|batch| batch.column(0).null_count() == 0));
}
