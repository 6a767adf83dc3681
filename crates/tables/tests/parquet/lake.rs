//! A folder of Parquet files, and the engine over it.

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    physical_plan::ExecutionPlan,
    prelude::{SessionConfig, SessionContext},
};
use lakebed_storage::{Location, Mode, Storage, StorageSettings, StoreCounters};
use lakebed_tables::{ReadCaches, ScanCounters, Snapshot, open_location, provider};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use tempfile::TempDir;

/// Rows of a batch, as the server has them.
const BATCH_ROWS: usize = 16_384;

pub struct Lake {
    pub folder: TempDir,
    pub storage: Storage,
    pub caches: ReadCaches,
}

/// A table in a session, with the counters of its query.
pub struct Table {
    pub session: SessionContext,
    pub counters: Arc<StoreCounters>,
    pub scans: Arc<ScanCounters>,
}

impl Lake {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(StorageSettings::default());
        let root = Location::parse(folder.path().to_str().unwrap()).unwrap();
        storage.allow(&root, Mode::ReadWrite).unwrap();
        Self { folder, storage, caches: ReadCaches::new(64 * 1024 * 1024, 64 * 1024 * 1024) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn location(&self, name: &str) -> Location {
        Location::parse(self.path(name).to_str().unwrap()).unwrap()
    }

    pub fn file(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        self.file_with(name, columns, WriterProperties::builder().build());
    }

    pub fn file_with(&self, name: &str, columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let file = std::fs::File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    pub async fn open(&self, name: &str) -> Arc<Snapshot> {
        self.try_open(name).await.unwrap()
    }

    pub async fn try_open(&self, name: &str) -> lakebed_types::Result<Arc<Snapshot>> {
        open_location(&self.storage, self.path(name).to_str().unwrap(), None, 100_000).await
    }

    /// The table `t`.
    pub fn table(&self, snapshot: &Arc<Snapshot>) -> Table {
        self.table_with(snapshot, &self.caches)
    }

    /// The same, with other caches than the lake's.
    pub fn table_with(&self, snapshot: &Arc<Snapshot>, caches: &ReadCaches) -> Table {
        let config = SessionConfig::new().with_target_partitions(4).with_batch_size(BATCH_ROWS);
        let session = SessionContext::new_with_config(config);
        let (counters, scans) = (Arc::<StoreCounters>::default(), Arc::<ScanCounters>::default());
        let url = snapshot.location().store_url();
        session.register_object_store(&url, self.storage.store_for_url(&url).unwrap());
        let (counters_too, scans_too) = (Arc::clone(&counters), Arc::clone(&scans));
        let table = provider(Arc::clone(snapshot), &self.storage, counters_too, scans_too, caches).unwrap();
        session.register_table("t", table).unwrap();
        Table { session, counters, scans }
    }

    /// One query over one folder, as text.
    pub async fn query(&self, name: &str, sql: &str) -> String {
        self.table(&self.open(name).await).query(sql).await
    }
}

impl Table {
    pub async fn query(&self, sql: &str) -> String {
        text(&self.try_query(sql).await.unwrap())
    }

    pub async fn try_query(&self, sql: &str) -> datafusion::error::Result<Vec<RecordBatch>> {
        self.session.sql(sql).await?.collect().await
    }

    pub async fn plan(&self, sql: &str) -> Arc<dyn ExecutionPlan> {
        self.session.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
    }
}

pub fn text(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

/// The cells of a result, rows by lines, cells by commas.
pub fn cells(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    rows.map(|row| row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(","))
        .collect()
}

pub fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}
