//! A node on a temporary disk that can be stopped, frozen at a moment and started again.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Field, Int64Type, Schema, TimeUnit},
};
use bytes::Bytes;
use futures::stream;
use lakebed_access::Principal;
use lakebed_catalog::{Catalog, CatalogSettings};
use lakebed_storage::{Location, Mode};
use lakebed_tables::Buffers;
use lakebed_testkit::{FaultyStore, MockClock, TestLake};
use lakebed_types::{Clock, DatabaseName, Result, SystemClock, TableName};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    AppendOptions, Compression, DayRule, Faults, IngestService, IngestSettings, NoFaults, Receipt, RowsBody,
    RowsFormat, TableRules,
};

/// A node's disk.
pub(crate) struct World {
    lake: TestLake,
    /// A store elsewhere instead of this disk.
    bucket: Option<Arc<FaultyStore>>,
    pub(crate) clock: Arc<MockClock>,
}

/// Where tables lie that are not on this disk.
const BUCKET: &str = "s3://bucket/lake/";

/// A node that runs.
pub(crate) struct Node {
    pub(crate) service: IngestService,
    pub(crate) catalog: Catalog,
    pub(crate) buffers: Buffers,
    lake: std::path::PathBuf,
}

pub(crate) fn table(name: &str) -> TableName {
    TableName::parse(name, &DatabaseName::default_database()).unwrap()
}

pub(crate) fn body(format: RowsFormat, bytes: impl Into<Bytes>) -> RowsBody {
    let bytes = bytes.into();
    RowsBody { format, compression: Compression::None, length: None, bytes: Box::pin(stream::iter([Ok(bytes)])) }
}

pub(crate) fn ndjson(text: impl Into<String>) -> RowsBody {
    body(RowsFormat::NdJson, text.into())
}

/// Rows with these ids, at noon of 2024-01-`day`.
pub(crate) fn events(ids: std::ops::Range<i64>, day: u32) -> RowsBody {
    ndjson(ids.map(|id| format!("{{\"id\":{id},\"at\":\"2024-01-{day:02}T12:00:00Z\"}}\n")).collect::<String>())
}

pub(crate) fn event_columns() -> Arc<Schema> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("at", time, true)]))
}

pub(crate) fn event_rules() -> TableRules {
    TableRules {
        day: Some(DayRule { from: "at".into(), column: "date".into() }),
        sort: vec!["id".into()],
        ..TableRules::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let lake = TestLake::new().unwrap();
        fs::create_dir_all(lake.file("lake")).unwrap();
        Self { lake, bucket: None, clock: Arc::new(MockClock::new()) }
    }

    /// A node whose tables lie in a store that goes wrong.
    pub(crate) fn over(bucket: Arc<FaultyStore>) -> Self {
        Self { bucket: Some(bucket), ..Self::new() }
    }

    fn lake_location(&self) -> Location {
        match &self.bucket {
            Some(_) => Location::parse(BUCKET).unwrap(),
            None => self.lake.location().unwrap().child("lake/").unwrap(),
        }
    }

    /// A place on this disk.
    pub(crate) fn place(&self, name: &str) -> Location {
        self.lake.location().unwrap().child(name).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.lake.path()
    }

    /// Sets the clock to the machine's time, which files are by, and so much later.
    pub(crate) fn to_machine_time(&self, later: Duration) {
        let passed = (SystemClock.now() - self.clock.now()).to_std().unwrap();
        self.clock.advance(passed + later);
    }

    pub(crate) fn settings(&self) -> IngestSettings {
        IngestSettings {
            wal_dir: self.lake.file("wal"),
            lake: Some(self.lake_location()),
            wal_file_bytes: 4096,
            commit_deadline: Duration::from_secs(5),
            faults: Arc::new(NoFaults),
            ..IngestSettings::default()
        }
    }

    pub(crate) async fn start(&self) -> Node {
        self.start_with(self.settings()).await.unwrap()
    }

    pub(crate) async fn start_with_faults(&self, faults: Arc<dyn Faults>) -> Node {
        self.start_with(IngestSettings { faults, ..self.settings() }).await.unwrap()
    }

    pub(crate) async fn start_with(&self, settings: IngestSettings) -> Result<Node> {
        let storage = self.lake.storage(Mode::ReadWrite).unwrap();
        if let Some(bucket) = &self.bucket {
            storage.allow_through(bucket.clone(), &self.lake_location(), Mode::ReadWrite);
        }
        let clock: Arc<dyn Clock> = self.clock.clone();
        let file = self.lake.file("catalog.sqlite");
        let catalog = Catalog::open(&file, storage, CatalogSettings::default(), clock.clone()).await.unwrap();
        let buffers = Buffers::new(clock.clone());
        let service = IngestService::open(settings, catalog.clone(), buffers.clone(), clock).await?;
        service.recovered().await;
        Ok(Node { service, catalog, buffers, lake: self.lake.path().to_owned() })
    }

    /// Puts the disk back to what it was when it was frozen.
    pub(crate) fn thaw(&self) {
        for name in ["wal", "lake"] {
            fs::remove_dir_all(self.path().join(name)).unwrap();
            fs::rename(self.path().join("frozen").join(name), self.path().join(name)).unwrap();
        }
    }
}

/// Copies log and lake as they are at this moment, which is what a killed process leaves behind.
pub(crate) fn freeze(world: &Path) {
    for name in ["wal", "lake"] {
        copy(&world.join(name), &world.join("frozen").join(name));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            // A file may be gone between the listing and the copy.
            false => drop(fs::copy(entry.path(), target)),
        }
    }
}

impl Node {
    /// Makes the table `events`.
    pub(crate) async fn make_events(&self, rules: TableRules) {
        let (who, name) = (Principal::local(), table("events"));
        self.service.create_table(&who, &name, Some(event_columns()), rules, None, None).await.unwrap();
    }

    pub(crate) async fn append(&self, body: RowsBody, options: AppendOptions) -> Result<Receipt> {
        self.service.append(&Principal::local(), &table("events"), body, options).await
    }

    pub(crate) async fn flush(&self) -> Result<crate::FlushReceipt> {
        self.service.flush(&Principal::local(), &table("events")).await
    }

    /// The rows of a table as a query sees them: those in files, and those of the buffer above what is committed.
    pub(crate) async fn rows(&self, name: &str) -> Vec<RecordBatch> {
        let name = table(name);
        let delta = self.catalog.delta(&name).await.unwrap();
        let state = delta.refresh().await.unwrap();
        let mut batches = Vec::new();
        let store = self.catalog.storage().store(delta.location()).unwrap();
        for add in state.files() {
            let location = delta.location().child(&add.path).unwrap();
            let bytes = store.get(location.path()).await.unwrap().bytes().await.unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            batches.extend(reader.map(|batch| batch.unwrap()));
        }
        if let Some(buffer) = self.buffers.table(&name).filter(|buffer| buffer.table_id() == state.id()) {
            let watermark = state.transaction(buffer.app_id()).unwrap_or(0);
            let rows = buffer.read_from(u64::try_from(watermark).unwrap(), usize::MAX).unwrap();
            batches.extend(rows.into_iter().map(|(_, batch)| batch));
        }
        batches
    }

    /// How often each id is there.
    pub(crate) async fn ids(&self) -> BTreeMap<i64, u32> {
        self.ids_of("events").await
    }

    /// How often each id is there.
    pub(crate) async fn ids_of(&self, name: &str) -> BTreeMap<i64, u32> {
        let mut ids = BTreeMap::new();
        for batch in self.rows(name).await {
            for id in batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().iter().flatten() {
                *ids.entry(id).or_default() += 1;
            }
        }
        ids
    }

    /// Names of the table's files, in its folder or one below.
    pub(crate) async fn files_in(&self, folder: &str) -> Vec<String> {
        let delta = self.catalog.delta(&table("events")).await.unwrap();
        let folder = delta.location().child(folder).unwrap().local_path().unwrap();
        let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// Versions in the table's log.
    pub(crate) async fn versions(&self) -> Vec<i64> {
        let names = self.files_in("_delta_log/").await;
        names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect()
    }

    /// Bytes of the log's files.
    pub(crate) fn log_files(&self) -> usize {
        let files = fs::read_dir(self.lake.join("wal")).unwrap();
        files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("wal-")).count()
    }

    pub(crate) async fn stop(self) {
        self.service.close().await;
        self.catalog.close().await;
    }
}

/// Each of these ids once.
pub(crate) fn once(ids: std::ops::Range<i64>) -> BTreeMap<i64, u32> {
    ids.map(|id| (id, 1)).collect()
}

/// A text column's values.
pub(crate) fn texts(batches: &[RecordBatch], column: &str) -> Vec<Option<String>> {
    let values = |batch: &RecordBatch| {
        let column = batch.column_by_name(column).unwrap().clone();
        let text = arrow::compute::cast(&column, &DataType::Utf8).unwrap();
        let text = text.as_string::<i32>();
        (0..text.len()).map(|row| text.is_valid(row).then(|| text.value(row).to_owned())).collect::<Vec<_>>()
    };
    batches.iter().flat_map(values).collect()
}

/// Waits until it is so; a minute at most, which is only reached where it never will be.
pub(crate) async fn wait_for(what: impl AsyncFn() -> bool) {
    for _ in 0..2400 {
        if what().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it did not happen");
}
