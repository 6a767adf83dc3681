//! `/v1/queries`: run without waiting, look, cancel, fetch results page by page.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use lakebed_access::Principal;
use lakebed_formats::Format;
use lakebed_query::{QueryRecord, QueryService};
use lakebed_types::{Error, ErrorKind, QueryId, QueryState, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::{ApiError, ApiResult},
    execute::with_id,
    extract::{Caller, Path, Query},
    negotiate::Delivery,
    routes::{json_answer, json_with_status, page_rows},
    statement::{Statement, StatementOptions},
    stream::{self, Document, Source, no_trailer},
    token::PageToken,
    wire::{Column, QueryExecution},
};

/// Rows of a page of results, where the client does not say.
const RESULT_ROWS: usize = 1000;
/// Executions on a page of the history, where the client does not say.
const HISTORY_ROWS: usize = 100;
/// How often a query that someone waits for is looked at, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(submit_query, list_queries))
        .routes(routes!(get_query, cancel_query))
        .routes(routes!(get_results))
}

/// Starts a query and does not wait for it.
///
/// The result is kept for a while and fetched from `/v1/queries/{id}/results`.
#[utoipa::path(
    post, path = "/v1/queries", tag = "queries", operation_id = "submit_query",
    params(StatementOptions),
    request_body(
        description = "SQL text, or a JSON object around it",
        content(
            (String = "text/plain", example = "SELECT count(*) AS n FROM flights"),
            (String = "application/sql", example = "SELECT count(*) AS n FROM flights"),
            (Statement = "application/json"),
        )
    ),
    responses((
        status = 202, description = "It is queued", body = QueryExecution,
        headers(("location" = String, description = "Where its state is told"))
    ))
)]
async fn submit_query(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(options): Query<StatementOptions>,
    headers: HeaderMap,
    statement: Statement,
) -> ApiResult<Response> {
    let statement = statement.or(options);
    let id = submit(&state.query, &who, &statement, &headers).await?;
    let record = state.query.record(&who, id).map_err(|error| ApiError::of(error, id))?;
    let mut response = json_with_status(StatusCode::ACCEPTED, &QueryExecution::from(record));
    response.extensions_mut().insert(id);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/queries/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn submit(
    query: &QueryService,
    who: &Principal,
    statement: &Statement,
    headers: &HeaderMap,
) -> ApiResult<QueryId> {
    Ok(query.submit(who, &statement.query, &statement.options(headers)?, statement.timeout()?).await?)
}

/// The query string of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// Executions on a page; 100 if missing.
    #[param(minimum = 1, maximum = 10000)]
    page_size: Option<u64>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// A page of the history.
#[derive(Serialize, ToSchema)]
struct History {
    queries: Vec<QueryExecution>,
    /// Null on the last page.
    next_page_token: Option<String>,
}

/// Lists the queries that this caller may see, newest first. The history is bounded.
#[utoipa::path(
    get, path = "/v1/queries", tag = "queries", operation_id = "list_queries",
    params(HistoryQuery), responses((status = 200, description = "A page of the history", body = History))
)]
async fn list_queries(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Response> {
    let rows = page_rows(&state, query.page_size, HISTORY_ROWS)?;
    let secret = &state.settings.token_secret;
    let open = |text: String| PageToken::open(&text, secret, "queries", "", who.name())?.position.parse::<QueryId>();
    let before = query.page_token.map(open).transpose()?;

    let mut records = state.query.history(&who, rows + 1, before);
    let more = records.len() > rows;
    records.truncate(rows);
    let last = records.last().filter(|_| more).map(|record| record.id.to_string());
    let next_page_token = last.map(|position| token("queries", "", position, &who).sign(secret)).transpose()?;
    Ok(json_answer(&History { queries: records.into_iter().map(QueryExecution::from).collect(), next_page_token }))
}

fn token(scope: &str, subject: &str, position: String, who: &Principal) -> PageToken {
    PageToken {
        scope: scope.to_owned(),
        subject: subject.to_owned(),
        snapshot: None,
        position,
        principal: who.name().to_owned(),
    }
}

/// Tells a query's state and statistics.
#[utoipa::path(
    get, path = "/v1/queries/{id}", tag = "queries", operation_id = "get_query",
    params(("id" = String, Path, description = "The query's id", format = "uuid")),
    responses((status = 200, description = "The execution", body = QueryExecution))
)]
async fn get_query(State(state): State<RestState>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Response> {
    let record = state.query.record(&who, read_id(&id)?)?;
    Ok(json_answer(&QueryExecution::from(record)))
}

/// Cancels a query, queued or running. One that has ended stays as it is.
#[utoipa::path(
    delete, path = "/v1/queries/{id}", tag = "queries", operation_id = "cancel_query",
    params(("id" = String, Path, description = "The query's id", format = "uuid")),
    responses((status = 200, description = "The execution, as it is now", body = QueryExecution))
)]
async fn cancel_query(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let record = state.query.cancel(&who, read_id(&id)?)?;
    Ok(json_answer(&QueryExecution::from(record)))
}

fn read_id(text: &str) -> Result<QueryId> {
    text.parse()
}

/// The query string of results.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ResultsQuery {
    /// Rows on a page of JSON; 1000 if missing.
    #[param(minimum = 1, maximum = 10000)]
    page_size: Option<u64>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// `json` comes in pages; `ndjson`, `csv`, `arrow` and `parquet` stream the whole result. Wins over `Accept`.
    format: Option<String>,
    /// `auto` or `string`: how JSON writes 64-bit integers and decimals.
    numbers: Option<String>,
    /// True: the whole result as a file in any format, JSON too, for a browser to save.
    download: Option<bool>,
}

/// A page of a result.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the document is written by the encoder")]
struct ResultsPage {
    #[schema(format = "uuid")]
    query_id: String,
    columns: Vec<Column>,
    /// One object per row.
    data: Vec<Map<String, Value>>,
    /// Rows in `data`.
    row_count: u64,
    /// Rows of the whole result.
    total_rows: u64,
    /// Null on the last page.
    next_page_token: Option<String>,
}

/// Gives a result: JSON page by page, every other format as a whole, as a file with a name; with `download` JSON too.
///
/// 409 while the query runs, 410 once the result's lifetime is over, the query's own error where it failed.
#[utoipa::path(
    get, path = "/v1/queries/{id}/results", tag = "queries", operation_id = "get_results",
    params(("id" = String, Path, description = "The query's id", format = "uuid"), ResultsQuery),
    responses((
        status = 200, description = "Rows",
        content(
            (ResultsPage = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        ),
        headers(("content-disposition" = String, description = "The name of the file, where it is a whole result"))
    ))
)]
async fn get_results(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(query): Query<ResultsQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let id = read_id(&id)?;
    let delivery = Delivery::negotiate(&headers, query.format.as_deref(), query.numbers.as_deref())?;
    let rows = page_rows(&state, query.page_size, RESULT_ROWS)?;
    let secret = &state.settings.token_secret;
    let open = |text: String| PageToken::open(&text, secret, "results", &id.to_string(), who.name())?.offset();
    let offset = query.page_token.map(open).transpose()?;
    let whole = delivery.format != Format::Json || query.download.unwrap_or(false);
    match (whole, offset) {
        (false, offset) => results_page(&state, &who, id, offset.unwrap_or(0), rows, delivery).await,
        (true, None) => whole_result(&state, &who, id, delivery).await,
        (true, Some(_)) => Err(Error::invalid_request("only JSON results come in pages, and no download does")
            .with_hint("Leave `page_token` out to stream the whole result.")
            .into()),
    }
}

async fn results_page(
    state: &RestState,
    who: &Principal,
    id: QueryId,
    offset: u64,
    rows: usize,
    delivery: Delivery,
) -> ApiResult<Response> {
    let page = state.query.results(who, id, offset, rows).await.map_err(|error| ApiError::of(error, id))?;
    let count: u64 = page.batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let end = page.offset + count;
    let next = (end < page.total_rows).then(|| token("results", &id.to_string(), end.to_string(), who));
    let next = next.map(|token| token.sign(&state.settings.token_secret)).transpose()?;
    let mut trailer = Map::new();
    trailer.insert("row_count".into(), json!(count));
    trailer.insert("total_rows".into(), json!(page.total_rows));
    trailer.insert("next_page_token".into(), json!(next));
    if offset == 0 {
        let record = state.query.record(who, id).map_err(|error| ApiError::of(error, id))?;
        trailer.insert("statistics".into(), json!(record.statistics));
    }
    let document = Document {
        preamble: with_id(id),
        rows_member: None,
        columns: true,
        row_limit: None,
        trailer: Box::new(|_| trailer),
    };
    stream::page(id, (page.schema, page.batches), delivery, document).await
}

async fn whole_result(state: &RestState, who: &Principal, id: QueryId, delivery: Delivery) -> ApiResult<Response> {
    let (schema, batches) = state.query.result_stream(who, id).await.map_err(|error| ApiError::of(error, id))?;
    let document =
        Document { preamble: with_id(id), rows_member: None, columns: true, row_limit: None, trailer: no_trailer() };
    let source = Source { id, schema, batches, stats: None };
    let mut response = stream::respond(source, delivery, document, state.settings.idle_client).await?;
    let file = format!("attachment; filename=\"query-{id}.{}\"", delivery.format.file_extension());
    if let Ok(value) = HeaderValue::try_from(file) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// `POST /v1/sql` with `page_size`: runs the query into the spool, waits for it, and gives its first page.
pub(crate) async fn first_page(
    state: &RestState,
    who: &Principal,
    statement: &Statement,
    page_size: u64,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let delivery = statement.delivery(headers)?;
    let rows = page_rows(state, Some(page_size), RESULT_ROWS)?;
    if delivery.format != Format::Json {
        let error = Error::invalid_request("only JSON results come in pages");
        return Err(error.with_hint("Leave `page_size` out to stream the whole result in this format.").into());
    }
    let timeout = statement.timeout()?.unwrap_or(Duration::MAX).min(state.query.access().limits_of(who).run_time);
    let options = statement.options(headers)?;
    let id = state.query.submit(who, &statement.query, &options, Some(timeout)).await?;
    let mut waiting = Waiting { query: &state.query, who, id, over: false };
    waiting.wait().await.map_err(|error| ApiError::of(error, id))?;
    results_page(state, who, id, 0, rows, delivery).await
}

/// Someone waits for a background query. If they go away before it ends, it is cancelled.
struct Waiting<'a> {
    query: &'a QueryService,
    who: &'a Principal,
    id: QueryId,
    over: bool,
}

impl Waiting<'_> {
    async fn wait(&mut self) -> Result<QueryRecord> {
        let mut pause = FIRST_LOOK;
        loop {
            let record = self.query.record(self.who, self.id)?;
            if !matches!(record.state, QueryState::Queued | QueryState::Running) {
                self.over = true;
                return Ok(record);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_WAIT);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        match self.query.cancel(self.who, self.id) {
            Ok(_) => tracing::info!(query_id = %self.id, "the client went away"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(query_id = %self.id, error = ?error, "cancelling a query failed"),
        }
    }
}
