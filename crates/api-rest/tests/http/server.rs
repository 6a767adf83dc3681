//! A server without a socket: the router over a lake in a temporary folder.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use lakebed_access::{Access, DEFAULT_WORKGROUP, Grants, Limits, NewKey, Principal, Role};
use lakebed_api_rest::{RestSettings, RestState, router};
use lakebed_catalog::{Catalog, CatalogSettings, CrawlRequest, Freshness};
use lakebed_ingest::{IngestService, IngestSettings};
use lakebed_query::{QueryService, QuerySettings, SqlLimits};
use lakebed_storage::Mode;
use lakebed_tables::Buffers;
use lakebed_testkit::TestLake;
use lakebed_types::{DatabaseName, SystemClock};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// 2^53 + 1: the first integer that a JavaScript number does not hold.
pub const BIG: i64 = 9_007_199_254_740_993;

/// Memory above which the server's watchdog ends queries.
pub const RESIDENT_LIMIT: u64 = 1 << 40;

pub struct Server {
    pub router: Router,
    pub query: QueryService,
    pub ingest: IngestService,
    pub ready: Arc<AtomicBool>,
    /// Ends the answers that have no end of their own.
    pub stop: CancellationToken,
    pub lake: TestLake,
    _data: TestLake,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and `code` of a problem document, whose every promised member is there.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["type"], format!("urn:lakebed:error:{code}"));
        assert_eq!(problem["query_id"], self.header("x-query-id"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert!(!problem["title"].as_str().unwrap().is_empty());
        (self.status.as_u16(), code)
    }
}

impl Server {
    /// A server with the tables `trips` (250 rows in one file), `sales` (two years), and a file for `/query-parquet`.
    pub async fn start() -> Self {
        Self::with(RestSettings::default()).await
    }

    pub async fn with(settings: RestSettings) -> Self {
        let lake = TestLake::new().unwrap();
        lake.write_parquet("trips/part-0.parquet", &[trips(0..250)]).unwrap();
        lake.write_partitions("sales", "year", &[("2023", trips(0..3)), ("2024", trips(3..5))]).unwrap();
        let server = Self::over(lake, settings).await;
        // After the crawl: this file is reached by its path alone.
        server.lake.write_parquet("pages/state=tamil nadu/dname=chennai/chennai.parquet", &[trips(0..25)]).unwrap();
        server
    }

    /// A server of the tables in `lake`.
    pub async fn over(lake: TestLake, settings: RestSettings) -> Self {
        let data = TestLake::new().unwrap();
        let clock = Arc::new(SystemClock);
        let storage = lake.storage(Mode::ReadWrite).unwrap();
        let catalog_settings = CatalogSettings {
            default_freshness: Freshness::OnQuery { min_age: Duration::ZERO },
            ..CatalogSettings::default()
        };
        let catalog = Catalog::in_memory(storage, catalog_settings, clock.clone()).await.unwrap();
        let access = Access::new(Limits::default(), Principal::anonymous(Role::Admin), clock.clone());
        let query = QueryService::new(query_settings(&data), catalog, access, clock).unwrap();
        let request = CrawlRequest {
            crawler: "start".into(),
            location: lake.location().unwrap(),
            database: DatabaseName::default_database(),
            table: None,
            files: None,
            dry_run: false,
        };
        query.catalog().crawl(&request, &|_| {}).await.unwrap();
        let template = lake.file("pages/state={statename}/dname={dname}/{dname}.parquet").display().to_string();
        let settings = RestSettings { parquet_pages: Some(template), ..settings };
        let prometheus = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
        let ready = Arc::new(AtomicBool::new(true));
        query.set_metrics(move || prometheus.render());
        let buffers = Buffers::default();
        query.set_buffers(buffers.clone());
        let log = IngestSettings {
            wal_dir: data.file("wal"),
            lake: Some(lake.location().unwrap()),
            ..IngestSettings::default()
        };
        let ingest = IngestService::open(log, query.catalog().clone(), buffers, Arc::new(SystemClock)).await.unwrap();
        ingest.recovered().await;
        let state = RestState::new(query.clone(), ingest.clone(), settings, ready.clone());
        let stop = state.stop.clone();
        Self { router: router(state), query, ingest, ready, stop, lake, _data: data }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Makes a key that sees these databases and tables, everything if there are none; its text.
    pub async fn key(&self, name: &str, role: Role, grants: &[&str]) -> String {
        self.key_in(DEFAULT_WORKGROUP, name, role, grants).await
    }

    /// The same under a workgroup.
    pub async fn key_in(&self, workgroup: &str, name: &str, role: Role, grants: &[&str]) -> String {
        let grants = match grants {
            [] => Grants::everything(),
            names => Grants::only(names.iter().map(|name| name.parse().unwrap()).collect()).unwrap(),
        };
        let new = NewKey { name: name.to_owned(), role, grants, workgroup: workgroup.to_owned(), expires: None };
        self.query.access().keys().create(&Principal::local(), new).await.unwrap().1.to_string()
    }

    /// Sends a request with a key.
    pub async fn send_as(&self, key: &str, mut request: Request<Body>) -> Answer {
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        self.send(request).await
    }

    pub async fn get_as(&self, key: &str, uri: &str) -> Answer {
        self.send_as(key, Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub async fn sql_as(&self, key: &str, sql: &str) -> Answer {
        self.send_as(key, sql_request("/v1/sql", sql)).await
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub async fn delete(&self, uri: &str) -> Answer {
        self.send(Request::delete(uri).body(Body::empty()).unwrap()).await
    }

    pub async fn put(&self, uri: &str, body: Value) -> Answer {
        self.send(with_json(Request::put(uri), &body)).await
    }

    pub async fn post(&self, uri: &str, body: Value) -> Answer {
        self.send(with_json(Request::post(uri), &body)).await
    }

    /// `POST /v1/sql` with plain text.
    pub async fn sql(&self, sql: &str) -> Answer {
        self.send(sql_request("/v1/sql", sql)).await
    }

    /// Waits until nothing runs, for ten seconds at most.
    pub async fn becomes_idle(&self) -> bool {
        for _ in 0..1000 {
            if self.query.access().running() == 0 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

pub fn with_json(builder: axum::http::request::Builder, body: &Value) -> Request<Body> {
    builder.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

pub fn sql_request(uri: &str, sql: &str) -> Request<Body> {
    Request::post(uri).header("content-type", "text/plain").body(Body::from(sql.to_owned())).unwrap()
}

fn query_settings(data: &TestLake) -> QuerySettings {
    QuerySettings {
        memory_bytes: 256 << 20,
        memory_per_query_bytes: 128 << 20,
        resident_memory_bytes: Some(RESIDENT_LIMIT),
        spill_dir: data.file("spill"),
        spill_bytes: 1 << 30,
        spool_dir: Some(data.file("spool")),
        spool_bytes: 1 << 30,
        spool_lifetime: Duration::from_secs(600),
        result_cache_bytes: 16 << 20,
        threads: 2,
        batch_rows: 1024,
        metadata_cache_bytes: 16 << 20,
        column_cache_bytes: 16 << 20,
        price_per_tib_usd: 5.0,
        history_entries: 100,
        lake: None,
        sql: SqlLimits::default(),
    }
}

/// `id`, `name` (`n<id>`), `big` (above what a JavaScript number holds) and `price` (null for each fifth).
pub fn trips(ids: std::ops::Range<i64>) -> RecordBatch {
    let id: Int64Array = ids.clone().collect();
    let name: StringArray = ids.clone().map(|id| Some(format!("n{id}"))).collect();
    let big: Int64Array = ids.clone().map(|id| BIG + id).collect();
    let price: Float64Array = ids.map(|id| (id % 5 != 0).then_some(id as f64 / 2.0)).collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(id) as _),
        ("name", Arc::new(name) as _),
        ("big", Arc::new(big) as _),
        ("price", Arc::new(price) as arrow::array::ArrayRef),
    ])
    .unwrap()
}
