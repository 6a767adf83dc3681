//! A small lake: Parquet, CSV and hive partitions in a temporary folder, crawled, and an engine over it.

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    util::display::array_value_to_string,
};
use futures::StreamExt;
use lakebed_access::{Access, AdmitOptions, Admitted, Limits, Principal};
use lakebed_catalog::{Catalog, CatalogSettings, CrawlRequest, Freshness};
use lakebed_query::{
    CachePolicy, Parameters, PreparedQuery, QueryOptions, QueryService, QuerySettings, RunningQuery, SqlLimits,
    StatsHandle,
};
use lakebed_storage::{Location, Mode, Storage, StorageSettings};
use lakebed_types::{DatabaseName, Error, Result, SystemClock};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

pub struct Lake {
    pub dir: TempDir,
    pub service: QueryService,
    pub who: Principal,
}

pub struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub stats: StatsHandle,
}

pub struct Setup {
    pub limits: Limits,
    pub memory_bytes: u64,
    pub who: Principal,
    pub spool_bytes: u64,
    pub spool_lifetime: Duration,
    pub result_cache_bytes: u64,
    /// When new files of a table are looked for.
    pub freshness: Freshness,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            memory_bytes: 256 << 20,
            who: Principal::local(),
            spool_bytes: 64 << 20,
            spool_lifetime: Duration::from_secs(600),
            result_cache_bytes: 16 << 20,
            freshness: CatalogSettings::default().default_freshness,
        }
    }
}

impl Lake {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let dir = TempDir::new().unwrap();
        write_files(&dir.path().join("data"));
        std::fs::create_dir_all(dir.path().join("lake")).unwrap();
        let storage = Storage::new(StorageSettings::default());
        let data = location(&dir.path().join("data/"));
        let lake = location(&dir.path().join("lake/"));
        storage.allow(&data, Mode::Read).unwrap();
        storage.allow(&lake, Mode::ReadWrite).unwrap();
        let clock = Arc::new(SystemClock);
        let catalog_settings = CatalogSettings { default_freshness: setup.freshness, ..CatalogSettings::default() };
        let catalog = Catalog::in_memory(storage, catalog_settings, clock.clone()).await.unwrap();
        let crawl = CrawlRequest {
            crawler: "test".into(),
            location: data,
            database: DatabaseName::default_database(),
            table: None,
            files: None,
            dry_run: false,
        };
        catalog.crawl(&crawl, &|_| {}).await.unwrap();
        let access = Access::new(setup.limits, setup.who.clone(), clock.clone());
        let settings = QuerySettings {
            memory_bytes: setup.memory_bytes,
            memory_per_query_bytes: setup.memory_bytes,
            resident_memory_bytes: Some(1 << 40),
            spill_dir: dir.path().join("spill"),
            spill_bytes: 1 << 30,
            spool_dir: Some(dir.path().join("spool")),
            spool_bytes: setup.spool_bytes,
            spool_lifetime: setup.spool_lifetime,
            result_cache_bytes: setup.result_cache_bytes,
            threads: 2,
            batch_rows: 8192,
            metadata_cache_bytes: 8 << 20,
            column_cache_bytes: 8 << 20,
            price_per_tib_usd: 5.0,
            history_entries: 100,
            lake: Some(lake),
            sql: SqlLimits::default(),
        };
        let service = QueryService::new(settings, catalog, access, clock).unwrap();
        Self { dir, service, who: setup.who }
    }

    pub fn path(&self, relative: &str) -> String {
        self.dir.path().join(relative).display().to_string()
    }

    pub async fn admit(&self) -> Admitted {
        self.service.access().admit(&self.who, &AdmitOptions::default()).await.unwrap()
    }

    pub async fn admit_for(&self, timeout: Duration) -> Admitted {
        let options = AdmitOptions { timeout: Some(timeout), ..AdmitOptions::default() };
        self.service.access().admit(&self.who, &options).await.unwrap()
    }

    pub async fn prepare(&self, sql: &str) -> Result<PreparedQuery> {
        self.service.prepare(&self.who, sql, &options()).await
    }

    pub async fn start(&self, sql: &str) -> Result<RunningQuery> {
        let prepared = self.prepare(sql).await?;
        self.service.run(self.admit().await, prepared).await
    }

    pub async fn query(&self, sql: &str) -> Result<Answer> {
        collect(self.start(sql).await?).await
    }

    pub async fn query_with(&self, sql: &str, parameters: Parameters) -> Result<Answer> {
        let options = QueryOptions { parameters, ..options() };
        let prepared = self.service.prepare(&self.who, sql, &options).await?;
        collect(self.service.run(self.admit().await, prepared).await?).await
    }

    /// Rows as text, columns between bars.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        match self.query(sql).await {
            Ok(answer) => answer.rows.iter().map(|row| row.join("|")).collect(),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    /// The error that a statement ends in; soon, whatever it asks for.
    pub async fn fails(&self, sql: &str) -> Error {
        let deadline = Duration::from_secs(20);
        let outcome = async {
            let prepared = self.prepare(sql).await?;
            collect(self.service.run(self.admit_for(Duration::from_secs(3)).await, prepared).await?).await
        };
        match tokio::time::timeout(deadline, outcome).await {
            Ok(Err(error)) => error,
            Ok(Ok(answer)) => panic!("{} rows instead of an error", answer.rows.len()),
            Err(_) => panic!("no answer within {deadline:?}"),
        }
    }
}

pub fn options() -> QueryOptions {
    QueryOptions {
        database: DatabaseName::default_database(),
        parameters: Parameters::None,
        source: "test",
        result_cache: CachePolicy::Use,
    }
}

pub fn location(path: &Path) -> Location {
    Location::parse(&path.display().to_string()).unwrap()
}

pub async fn collect(mut running: RunningQuery) -> Result<Answer> {
    let columns = running.schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut rows = Vec::new();
    while let Some(batch) = running.batches.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let value = |column: &ArrayRef| array_value_to_string(column, row).unwrap();
            rows.push(batch.columns().iter().map(value).collect());
        }
    }
    Ok(Answer { columns, rows, stats: running.stats })
}

/// `trips`: 3 Parquet files of 1,000 rows; `zones.csv`; `events` in two partitions.
fn write_files(data: &Path) {
    std::fs::create_dir_all(data.join("trips")).unwrap();
    for file in 0..3 {
        write_parquet(&data.join(format!("trips/part-{file}.parquet")), &trips(file * 1000, 1000));
    }
    std::fs::create_dir_all(data.join("zones")).unwrap();
    std::fs::write(data.join("zones/zones.csv"), "zone,Borough\n0,Queens\n1,Bronx\n2,Manhattan\n3,\n").unwrap();
    for day in ["2024-01-01", "2024-01-02"] {
        let folder = data.join(format!("events/day={day}"));
        std::fs::create_dir_all(&folder).unwrap();
        write_parquet(&folder.join("part.parquet"), &trips(0, 10));
    }
}

fn trips(first: i64, rows: i64) -> RecordBatch {
    let ids = first..first + rows;
    let columns: [(&str, ArrayRef); 4] = [
        ("VendorID", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("zone", Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| id % 4)))),
        ("fare", Arc::new(Float64Array::from_iter_values(ids.clone().map(|id| id as f64 / 2.0)))),
        ("note", Arc::new(StringArray::from_iter(ids.map(|id| (id % 10 != 0).then(|| format!("note {id}")))))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}
