//! `/v1/sql`: a statement in, rows out.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lakebed_access::Principal;
use lakebed_query::PreparedQuery;
use lakebed_types::Error;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use axum::extract::State;

use crate::{
    RestState,
    error::{ApiError, ApiResult},
    execute::{run, sql_document},
    extract::{Caller, Query},
    negotiate::{Delivery, joined},
    routes::queries,
    statement::{Statement, StatementOptions},
    wire::{Column, statistics_schema},
};

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(post_sql, get_sql))
}

/// The result of a statement as one JSON document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the document is streamed")]
pub(crate) struct SqlResult {
    #[schema(format = "uuid")]
    query_id: String,
    columns: Vec<Column>,
    /// One object per row.
    data: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Rows in `data`.
    row_count: Option<u64>,
    #[schema(schema_with = statistics_schema)]
    statistics: Option<serde_json::Value>,
    /// With `page_size`: rows of the whole result.
    total_rows: Option<u64>,
    /// With `page_size`: for `GET /v1/queries/{id}/results`; null on the last page.
    next_page_token: Option<String>,
    /// A problem document, where the query failed after its first row. The rows are then not all.
    #[schema(value_type = Option<crate::wire::Problem>)]
    error: Option<serde_json::Value>,
}

/// Runs a statement and streams its rows.
///
/// The format is chosen by `?format=` or `Accept`. A failure before the first byte has its own status. One after it is
/// an `error` member at the end of JSON, a last `{"error"}` record in NDJSON, and a broken connection in the other formats.
/// A query may be answered from memory where nothing that it reads has changed, as `statistics.result_cache` says; a
/// request with `Cache-Control: no-cache` runs, and with `no-store` its answer is not kept either.
/// SQL text may also come as `application/x-www-form-urlencoded`, not encoded, as `curl -d` sends it.
#[utoipa::path(
    post, path = "/v1/sql", tag = "sql", operation_id = "run_sql",
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
        status = 200, description = "The rows",
        content(
            (SqlResult = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        ),
        headers(("x-query-id" = String, description = "The query's id"), ("server-timing" = String, description = "Queue, plan and first-row milliseconds"))
    ))
)]
async fn post_sql(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(options): Query<StatementOptions>,
    headers: HeaderMap,
    statement: Statement,
) -> ApiResult<Response> {
    let statement = statement.or(options);
    if let Some(page_size) = statement.page_size {
        return queries::first_page(&state, &who, &statement, page_size, &headers).await;
    }
    let delivery = statement.delivery(&headers)?;
    let timeout = statement.timeout()?;
    let prepared = state.query.prepare(&who, &statement.query, &statement.options(&headers)?).await?;
    let document = sql_document(prepared.id());
    run(&state, &who, prepared, timeout, delivery, document).await
}

/// The query string of `GET /v1/sql`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SqlQuery {
    /// One SQL statement that only reads.
    #[param(example = "SELECT count(*) AS n FROM flights")]
    query: String,
    /// Where unqualified tables are looked up; `default` if missing.
    database: Option<String>,
    /// Parameters as JSON text: an array for `$1` or `?`, an object for `$name`.
    parameters: Option<String>,
    /// Milliseconds of run time.
    #[param(minimum = 1)]
    timeout_ms: Option<u64>,
    /// `auto` or `string`: how JSON writes 64-bit integers and decimals.
    numbers: Option<String>,
    /// `json`, `ndjson`, `csv`, `arrow` or `parquet`; wins over `Accept`.
    format: Option<String>,
}

/// Runs a statement that only reads, cacheable.
///
/// Where the answer depends on nothing but the files, it has an `ETag` from their snapshots. With `If-None-Match` an
/// unchanged answer is 304 before the query runs.
#[utoipa::path(
    get, path = "/v1/sql", tag = "sql", operation_id = "run_sql_cacheable",
    params(SqlQuery),
    responses(
        (
            status = 200, description = "The rows",
            content(
                (SqlResult = "application/json"),
                (String = "application/x-ndjson"),
                (String = "text/csv"),
                (Vec<u8> = "application/vnd.apache.arrow.stream"),
                (Vec<u8> = "application/vnd.apache.parquet"),
            ),
            headers(("etag" = String, description = "Changes with the snapshots of the tables read"))
        ),
        (status = 304, description = "Unchanged since the answer with this `ETag`; the query did not run"),
    )
)]
async fn get_sql(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(query): Query<SqlQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let statement = query.into_statement()?;
    let delivery = statement.delivery(&headers)?;
    let timeout = statement.timeout()?;
    let prepared = state.query.prepare(&who, &statement.query, &statement.options(&headers)?).await?;
    refuse_changes(&prepared)?;
    let id = prepared.id();
    let tag = prepared.etag().map(|tag| entity_tag(&tag, &who, delivery));
    if tag.as_deref().is_some_and(|tag| is_known(&headers, tag)) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.extensions_mut().insert(id);
        return Ok(cacheable(response, tag.as_deref()));
    }
    let response = run(&state, &who, prepared, timeout, delivery, sql_document(id)).await?;
    Ok(cacheable(response, tag.as_deref()))
}

impl SqlQuery {
    fn into_statement(self) -> ApiResult<Statement> {
        let parse = |text: String| {
            serde_json::from_str(&text).map_err(|e| Error::invalid_request(format!("`parameters` is not JSON: {e}")))
        };
        Ok(Statement {
            query: self.query,
            database: self.database,
            parameters: self.parameters.map(parse).transpose()?,
            page_size: None,
            timeout_ms: self.timeout_ms,
            numbers: self.numbers,
            format: self.format,
        })
    }
}

/// Caches, prefetchers and other sites' pages may send a GET at any time.
fn refuse_changes(prepared: &PreparedQuery) -> ApiResult<()> {
    if prepared.kind().is_read_only() {
        return Ok(());
    }
    let error = Error::invalid_request("GET runs only statements that read").with_hint("Send this statement by POST.");
    Err(ApiError::of(error, prepared.id()))
}

/// A weak tag: the same rows may come in another order or coding.
fn entity_tag(tag: &str, who: &Principal, delivery: Delivery) -> String {
    use sha2::Digest;
    let mut digest = sha2::Sha256::new();
    for part in [tag, who.name(), delivery.format.name(), &format!("{:?}", delivery.numbers)] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    format!("W/\"{}\"", hex::encode(&digest.finalize()[..16]))
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    joined(headers, header::IF_NONE_MATCH)
        .is_some_and(|known| known.split(',').any(|one| one.trim() == "*" || opaque(one) == opaque(tag)))
}

fn cacheable(mut response: Response, tag: Option<&str>) -> Response {
    let headers = response.headers_mut();
    let policy = if tag.is_some() { "private, no-cache" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(policy));
    if let Some(value) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
        headers.insert(header::ETAG, value);
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, authorization"));
    }
    response
}
