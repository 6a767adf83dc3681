//! `lakebed serve`: crawls locations into the catalog and serves it.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use lakebed_access::{DEFAULT_WORKGROUP, Grants, Keys, NewKey, Principal, Role};
use lakebed_api_rest::{RestSettings, RestState};
use lakebed_catalog::CrawlRequest;
use lakebed_query::QueryService;
use lakebed_storage::Location;
use lakebed_types::{DatabaseName, Error, Result, format_count};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    assembly::{Lake, LakeOptions},
    http_server::HttpServer,
    progress,
    settings::{ServerSettings, Sources},
};

/// Crawls the locations into database `default` and serves them over HTTP
#[derive(Debug, Args, Default)]
pub(super) struct ServeArgs {
    /// Folders, files or buckets, such as data/ or s3://bucket/prefix/; NAME=LOCATION makes one table of it
    #[arg(value_name = "[NAME=]LOCATION")]
    pub(super) locations: Vec<String>,
    /// Address of the HTTP API [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) http: Option<String>,
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

/// How often background duties run: due freshness looks, ends of kept results.
const DUTY_PERIOD: std::time::Duration = std::time::Duration::from_secs(1);

/// After how many rounds of duties it is noted what workgroups have scanned: what a crash may forget.
const USAGE_TURNS: u64 = 3;

/// How often the process's memory is looked at.
const WATCH_PERIOD: std::time::Duration = std::time::Duration::from_millis(200);

/// The name of the key that a server makes for itself.
const FIRST_KEY: &str = "admin";

/// Time for the last bytes of answers to leave, after the queries have ended.
const LAST_ANSWERS: std::time::Duration = std::time::Duration::from_secs(2);

pub(super) async fn run(args: ServeArgs, sources: Sources) -> Result<()> {
    serve(args, sources, |_| {}).await
}

/// Serves until a signal; `started` is called once with the address, when the tables are there.
pub(super) async fn serve(
    args: ServeArgs,
    mut sources: Sources,
    started: impl FnOnce(std::net::SocketAddr),
) -> Result<()> {
    set_flags(&mut sources, &args)?;
    let server = ServerSettings::read(&sources.values)?;
    let tables = tables_to_serve(&args, &sources)?;
    let lake = open_lake(&args, &sources, &tables, &server).await?;
    let ready = Arc::new(AtomicBool::new(false));
    let idle_client = lake.query.access().limits().idle_client;
    let state =
        RestState::new(lake.query.clone(), rest_settings(&server, idle_client), ready.clone(), metrics_recorder()?);
    let http = HttpServer::bind(&server).await?;
    let address = http.address();
    close_to_strangers(&server, lake.query.access().keys()).await?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(http.serve(lakebed_api_rest::router(state), stop.clone()));
    let signal = crate::http_server::shutdown_signal();
    tokio::pin!(signal);
    tokio::select! {
        crawled = crawl_all(&lake, &tables) => crawled?,
        () = &mut signal => return Ok(()),
    }
    ready.store(true, Ordering::Release);
    tracing::info!(%address, "serving");
    let duties = tokio::spawn(duties(lake.query.clone()));
    let watch = tokio::spawn(watch_memory(lake.query.clone()));
    started(address);
    signal.await;
    ready.store(false, Ordering::Release);
    tracing::info!(grace = ?server.shutdown_grace, "draining");
    duties.abort();
    lake.query.access().drain(server.shutdown_grace).await;
    watch.abort();
    save_usage(&lake.query).await;
    stop.cancel();
    if tokio::time::timeout(LAST_ANSWERS, serving).await.is_err() {
        tracing::warn!("connections were still open at the end");
    }
    tracing::info!("stopped");
    Ok(())
}

fn set_flags(sources: &mut Sources, args: &ServeArgs) -> Result<()> {
    let insecure = args.insecure.then(|| "true".to_owned());
    let writable = (!args.allow_write.is_empty()).then(|| args.allow_write.join(","));
    super::set_flags(
        sources,
        &[
            ("--http", "server.http", args.http.clone()),
            ("--data-dir", "data.dir", args.data_dir.clone()),
            ("--lake", "data.lake", args.lake.clone()),
            ("--allow-write", "data.writable", writable),
            ("--parquet-pages", "server.parquet_pages", args.parquet_pages.clone()),
            ("--insecure", "server.insecure", insecure),
        ],
    )
}

/// Sees to it that an address which others can reach wants a key. Where there is none yet, an administrator's is made and
/// shown on stdout, which holds nothing else.
async fn close_to_strangers(server: &ServerSettings, keys: &Keys) -> Result<()> {
    if server.http.ip().is_loopback() || keys.are_required() {
        return Ok(());
    }
    if server.insecure {
        tracing::warn!(address = %server.http, "INSECURE: everyone who reaches this address may query every table");
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

/// A location to serve, and the one table that it shall be.
struct Served {
    table: Option<String>,
    location: Location,
}

fn tables_to_serve(args: &ServeArgs, sources: &Sources) -> Result<Vec<Served>> {
    let from_file = sources.tables.iter().map(|(name, location)| (Some(name.clone()), location.clone()));
    let from_line = args.locations.iter().map(|text| split_name(text));
    from_line
        .chain(from_file)
        .map(|(table, location)| Ok(Served { table, location: Location::parse(&location)? }))
        .collect()
}

/// Splits `NAME=LOCATION`. A `=` after a slash belongs to the location, as in `s3://b/year=2024/`.
pub(super) fn split_name(text: &str) -> (Option<String>, String) {
    match text.split_once('=') {
        Some((name, location)) if !name.is_empty() && !name.contains(['/', ':', '\\']) => {
            (Some(name.to_owned()), location.to_owned())
        }
        _ => (None, text.to_owned()),
    }
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
    for served in tables {
        let request = CrawlRequest {
            crawler: super::crawl::crawler_name(&served.location, &database),
            location: served.location.clone(),
            database: database.clone(),
            table: served.table.clone(),
            dry_run: false,
        };
        let bar = progress::crawl_bar(&served.location.to_string());
        let report = catalog.crawl(&request, &|at| progress::show_crawl(&bar, at)).await;
        bar.finish_and_clear();
        let report = report?;
        for entry in report.entries.iter().filter(|entry| entry.outcome != lakebed_catalog::Outcome::Table) {
            tracing::warn!(path = entry.path, reason = entry.reason, "left out");
        }
        let found = report.entries.iter().filter(|entry| entry.outcome == lakebed_catalog::Outcome::Table);
        tracing::info!(location = %served.location, tables = found.count(), files = format_count(report.listed), "crawled");
    }
    Ok(())
}

fn rest_settings(server: &ServerSettings, idle_client: std::time::Duration) -> RestSettings {
    // The default's secret lasts as long as this process.
    let random = RestSettings::default();
    RestSettings {
        parquet_pages: server.parquet_pages.clone(),
        body_limit_bytes: server.body_limit_bytes,
        idle_client,
        open_metrics: server.open_metrics,
        token_secret: server.token_secret.as_ref().map_or(random.token_secret, |text| Sha256::digest(text).into()),
        ..random
    }
}

fn metrics_recorder() -> Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| Error::internal("the metrics recorder does not start").with_source(error))
}

/// On a task of its own, so that nothing slow holds it up.
async fn watch_memory(query: QueryService) {
    let mut period = tokio::time::interval(WATCH_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        if let Some(resident_bytes) = resident_memory_bytes() {
            query.watch_memory(resident_bytes);
        }
    }
}

/// What this process has of the machine's memory, where the system tells it.
fn resident_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

async fn save_usage(query: &QueryService) {
    if let Err(error) = query.access().workgroups().save_usage().await {
        tracing::warn!(?error, "noting what workgroups have scanned failed");
    }
}

async fn duties(query: QueryService) {
    let mut period = tokio::time::interval(DUTY_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for turn in 0_u64.. {
        period.tick().await;
        query.sweep();
        if turn.is_multiple_of(USAGE_TURNS) {
            save_usage(&query).await;
        }
        if let Err(error) = query.access().keys().note_uses().await {
            tracing::warn!(?error, "noting the last uses of keys failed");
        }
        if let Err(error) = query.catalog().refresh_due().await {
            tracing::warn!(?error, "looking for new files failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_before_the_first_equals_sign() {
        assert_eq!(split_name("sales=s3://b/year=2024/"), (Some("sales".into()), "s3://b/year=2024/".into()));
        assert_eq!(split_name("s3://b/year=2024/"), (None, "s3://b/year=2024/".into()));
        assert_eq!(split_name("data/"), (None, "data/".into()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory() {
        let bytes = resident_memory_bytes().unwrap();
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_template_allows_its_fixed_folder() {
        assert_eq!(fixed_part("s3://b/state={s}/x.parquet"), "s3://b/");
        assert_eq!(fixed_part("data/p/{s}.parquet"), "data/p/");
    }
}
