//! The whole product but its sockets, over a small lake in memory. One for all inputs of a process.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
        RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Int64Type},
};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use futures::TryStreamExt;
use lakebed_access::{Access, AdmitOptions, Limits, Principal, Role};
use lakebed_api_rest::{RestSettings, RestState, router};
use lakebed_catalog::{Catalog, CatalogSettings, CrawlRequest, Freshness};
use lakebed_ingest::{IngestService, IngestSettings};
use lakebed_query::{CachePolicy, Parameters, PreparedQuery, QueryOptions, QueryService, QuerySettings, SqlLimits};
use lakebed_storage::{Location, Mode, Storage, StorageSettings};
use lakebed_tables::Buffers;
use lakebed_testkit::{TestResult, csv_bytes, ndjson_bytes, parquet_bytes};
use lakebed_types::{DatabaseName, ErrorKind, Result, SystemClock};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::store::MemoryStore;

/// Whatever an input asks for, this long it may take at most.
const PATIENCE: Duration = Duration::from_secs(9);
/// The server's own limit, after which it has to end a query.
const RUN_TIME: Duration = Duration::from_millis(500);
/// Rows of each table.
const ROWS: i64 = 20;
/// With which the server signs page tokens.
pub(crate) const TOKEN_SECRET: [u8; 32] = [7; 32];
/// What the server says of a panic outside the engine.
const PANICKED: &str = "the server failed while it handled the request";
/// Where the files lie that are inputs.
const FILES: &str = "s3://lake/files/";

/// The product.
pub(crate) struct World {
    runtime: Runtime,
    pub(crate) query: QueryService,
    pub(crate) storage: Storage,
    router: Router,
    store: Arc<MemoryStore>,
    written: AtomicU64,
    _folder: TempDir,
}

/// What came back over HTTP.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// None where it broke off.
    pub(crate) body: Option<Bytes>,
}

/// The one of this process.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::new().expect("the product starts"))
}

impl World {
    fn new() -> TestResult<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (folder, store) = (TempDir::with_prefix("lakebed-fuzz-")?, Arc::new(MemoryStore::default()));
        let storage = Storage::new(StorageSettings::default());
        storage.allow_through(store.clone(), &Location::parse("s3://lake/")?, Mode::ReadWrite);
        let query = runtime.block_on(start(&store, &storage, &folder))?;
        let settings = RestSettings { token_secret: TOKEN_SECRET, ..RestSettings::default() };
        let prometheus = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
        query.set_metrics(move || prometheus.render());
        let log = IngestSettings { wal_dir: folder.path().join("wal"), ..IngestSettings::default() };
        let catalog = query.catalog().clone();
        let ingest = IngestService::open(log, catalog, Buffers::default(), Arc::new(SystemClock));
        let state = RestState::new(query.clone(), runtime.block_on(ingest)?, settings, Arc::new(AtomicBool::new(true)));
        let (router, written) = (router(state), AtomicU64::default());
        Ok(Self { runtime, query, storage, router, store, written, _folder: folder })
    }

    /// Waits for the work on an input.
    ///
    /// # Panics
    /// If it does not end.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let done = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await });
        done.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"))
    }

    /// One request, with the rights of a reader.
    pub(crate) fn send(&self, request: Request<Body>) -> Answer {
        self.wait(async {
            let response = self.router.clone().oneshot(request).await.expect("the router always answers");
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.ok();
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }

    /// All rows of a statement.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let who = Principal::local();
        let prepared = self.query.prepare(&who, sql, &options()).await?;
        self.run(&who, prepared).await
    }

    /// The rows of a prepared statement.
    pub(crate) async fn run(&self, who: &Principal, prepared: PreparedQuery) -> Result<Vec<RecordBatch>> {
        let admitted = self.query.admit(who, &prepared, &AdmitOptions::default()).await?;
        self.query.run(admitted, prepared).await?.batches.try_collect().await
    }

    /// Puts an input into the lake as a file of this ending for as long as `work` takes.
    pub(crate) fn with_file<T>(
        &self,
        ending: &str,
        content: &[u8],
        work: impl AsyncFnOnce(&Location, &ObjectMeta) -> T,
    ) -> T {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let location = Location::parse(&format!("{FILES}{number}.{ending}")).expect("a location");
        self.wait(async {
            let put = self.store.put(location.path(), Bytes::copy_from_slice(content).into()).await;
            put.expect("there is room in memory");
            let meta = self.store.head(location.path()).await.expect("it was just written");
            let done = work(&location, &meta).await;
            self.store.delete(location.path()).await.expect("it was just there");
            done
        })
    }
}

impl Answer {
    /// The body as JSON; null where it broke off or is none.
    pub(crate) fn json(&self) -> Value {
        let body = self.body.as_deref().unwrap_or_default();
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Whatever was asked: an answer, or a problem document with a known code that is not the server's fault.
    ///
    /// # Panics
    /// If it is neither. `engine_may_fail`: where the engine plans or runs what the input says, it may find itself wrong.
    pub(crate) fn check(&self, engine_may_fail: bool) {
        if self.status.as_u16() < 400 {
            return;
        }
        let problem = self.json();
        let code = problem["code"].as_str().and_then(ErrorKind::from_code);
        assert!(code.is_some(), "{}: {problem}", self.status);
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        assert!(self.headers.contains_key("x-query-id"), "{problem}");
        let in_handler = problem["detail"] == PANICKED;
        assert!(!in_handler, "a handler panicked");
        assert!(engine_may_fail || code != Some(ErrorKind::Internal), "{problem}");
    }
}

/// What every statement is prepared with. Nothing is kept: each input does its work.
pub(crate) fn options() -> QueryOptions {
    QueryOptions {
        database: DatabaseName::default_database(),
        parameters: Parameters::None,
        source: "fuzz",
        result_cache: CachePolicy::Bypass,
    }
}

async fn start(store: &MemoryStore, storage: &Storage, folder: &TempDir) -> TestResult<QueryService> {
    fill(store).await?;
    let clock = Arc::new(SystemClock);
    let settings = CatalogSettings { default_freshness: Freshness::Manual, ..CatalogSettings::default() };
    let catalog = Catalog::in_memory(storage.clone(), settings, clock.clone()).await?;
    let crawl = CrawlRequest {
        crawler: "fuzz".into(),
        location: Location::parse("s3://lake/data/")?,
        database: DatabaseName::default_database(),
        table: None,
        files: None,
        dry_run: false,
    };
    catalog.crawl(&crawl, &|_| {}).await?;
    let limits = Limits {
        run_time: RUN_TIME,
        result_rows: Some(10_000),
        result_bytes: Some(16 << 20),
        queue_wait: RUN_TIME,
        ..Limits::default()
    };
    let access = Access::new(limits, Principal::anonymous(Role::Read), clock.clone());
    let settings = QuerySettings {
        memory_bytes: 128 << 20,
        memory_per_query_bytes: 64 << 20,
        resident_memory_bytes: None,
        spill_dir: folder.path().join("spill"),
        spill_bytes: 16 << 20,
        spool_dir: None,
        spool_bytes: 0,
        spool_lifetime: Duration::ZERO,
        result_cache_bytes: 0,
        threads: 1,
        batch_rows: 1024,
        metadata_cache_bytes: 1 << 20,
        column_cache_bytes: 1 << 20,
        price_per_tib_usd: 5.0,
        history_entries: 10,
        lake: Some(Location::parse("s3://lake/managed/")?),
        sql: SqlLimits::default(),
    };
    Ok(QueryService::new(settings, catalog, access, clock)?)
}

/// `kinds` has a column of every sort, `trips` two files, `zones` is CSV, `notes` NDJSON, `events` is partitioned.
async fn fill(store: &MemoryStore) -> TestResult {
    let write = async |name: &str, bytes: Vec<u8>| store.put(&Path::from(name), bytes.into()).await.map(drop);
    write("data/kinds/all.parquet", parquet_bytes(&[kinds()?], None)?).await?;
    for part in 0..2 {
        write(&format!("data/trips/{part}.parquet"), parquet_bytes(&[trips(part)?], None)?).await?;
    }
    write("data/zones/zones.csv", csv_bytes(&[trips(0)?])?).await?;
    write("data/notes/notes.ndjson", ndjson_bytes(&[trips(1)?])?).await?;
    for day in ["2024-01-01", "2024-01-02"] {
        write(&format!("data/events/day={day}/part.parquet"), parquet_bytes(&[trips(0)?], None)?).await?;
    }
    Ok(())
}

fn trips(part: i64) -> TestResult<RecordBatch> {
    let ids = part * ROWS..(part + 1) * ROWS;
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("zone", Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| id % 4)))),
        ("fare", Arc::new(Float64Array::from_iter_values(ids.clone().map(|id| id as f64 / 2.0)))),
        ("note", Arc::new(StringArray::from_iter(ids.map(|id| (id % 5 != 0).then(|| format!("note {id}")))))),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn kinds() -> TestResult<RecordBatch> {
    let some = |id: &i32| id % 7 != 3;
    let ids = 0..ROWS as i32;
    let texts: StringArray = ids.clone().map(|id| some(&id).then(|| format!("text {id}"))).collect();
    let inner = Arc::new(Field::new("x", DataType::Int32, true));
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(ids.clone()));
    let lists = ids.clone().map(|id| some(&id).then(|| (0..i64::from(id % 3)).map(Some)));
    let prices = ids.clone().map(|id| i128::from(id) * 101);
    let moments = ids.clone().map(|id| i64::from(id) * 86_400_000_000);
    let columns: [(&str, ArrayRef); 9] = [
        ("flag", Arc::new(ids.clone().map(|id| Some(id % 2 == 0)).collect::<BooleanArray>())),
        ("small", Arc::new(Int32Array::from_iter(ids.clone().map(|id| some(&id).then_some(id))))),
        ("big", Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| i64::MAX - i64::from(id))))),
        ("ratio", Arc::new(Float64Array::from_iter_values(ids.clone().map(|id| f64::from(id) / 3.0)))),
        ("price", Arc::new(Decimal128Array::from_iter_values(prices).with_precision_and_scale(12, 2)?)),
        ("day", Arc::new(Date32Array::from_iter_values(ids.clone().map(|id| id * 400)))),
        ("moment", Arc::new(TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC"))),
        ("text", Arc::new(texts)),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
    ];
    let nested: ArrayRef = Arc::new(StructArray::from(vec![(inner, numbers)]));
    Ok(RecordBatch::try_from_iter(columns.into_iter().chain([("nested", nested)]))?)
}
