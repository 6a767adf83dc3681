//! A folder with files, and a catalog over it with a clock that stands still.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, StringArray},
    record_batch::RecordBatch,
};
use chrono::{DateTime, Utc};
use lakebed_storage::{Location, Mode, Storage, StorageSettings};
use lakebed_types::{Clock, DatabaseName, TableName};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use crate::{Catalog, CatalogSettings, CrawlReport, CrawlRequest, Outcome};

#[derive(Debug)]
pub(super) struct StillClock {
    now: Mutex<DateTime<Utc>>,
}

impl Clock for StillClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock()
    }

    #[expect(clippy::disallowed_methods, reason = "no test reads it")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

pub(super) struct Lake {
    folder: TempDir,
    pub(super) catalog: Catalog,
    pub(super) clock: Arc<StillClock>,
    settings: CatalogSettings,
}

impl Lake {
    pub(super) async fn new() -> Self {
        Self::with(CatalogSettings::default()).await
    }

    pub(super) async fn with(settings: CatalogSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("lake")).unwrap();
        let clock = Arc::new(StillClock { now: Mutex::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap()) });
        let catalog = open(folder.path(), settings.clone(), &clock).await;
        Self { folder, catalog, clock, settings }
    }

    /// Closes the catalog and opens it again, as a new process would.
    pub(super) async fn reopen(mut self) -> Self {
        self.catalog.close().await;
        drop(self.catalog);
        self.catalog = open(self.folder.path(), self.settings.clone(), &self.clock).await;
        self
    }

    pub(super) fn catalog_file(&self) -> PathBuf {
        self.folder.path().join("data/catalog.db")
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        let path = self.folder.path().join("lake").join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(super) fn location(&self, relative: &str) -> Location {
        Location::parse(self.folder.path().join("lake").join(relative).to_str().unwrap()).unwrap()
    }

    /// The folder of tables that are written.
    pub(super) fn managed(&self) -> Location {
        Location::parse(self.folder.path().join("managed").to_str().unwrap()).unwrap().as_folder()
    }

    pub(super) fn write(&self, relative: &str, text: &str) {
        fs::write(self.path(relative), text).unwrap();
    }

    pub(super) fn parquet(&self, relative: &str, columns: &[(&str, ArrayRef)]) {
        fs::write(self.path(relative), parquet_bytes(columns)).unwrap();
    }

    pub(super) fn remove(&self, relative: &str) {
        fs::remove_file(self.path(relative)).unwrap();
    }

    pub(super) fn later(&self, seconds: u64) {
        *self.clock.now.lock() += Duration::from_secs(seconds);
    }

    pub(super) async fn crawl(&self) -> CrawlReport {
        self.catalog.crawl(&self.request(false), &|_| {}).await.unwrap()
    }

    pub(super) async fn dry_run(&self) -> CrawlReport {
        self.catalog.crawl(&self.request(true), &|_| {}).await.unwrap()
    }

    pub(super) fn request(&self, dry_run: bool) -> CrawlRequest {
        CrawlRequest {
            crawler: "lake".to_owned(),
            location: self.location(""),
            database: DatabaseName::default_database(),
            table: None,
            files: None,
            dry_run,
        }
    }

    /// Requests and bytes that the store has seen.
    pub(super) fn requests(&self) -> u64 {
        self.catalog.storage().counters().requests()
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.catalog.storage().counters().bytes_read()
    }
}

async fn open(folder: &Path, settings: CatalogSettings, clock: &Arc<StillClock>) -> Catalog {
    let storage = Storage::new(StorageSettings::default());
    let lake = Location::parse(folder.join("lake").to_str().unwrap()).unwrap();
    storage.allow(&lake, Mode::Read).unwrap();
    let managed = Location::parse(folder.join("managed").to_str().unwrap()).unwrap();
    storage.allow(&managed.as_folder(), Mode::ReadWrite).unwrap();
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Catalog::open(&folder.join("data/catalog.db"), storage, settings, clock).await.unwrap()
}

pub(super) fn name(table: &str) -> TableName {
    TableName::parse(table, &DatabaseName::default_database()).unwrap()
}

pub(super) fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

pub(super) fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(super) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(super) fn parquet_bytes(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// `path outcome table files change`, one line for each entry.
pub(super) fn lines(report: &CrawlReport) -> Vec<String> {
    let line = |entry: &crate::ReportEntry| {
        let table = entry.table.as_deref().unwrap_or("-");
        format!("{:?} {} {table} {} {}", entry.path, entry.outcome, entry.files, entry.change)
    };
    report.entries.iter().map(line).collect()
}

/// The reason given for a path.
pub(super) fn reason<'a>(report: &'a CrawlReport, path: &str, outcome: Outcome) -> &'a str {
    let entry = report.entries.iter().find(|entry| entry.path == path && entry.outcome == outcome);
    &entry.unwrap_or_else(|| panic!("no {outcome} at {path}: {:#?}", report.entries)).reason
}
