//! `lakebed serve`: crawls locations into the catalog and serves it.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use lakebed_access::{Access, DEFAULT_WORKGROUP, Grants, NewKey, Principal, Role};
use lakebed_api_flight::{FlightSettings, FlightState};
use lakebed_api_rest::{RestSettings, RestState};
use lakebed_ingest::IngestService;
use lakebed_query::QueryService;
use lakebed_storage::Location;
use lakebed_types::{DatabaseName, Error, Result, SystemClock, format_count};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    assembly::{Lake, LakeOptions},
    duties::{self, Duties, metrics_recorder},
    http::{Api, HttpServer, Tls},
    logging::Logging,
    reload::{self, Live},
    rows::{self, RowsLog},
    served::{self, Served},
    settings::{LogSettings, OidcSettings, RowsLimits, ServerSettings, Sources},
    token_secret::token_secret,
    traces,
};

/// Crawls the locations into database `default` and serves them over HTTP and Arrow Flight
#[derive(Debug, Args, Default)]
pub(super) struct ServeArgs {
    /// Folders, files or buckets, such as data/ or s3://bucket/prefix/; NAME=LOCATION makes one table of it, and of
    /// NAME='data/*.parquet' all files that match
    #[arg(value_name = "[NAME=]LOCATION")]
    pub(super) locations: Vec<String>,
    /// Address of the HTTP API [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) http: Option<String>,
    /// Address of Arrow Flight SQL, or off [default: 127.0.0.1:8815]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) flight: Option<String>,
    /// Folder of the catalog, spill files and kept results [default: lakebed-data]
    #[arg(long, value_name = "FOLDER")]
    pub(super) data_dir: Option<String>,
    /// Where managed tables and CTAS results are written [default: DATA_DIR/lake]
    #[arg(long, value_name = "LOCATION")]
    pub(super) lake: Option<String>,
    /// A location that COPY … TO may write (repeatable)
    #[arg(long, value_name = "LOCATION")]
    pub(super) allow_write: Vec<String>,
    /// Path of /query-parquet, such as s3://bucket/state={statename}/{statename}.parquet
    #[arg(long, value_name = "TEMPLATE")]
    pub(super) parquet_pages: Option<String>,
    /// Serve without keys on an address that is not loopback; otherwise the first start there prints an administrator's key
    #[arg(long)]
    pub(super) insecure: bool,
    /// Callers may only read
    #[arg(long)]
    pub(super) read_only: bool,
}

/// The name of the key that a server makes for itself.
const FIRST_KEY: &str = "admin";

/// Time for the last bytes of answers to leave, after the queries have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

pub(super) async fn run(args: ServeArgs, sources: Sources, logging: Logging) -> Result<()> {
    serve(args, sources, logging, |_, _| {}).await
}

/// Serves until a signal; `started` is called once with the URLs of HTTP and of Flight, when the tables are there.
pub(super) async fn serve(
    args: ServeArgs,
    mut sources: Sources,
    logging: Logging,
    started: impl FnOnce(&str, Option<&str>),
) -> Result<()> {
    set_flags(&mut sources, &args)?;
    let server = ServerSettings::read(&sources.values)?;
    let tables = tables_to_serve(&args, &sources)?;
    let parts = Parts::open(&args, &sources, &tables, &server).await?;
    let listeners = Listeners::bind(&server, parts.tls.as_ref()).await?;
    let (url, flight_url) = (listeners.http.url(), listeners.flight.as_ref().map(HttpServer::url));
    let query = parts.lake.query.clone();
    trust(&query, &sources)?;
    close_to_strangers(&server, query.access()).await?;
    let (traced, stop) = (logging.traces(), CancellationToken::new());
    let reloads = tokio::spawn(Live { sources, tls: parts.tls.clone(), query, logging }.watch());
    let serving = listeners.serve(parts.rest.clone(), &parts.flight, traced, &stop)?;
    let signal = crate::http::shutdown_signal();
    tokio::pin!(signal);
    tokio::select! {
        done = parts.get_ready(&tables) => done?,
        () = &mut signal => return Ok(()),
    }
    tracing::info!(url, flight = flight_url, "serving");
    let duties = parts.look_after();
    started(&url, flight_url.as_deref());
    signal.await;
    reloads.abort();
    parts.end(duties, server.shutdown_grace).await;
    stop.cancel();
    if tokio::time::timeout(LAST_ANSWERS, serving).await.is_err() {
        tracing::warn!("connections were still open at the end");
    }
    tracing::info!("stopped");
    Ok(())
}

/// A server without its addresses.
struct Parts {
    lake: Lake,
    ingest: IngestService,
    tls: Option<Arc<Tls>>,
    prometheus: PrometheusHandle,
    ready: Arc<AtomicBool>,
    rest: RestState,
    flight: FlightState,
}

/// What goes on until the end.
struct InBackground {
    duties: JoinHandle<()>,
    memory: JoinHandle<()>,
    rows: JoinHandle<()>,
}

impl Parts {
    async fn open(args: &ServeArgs, sources: &Sources, tables: &[Served], server: &ServerSettings) -> Result<Self> {
        let tls = server.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        // First: what follows empties folders that a running server uses.
        let log = RowsLog::take(sources).await?;
        let lake = open_lake(args, sources, tables, server).await?;
        let ready = Arc::new(AtomicBool::new(false));
        let prometheus = metrics_recorder()?;
        let page = prometheus.clone();
        lake.query.set_metrics(move || page.render());
        let ingest = log.open(&lake).await?;
        let secret = token_secret(server.token_secret.as_deref(), &lake.data_dir)?;
        let idle_client = lake.query.access().limits().idle_client;
        let settings = rest_settings(server, RowsLimits::read(&sources.values)?, idle_client, secret);
        let rest = RestState::new(lake.query.clone(), ingest.clone(), settings, ready.clone());
        let flight = flight_state(server, &lake.query, secret, &ready)?;
        Ok(Self { lake, ingest, tls, prometheus, ready, rest, flight })
    }

    /// Crawls, and waits for the rows of the last run.
    async fn get_ready(&self, tables: &[Served]) -> Result<()> {
        crawl_all(&self.lake, tables).await?;
        rows::log_is_read(&self.ingest).await;
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    fn look_after(&self) -> InBackground {
        let query = self.lake.query.clone();
        let (flight, tls, prometheus) = (self.flight.clone(), self.tls.clone(), self.prometheus.clone());
        InBackground {
            duties: tokio::spawn(Duties { query: query.clone(), flight, tls, prometheus }.run()),
            memory: tokio::spawn(duties::watch_memory(query)),
            rows: tokio::spawn(duties::look_after_rows(self.ingest.clone(), self.rest.stop.clone())),
        }
    }

    /// Lets nothing more begin, and what has begun come to its end.
    async fn end(&self, background: InBackground, grace: Duration) {
        self.ready.store(false, Ordering::Release);
        tracing::info!(?grace, "draining");
        background.duties.abort();
        self.rest.stop.cancel();
        let query = &self.lake.query;
        tokio::join!(rows::end(&self.ingest, background.rows, grace), query.access().drain(grace));
        query.written_down(LAST_ANSWERS).await;
        background.memory.abort();
        duties::save_usage(query).await;
    }
}

/// The addresses that are listened at.
struct Listeners {
    http: HttpServer,
    flight: Option<HttpServer>,
}

impl Listeners {
    async fn bind(server: &ServerSettings, tls: Option<&Arc<Tls>>) -> Result<Self> {
        let http = HttpServer::bind(server.http, Api::Http, server, tls.cloned()).await?;
        let flight = match server.flight {
            Some(address) => Some(HttpServer::bind(address, Api::Flight, server, tls.cloned()).await?),
            None => None,
        };
        Ok(Self { http, flight })
    }

    /// Answers until `stop`.
    fn serve(
        self,
        rest: RestState,
        flight: &FlightState,
        traced: bool,
        stop: &CancellationToken,
    ) -> Result<JoinHandle<()>> {
        let traceable = |router: axum::Router| match traced {
            true => router.layer(axum::middleware::from_fn(traces::traced)),
            false => router,
        };
        let http = self.http.serve(traceable(lakebed_api_rest::router(rest)), stop.clone());
        let Some(listener) = self.flight else { return Ok(tokio::spawn(http)) };
        let flight = listener.serve(traceable(lakebed_api_flight::router(flight.clone())?), stop.clone());
        Ok(tokio::spawn(async {
            tokio::join!(http, flight);
        }))
    }
}

fn set_flags(sources: &mut Sources, args: &ServeArgs) -> Result<()> {
    let insecure = args.insecure.then(|| "true".to_owned());
    let writable = (!args.allow_write.is_empty()).then(|| args.allow_write.join(","));
    super::set_flags(
        sources,
        &[
            ("--http", "server.http", args.http.clone()),
            ("--flight", "server.flight", args.flight.clone()),
            ("--data-dir", "data.dir", args.data_dir.clone()),
            ("--lake", "data.lake", args.lake.clone()),
            ("--allow-write", "data.writable", writable),
            ("--parquet-pages", "server.parquet_pages", args.parquet_pages.clone()),
            ("--insecure", "server.insecure", insecure),
        ],
    )
}

/// Whose tokens are believed, and what is logged of queries.
fn trust(query: &QueryService, sources: &Sources) -> Result<()> {
    if let Some(settings) = OidcSettings::read(&sources.values)? {
        reload::believe(query.access(), Some(&settings))?;
    }
    query.set_slow_query(LogSettings::read(&sources.values, false)?.slow_query);
    Ok(())
}

/// Sees to it that an address which others can reach wants a key or a token. Where there is neither yet, an administrator's
/// key is made and shown on stdout, which holds nothing else.
async fn close_to_strangers(server: &ServerSettings, access: &Access) -> Result<()> {
    let mut addresses = std::iter::once(server.http).chain(server.flight);
    let Some(address) = addresses.find(|address| !address.ip().is_loopback()) else { return Ok(()) };
    let keys = access.keys();
    if server.tls.is_none() && (access.wants_credentials() || !server.insecure) {
        tracing::warn!(%address, "keys and results cross the network in the clear: set server.tls_cert, or put a proxy with TLS in front");
    }
    if access.wants_credentials() {
        return Ok(());
    }
    if server.insecure {
        tracing::warn!(%address, "INSECURE: everyone who reaches this address may query every table");
        return Ok(());
    }
    let first = NewKey {
        name: FIRST_KEY.to_owned(),
        role: Role::Admin,
        grants: Grants::everything(),
        workgroup: DEFAULT_WORKGROUP.to_owned(),
        expires: None,
    };
    let (key, text) = keys.create(&Principal::local(), first).await?;
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| Error::internal("stdout cannot be written").with_source(error))?;
    tracing::warn!(
        id = key.id,
        name = key.name,
        "this server had no keys: the first, an administrator's, is on stdout and shown only now"
    );
    Ok(())
}

fn tables_to_serve(args: &ServeArgs, sources: &Sources) -> Result<Vec<Served>> {
    let from_file = sources.tables.iter().map(|(name, location)| Served::named(name, location));
    let tables = args.locations.iter().map(|text| Served::parse(text)).chain(from_file).collect::<Result<Vec<_>>>()?;
    served::check_names(&tables)?;
    if let Some((named, count)) = served::strays(&tables) {
        let table = named.table.as_deref().unwrap_or_default();
        tracing::warn!(table, file = %named.location, "the {count} files after it become tables of their own: quote a pattern, as in '{table}=folder/*.parquet', to make one table of all");
    }
    Ok(tables)
}

async fn open_lake(args: &ServeArgs, sources: &Sources, tables: &[Served], server: &ServerSettings) -> Result<Lake> {
    let mut readable: Vec<Location> = tables.iter().map(|served| served.location.clone()).collect();
    if let Some(template) = &server.parquet_pages {
        readable.push(Location::parse(fixed_part(template))?);
    }
    let everyone = if args.read_only { Role::Read } else { Role::Admin };
    Lake::open(sources, LakeOptions { readable, everyone: Some(everyone), ..LakeOptions::default() }).await
}

/// The folder before a template's first placeholder.
fn fixed_part(template: &str) -> &str {
    let fixed = template.split('{').next().unwrap_or(template);
    &fixed[..fixed.rfind('/').map_or(0, |slash| slash + 1)]
}

async fn crawl_all(lake: &Lake, tables: &[Served]) -> Result<()> {
    let database = DatabaseName::default_database();
    let catalog = lake.query.catalog();
    let mut reports = Vec::with_capacity(tables.len());
    for served in tables {
        let report = served.crawl(catalog, &database, false).await?;
        for entry in report.entries.iter().filter(|entry| entry.outcome != lakebed_catalog::Outcome::Table) {
            tracing::warn!(path = entry.path, reason = entry.reason, "left out");
        }
        let found = report.entries.iter().filter(|entry| entry.outcome == lakebed_catalog::Outcome::Table).count();
        match &served.files {
            Some(files) if found == 0 => tracing::warn!(location = %served.location, files, "no file matches"),
            _ => {
                tracing::info!(location = %served.location, tables = found, files = format_count(report.listed), "crawled")
            }
        }
        reports.push(report);
    }
    served::name_single_file(catalog, tables, &reports).await
}

fn flight_state(
    server: &ServerSettings,
    query: &QueryService,
    token_secret: [u8; 32],
    ready: &Arc<AtomicBool>,
) -> Result<FlightState> {
    let settings = FlightSettings {
        message_bytes: server.flight_message_bytes,
        idle_client: query.access().limits().idle_client,
        ..FlightSettings::new(token_secret)
    };
    FlightState::new(query.clone(), settings, ready.clone(), Arc::new(SystemClock))
}

fn rest_settings(
    server: &ServerSettings,
    rows: RowsLimits,
    idle_client: Duration,
    token_secret: [u8; 32],
) -> RestSettings {
    RestSettings {
        parquet_pages: server.parquet_pages.clone(),
        body_limit_bytes: server.body_limit_bytes,
        rows_limit_bytes: rows.body_bytes,
        tails: rows.tails,
        idle_client,
        open_metrics: server.open_metrics,
        token_secret,
        ..RestSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_allows_its_fixed_folder() {
        assert_eq!(fixed_part("s3://b/state={s}/x.parquet"), "s3://b/");
        assert_eq!(fixed_part("data/p/{s}.parquet"), "data/p/");
    }
}
