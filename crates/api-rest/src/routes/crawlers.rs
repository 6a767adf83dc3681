//! `/v1/crawlers`: create, list, drop, start a run, read its report.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lakebed_access::{AdmitOptions, Admitted, Role, audit};
use lakebed_catalog::{Catalog, Change, CrawlReport, CrawlRequest, Crawler, Outcome, ReportEntry, RunState};
use lakebed_storage::{Location, Mode};
use lakebed_types::{DatabaseName, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::ApiResult,
    extract::{Caller, Json, OptionalJson, Path, Query},
    routes::{json_answer, json_with_status, page_rows},
};

/// Milliseconds that a start of a run waits for its end, where the client does not say; and at most.
const WAIT_MS: u64 = 10_000;
const WAIT_MS_MAX: u64 = 60_000;
/// Runs that a list has, where the client does not say.
const RUNS: usize = 20;
/// Bytes that a crawler's name may have.
const MAX_NAME_BYTES: usize = 255;

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list_crawlers))
        .routes(routes!(get_crawler, create_crawler, drop_crawler))
        .routes(routes!(list_runs, start_run))
        .routes(routes!(get_run))
}

/// A crawler: a location, and the database that its tables go into.
#[derive(Serialize, ToSchema)]
struct CrawlerAnswer {
    #[schema(example = "nightly")]
    name: String,
    #[schema(example = "s3://bucket/flights/")]
    location: String,
    #[schema(example = "default")]
    database: String,
    created: DateTime<Utc>,
}

impl From<Crawler> for CrawlerAnswer {
    fn from(crawler: Crawler) -> Self {
        Self {
            name: crawler.name,
            location: crawler.location.to_string(),
            database: crawler.database.to_string(),
            created: crawler.created,
        }
    }
}

/// All crawlers.
#[derive(Serialize, ToSchema)]
struct CrawlerList {
    crawlers: Vec<CrawlerAnswer>,
}

/// Lists the crawlers.
#[utoipa::path(
    get, path = "/v1/crawlers", tag = "crawlers", operation_id = "list_crawlers",
    responses((status = 200, description = "The crawlers, by name", body = CrawlerList))
)]
async fn list_crawlers(State(state): State<RestState>, Caller(who): Caller) -> ApiResult<Response> {
    let crawlers = state.query.catalog().seen_by(&who).crawlers().await?;
    Ok(json_answer(&CrawlerList { crawlers: crawlers.into_iter().map(CrawlerAnswer::from).collect() }))
}

/// Describes a crawler.
#[utoipa::path(
    get, path = "/v1/crawlers/{name}", tag = "crawlers", operation_id = "get_crawler",
    params(("name" = String, Path, description = "The crawler's name", example = "nightly")),
    responses((status = 200, description = "The crawler", body = CrawlerAnswer))
)]
async fn get_crawler(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    Ok(json_answer(&CrawlerAnswer::from(state.query.catalog().seen_by(&who).crawler(&name).await?)))
}

/// A crawler to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"location": "s3://bucket/flights/", "database": "default"}))]
struct CrawlerBody {
    /// Folder or file, inside the configured locations.
    location: String,
    /// The database that its tables go into; `default` if missing.
    database: Option<String>,
}

/// Creates a crawler. 409 if the name is taken.
#[utoipa::path(
    put, path = "/v1/crawlers/{name}", tag = "crawlers", operation_id = "create_crawler",
    params(("name" = String, Path, description = "The crawler's name", example = "nightly")),
    request_body = CrawlerBody,
    responses((status = 201, description = "Created", body = CrawlerAnswer))
)]
async fn create_crawler(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Json(body): Json<CrawlerBody>,
) -> ApiResult<Response> {
    who.require(Role::Write, "create a crawler")?;
    who.may_use_paths("create a crawler")?;
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
        let error = Error::invalid_request("this is not a name for a crawler");
        return Err(error.with_hint("Names have 1 to 255 bytes, without control characters.").into());
    }
    let catalog = state.query.catalog();
    let database = match body.database {
        Some(name) => DatabaseName::new(&name)?,
        None => DatabaseName::default_database(),
    };
    catalog.database(&database).await?;
    let location = Location::parse(&body.location)?;
    catalog.storage().check(&location, Mode::Read)?;
    let crawler = Crawler { name, location, database, created: state.clock.now() };
    catalog.create_crawler(&crawler).await?;
    audit::changed(&who, "create crawler", &crawler.name);
    Ok(json_with_status(StatusCode::CREATED, &CrawlerAnswer::from(crawler)))
}

/// Drops a crawler. Its tables stay.
#[utoipa::path(
    delete, path = "/v1/crawlers/{name}", tag = "crawlers", operation_id = "drop_crawler",
    params(("name" = String, Path, description = "The crawler's name", example = "nightly")),
    responses((status = 204, description = "Dropped"))
)]
async fn drop_crawler(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    who.require(Role::Write, "drop a crawler")?;
    who.may_use_paths("drop a crawler")?;
    state.query.catalog().drop_crawler(&name).await?;
    audit::changed(&who, "drop crawler", &name);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a crawl found.
#[derive(Serialize, ToSchema)]
struct RunAnswer {
    id: String,
    crawler: String,
    location: String,
    database: String,
    /// `running`, `succeeded`, `failed` or `interrupted`.
    #[schema(example = "succeeded")]
    state: &'static str,
    started: DateTime<Utc>,
    ended: Option<DateTime<Utc>>,
    /// Whether the catalog was left as it was.
    dry_run: bool,
    /// Objects listed.
    listed: u64,
    /// Files looked into.
    inspected: u64,
    /// Files that were unchanged and not looked into again.
    reused: u64,
    error: Option<String>,
    /// One for each table, skipped file or conflict. Empty in lists of runs.
    entries: Vec<EntryAnswer>,
}

/// One line of a crawl's report.
#[derive(Serialize, ToSchema)]
struct EntryAnswer {
    /// Below the location.
    path: String,
    /// `table`, `skipped` or `conflict`.
    #[schema(example = "table")]
    outcome: &'static str,
    /// The table that it became or belongs to.
    table: Option<String>,
    /// Why, in one sentence.
    reason: String,
    files: u64,
    bytes: u64,
    /// Since the last run: `new`, `changed`, `unchanged` or `gone`.
    #[schema(example = "new")]
    change: &'static str,
}

impl From<CrawlReport> for RunAnswer {
    fn from(report: CrawlReport) -> Self {
        Self {
            id: report.id,
            crawler: report.crawler,
            location: report.location.to_string(),
            database: report.database.to_string(),
            state: match report.state {
                RunState::Running => "running",
                RunState::Succeeded => "succeeded",
                RunState::Failed => "failed",
                RunState::Interrupted => "interrupted",
            },
            started: report.started,
            ended: report.ended,
            dry_run: report.dry_run,
            listed: report.listed,
            inspected: report.inspected,
            reused: report.reused,
            error: report.error,
            entries: report.entries.into_iter().map(EntryAnswer::from).collect(),
        }
    }
}

impl From<ReportEntry> for EntryAnswer {
    fn from(entry: ReportEntry) -> Self {
        Self {
            path: entry.path,
            outcome: match entry.outcome {
                Outcome::Table => "table",
                Outcome::Skipped => "skipped",
                Outcome::Conflict => "conflict",
            },
            table: entry.table,
            reason: entry.reason,
            files: entry.files,
            bytes: entry.bytes,
            change: match entry.change {
                Change::New => "new",
                Change::Changed => "changed",
                Change::Unchanged => "unchanged",
                Change::Gone => "gone",
            },
        }
    }
}

/// Runs of a crawler.
#[derive(Serialize, ToSchema)]
struct RunList {
    runs: Vec<RunAnswer>,
}

/// The query string of a list of runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RunsQuery {
    /// The newest so many; 20 if missing.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u64>,
}

/// Lists the runs of a crawler, newest first.
#[utoipa::path(
    get, path = "/v1/crawlers/{name}/runs", tag = "crawlers", operation_id = "list_runs",
    params(("name" = String, Path, description = "The crawler's name", example = "nightly"), RunsQuery),
    responses((status = 200, description = "The runs, without their entries", body = RunList))
)]
async fn list_runs(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(query): Query<RunsQuery>,
) -> ApiResult<Response> {
    let limit = page_rows(&state, query.limit, RUNS)?;
    let crawler = state.query.catalog().seen_by(&who).crawler(&name).await?;
    let runs = state.query.catalog().runs(Some(&crawler.name), limit).await?;
    Ok(json_answer(&RunList { runs: runs.into_iter().map(RunAnswer::from).collect() }))
}

/// Gives one run and its report.
#[utoipa::path(
    get, path = "/v1/crawlers/{name}/runs/{id}", tag = "crawlers", operation_id = "get_run",
    params(
        ("name" = String, Path, description = "The crawler's name", example = "nightly"),
        ("id" = String, Path, description = "The run's id"),
    ),
    responses((status = 200, description = "The run and what became of each path", body = RunAnswer))
)]
async fn get_run(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((name, id)): Path<(String, String)>,
) -> ApiResult<Response> {
    let crawler = state.query.catalog().seen_by(&who).crawler(&name).await?;
    let run = state.query.catalog().run(&id).await?;
    if run.crawler != crawler.name {
        let message = format!("crawler `{}` has no run `{}`", crawler.name.escape_debug(), id.escape_debug());
        return Err(Error::new(ErrorKind::NotFound, message).into());
    }
    Ok(json_answer(&RunAnswer::from(run)))
}

/// How to run a crawler.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RunBody {
    /// Say what would happen, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Milliseconds to wait for the end; 10,000 if missing, 60,000 at most. Dry runs always wait.
    #[schema(maximum = 60000)]
    wait_ms: Option<u64>,
}

/// A run that goes on.
#[derive(Serialize, ToSchema)]
struct RunStarted {
    crawler: String,
    /// Always `running`.
    #[schema(example = "running")]
    state: &'static str,
}

/// Starts a run.
///
/// 200 and the report where it ends within `wait_ms`, else 202: the run goes on and is the first of the list of runs.
#[utoipa::path(
    post, path = "/v1/crawlers/{name}/runs", tag = "crawlers", operation_id = "start_run",
    params(("name" = String, Path, description = "The crawler's name", example = "nightly")),
    request_body = Option<RunBody>,
    responses(
        (status = 200, description = "It ended", body = RunAnswer),
        (status = 202, description = "It goes on", body = RunStarted,
         headers(("location" = String, description = "The list of runs"))),
    )
)]
async fn start_run(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    OptionalJson(body): OptionalJson<RunBody>,
) -> ApiResult<Response> {
    who.require(Role::Write, "run a crawler")?;
    who.may_use_paths("run a crawler")?;
    let catalog = state.query.catalog().clone();
    let crawler = catalog.crawler(&name).await?;
    let options = AdmitOptions { background: true, ..AdmitOptions::default() };
    let admitted = state.query.access().admit(&who, &options).await?;
    let request = CrawlRequest {
        crawler: crawler.name,
        location: crawler.location,
        database: crawler.database,
        table: None,
        files: None,
        dry_run: body.dry_run,
    };
    if body.dry_run {
        return Ok(json_answer(&RunAnswer::from(crawl(catalog, request, admitted).await?)));
    }
    audit::changed(&who, "run crawler", &name);
    let wait = Duration::from_millis(body.wait_ms.unwrap_or(WAIT_MS).min(WAIT_MS_MAX));
    // On a task of its own: a client that goes away does not end the run.
    let mut run = tokio::spawn(crawl(catalog, request, admitted));
    match tokio::time::timeout(wait, &mut run).await {
        Ok(Ok(report)) => Ok(json_answer(&RunAnswer::from(report?))),
        Ok(Err(panic)) => Err(Error::internal("the crawl stopped unexpectedly").with_source(panic).into()),
        Err(_) => Ok(still_running(name)),
    }
}

/// Crawls within the permit's run time. The catalog keeps the run's state and report.
async fn crawl(catalog: Catalog, request: CrawlRequest, admitted: Admitted) -> Result<CrawlReport> {
    let stopped = || Error::new(ErrorKind::Cancelled, "the crawl was stopped");
    let late = |_| Error::new(ErrorKind::DeadlineExceeded, "the crawl used up its run time");
    tokio::select! {
        biased;
        () = admitted.cancellation().cancelled() => Err(stopped()),
        done = tokio::time::timeout(admitted.run_time(), catalog.crawl(&request, &|_| {})) => done.map_err(late)?,
    }
}

fn still_running(name: String) -> Response {
    let mut response = json_with_status(StatusCode::ACCEPTED, &RunStarted { crawler: name.clone(), state: "running" });
    let path = format!("/v1/crawlers/{}/runs", percent_encoded(&name));
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn percent_encoded(segment: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    segment.bytes().map(encode).collect()
}
