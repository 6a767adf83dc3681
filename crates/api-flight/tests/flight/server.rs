//! A server on a port of its own over a lake in a temporary folder, and clients of it.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arrow::{
    array::{AsArray, Float64Array, Int64Array, RecordBatch, StringArray},
    compute::concat_batches,
    datatypes::{Int64Type, Schema, SchemaRef},
};
use arrow_flight::{
    FlightData, FlightDescriptor, FlightInfo, Ticket,
    decode::FlightRecordBatchStream,
    error::FlightError,
    flight_service_client::FlightServiceClient,
    sql::{CommandStatementQuery, ProstMessageExt},
};
use futures::{StreamExt, TryStreamExt};
use lakebed_access::{Access, DEFAULT_WORKGROUP, Grants, Limits, NewKey, Principal, Role};
use lakebed_api_flight::{FlightSettings, FlightState, router};
use lakebed_catalog::{Catalog, CatalogSettings, CrawlRequest, Freshness};
use lakebed_query::{QueryService, QuerySettings, SqlLimits};
use lakebed_storage::{Location, Mode};
use lakebed_testkit::TestLake;
use lakebed_types::{Clock, DatabaseName, SystemClock};
use prost::Message;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    service::Routes,
    transport::{Channel, Server as GrpcServer, server::TcpIncoming},
};
use tonic_types::StatusExt;

/// What one server has that two must share.
pub const SECRET: [u8; 32] = [3; 32];

pub struct Server {
    pub address: SocketAddr,
    pub query: QueryService,
    pub state: FlightState,
    pub ready: Arc<AtomicBool>,
    _lake: TestLake,
    _data: TestLake,
}

impl Server {
    /// A server with the tables `trips` (250 rows in one file) and `sales` (two years).
    pub async fn start() -> Self {
        Self::with(FlightSettings::new(SECRET)).await
    }

    pub async fn with(settings: FlightSettings) -> Self {
        let lake = TestLake::new().unwrap();
        lake.write_parquet("trips/part-0.parquet", &[trips(0..250)]).unwrap();
        lake.write_partitions("sales", "year", &[("2023", trips(0..3)), ("2024", trips(3..5))]).unwrap();
        Self::over(lake, settings).await
    }

    /// A server of the tables in `lake`.
    pub async fn over(lake: TestLake, settings: FlightSettings) -> Self {
        let data = TestLake::new().unwrap();
        let clock = Arc::new(SystemClock);
        let storage = lake.storage(Mode::ReadWrite).unwrap();
        let managed = Location::parse(&format!("{}/", data.file("lake").display())).unwrap();
        storage.allow(&managed, Mode::ReadWrite).unwrap();
        let catalog_settings = CatalogSettings {
            default_freshness: Freshness::OnQuery { min_age: Duration::ZERO },
            ..CatalogSettings::default()
        };
        let catalog = Catalog::in_memory(storage, catalog_settings, clock.clone()).await.unwrap();
        let access = Access::new(Limits::default(), Principal::anonymous(Role::Admin), clock.clone());
        let query = QueryService::new(query_settings(&data, managed), catalog, access, clock.clone()).unwrap();
        let request = CrawlRequest {
            crawler: "start".into(),
            location: lake.location().unwrap(),
            database: DatabaseName::default_database(),
            table: None,
            files: None,
            dry_run: false,
        };
        query.catalog().crawl(&request, &|_| {}).await.unwrap();
        let ready = Arc::new(AtomicBool::new(true));
        let state = FlightState::new(query.clone(), settings, ready.clone(), clock).unwrap();
        let address = serve(&state).await;
        Self { address, query, state, ready, _lake: lake, _data: data }
    }

    pub async fn channel(&self) -> Channel {
        channel(self.address).await
    }

    /// A client that shows no key.
    pub async fn client(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    /// Makes a key that sees these databases and tables, everything if there are none; its text.
    pub async fn key(&self, name: &str, role: Role, grants: &[&str]) -> String {
        self.key_until(name, role, grants, None).await
    }

    /// The same for a time. There is an administrator's key from the first one on, as there must be.
    pub async fn key_until(&self, name: &str, role: Role, grants: &[&str], lifetime: Option<Duration>) -> String {
        let keys = self.query.access().keys();
        if !self.query.access().wants_credentials() {
            let root = NewKey {
                name: "root".into(),
                role: Role::Admin,
                grants: Grants::everything(),
                workgroup: DEFAULT_WORKGROUP.to_owned(),
                expires: None,
            };
            keys.create(&Principal::local(), root).await.unwrap();
        }
        let grants = match grants {
            [] => Grants::everything(),
            names => Grants::only(names.iter().map(|name| name.parse().unwrap()).collect()).unwrap(),
        };
        let workgroup = DEFAULT_WORKGROUP.to_owned();
        let expires = lifetime.map(|lifetime| SystemClock.now() + lifetime);
        let new = NewKey { name: name.to_owned(), role, grants, workgroup, expires };
        keys.create(&Principal::local(), new).await.unwrap().1.to_string()
    }

    /// The rows of a statement.
    pub async fn rows(&self, sql: &str) -> RecordBatch {
        self.try_rows(sql).await.unwrap_or_else(|status| panic!("{sql}: {status}"))
    }

    pub async fn try_rows(&self, sql: &str) -> Result<RecordBatch, Status> {
        let mut client = self.client().await;
        let info = client.get_flight_info(statement(sql)).await?.into_inner();
        let (schema, batches) = fetch(&mut client, &info).await?;
        Ok(concat_batches(&schema, &batches).unwrap())
    }

    /// The one number of a statement.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql).await;
        rows.column(0).as_primitive::<Int64Type>().value(0)
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

/// Serves a state on a port of its own, for as long as the test runs.
pub async fn serve(state: &FlightState) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Routes::from(router(state.clone()).unwrap());
    tokio::spawn(GrpcServer::builder().add_routes(routes).serve_with_incoming(TcpIncoming::from(listener)));
    address
}

pub async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// The descriptor of a statement.
pub fn statement(sql: &str) -> FlightDescriptor {
    command(CommandStatementQuery { query: sql.to_owned(), transaction_id: None })
}

/// The descriptor of any command of Flight SQL.
pub fn command(command: impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

/// The schema and the batches of all endpoints.
pub async fn fetch(
    client: &mut FlightServiceClient<Channel>,
    info: &FlightInfo,
) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
    let mut schema = Arc::new(Schema::empty());
    let mut batches = Vec::new();
    for endpoint in &info.endpoint {
        let (one, rows) = get(client, endpoint.ticket.clone().unwrap()).await?;
        schema = one;
        batches.extend(rows);
    }
    Ok((schema, batches))
}

pub async fn get(
    client: &mut FlightServiceClient<Channel>,
    ticket: impl tonic::IntoRequest<Ticket>,
) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
    read(client.do_get(ticket).await?).await
}

/// The schema and the batches of a stream. A stream always has a schema.
pub async fn read(response: Response<Streaming<FlightData>>) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
    let data = response.into_inner().map_err(|status| FlightError::Tonic(Box::new(status)));
    let mut stream = FlightRecordBatchStream::new_from_flight_data(data);
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            other => panic!("{other}"),
        })?);
    }
    Ok((stream.schema().unwrap().clone(), batches))
}

/// The schema that flight info promises.
pub fn promised(info: &FlightInfo) -> Schema {
    info.clone().try_decode_schema().unwrap()
}

/// A request with a key.
pub fn with_key<T>(message: T, key: &str) -> Request<T> {
    with_header(message, "authorization", &format!("Bearer {key}"))
}

pub fn with_header<T>(message: T, name: &'static str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(name, value.parse().unwrap());
    request
}

/// Our word for an error, from its details.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no details: {status:?}"));
    assert_eq!(info.domain, "lakebed");
    info.reason.clone()
}

fn query_settings(data: &TestLake, lake: Location) -> QuerySettings {
    QuerySettings {
        memory_bytes: 256 << 20,
        memory_per_query_bytes: 128 << 20,
        resident_memory_bytes: None,
        spill_dir: data.file("spill"),
        spill_bytes: 1 << 30,
        spool_dir: None,
        spool_bytes: 0,
        spool_lifetime: Duration::from_secs(600),
        result_cache_bytes: 16 << 20,
        threads: 2,
        batch_rows: 1024,
        metadata_cache_bytes: 16 << 20,
        column_cache_bytes: 16 << 20,
        price_per_tib_usd: 5.0,
        history_entries: 1000,
        lake: Some(lake),
        sql: SqlLimits::default(),
    }
}

/// `id`, `name` (`n<id>`) and `price` (null for each fifth).
pub fn trips(ids: std::ops::Range<i64>) -> RecordBatch {
    let id: Int64Array = ids.clone().collect();
    let name: StringArray = ids.clone().map(|id| Some(format!("n{id}"))).collect();
    let price: Float64Array = ids.map(|id| (id % 5 != 0).then_some(id as f64 / 2.0)).collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(id) as _),
        ("name", Arc::new(name) as _),
        ("price", Arc::new(price) as arrow::array::ArrayRef),
    ])
    .unwrap()
}
