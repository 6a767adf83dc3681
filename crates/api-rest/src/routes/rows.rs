//! `/v1/databases/{database}/tables/{table}/rows`: rows without SQL.

use axum::{extract::State, http::HeaderMap, response::Response};
use lakebed_query::{Parameters, PreparedQuery, QueryOptions, RowsRequest};
use lakebed_types::{Error, ErrorKind, Result, TableName};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::{ApiError, ApiResult},
    execute::{put_statistics, run, with_id},
    extract::{Caller, Path, Query, table_name},
    negotiate::{Delivery, cache_policy},
    routes::page_rows,
    statement::SOURCE,
    stream::{Document, Ended},
    token::PageToken,
    wire::{Column, statistics_schema},
};

/// Rows of a page, where the client does not say.
const ROWS: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(get_rows))
}

/// The query string of rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RowsQuery {
    /// Column names, comma-separated; all if missing.
    #[param(example = "carrier,flight,dep_delay")]
    columns: Option<String>,
    /// A boolean SQL expression over the columns.
    #[param(example = "dep_delay > 60 AND origin = 'JFK'")]
    filter: Option<String>,
    /// Column names, comma-separated; a minus before a name sorts it downwards.
    #[param(example = "-dep_delay,carrier")]
    sort: Option<String>,
    /// Rows of a page; 100 if missing.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u64>,
    /// `next_page_token` of the page before; `columns`, `filter` and `sort` must be the same.
    page_token: Option<String>,
    /// `json`, `ndjson`, `csv`, `arrow` or `parquet`; wins over `Accept`. Only JSON has page tokens.
    format: Option<String>,
    /// `auto` or `string`: how JSON writes 64-bit integers and decimals.
    numbers: Option<String>,
}

/// A page of rows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the document is streamed")]
struct RowsPage {
    #[schema(format = "uuid")]
    query_id: String,
    /// The version of the table's files that the page was read from.
    snapshot: Option<String>,
    columns: Vec<Column>,
    /// One object per row.
    data: Vec<Map<String, Value>>,
    /// Rows in `data`.
    row_count: Option<u64>,
    /// Null on the last page.
    next_page_token: Option<String>,
    #[schema(schema_with = statistics_schema)]
    statistics: Option<Value>,
}

/// Reads rows of a table without SQL: chosen columns, filtered, sorted, page by page.
///
/// All pages come from one version of the table's files. When the files change between two pages, the token has
/// expired (410) and paging begins anew.
#[utoipa::path(
    get, path = "/v1/databases/{database}/tables/{table}/rows", tag = "rows", operation_id = "get_rows",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "flights"),
        RowsQuery,
    ),
    responses((
        status = 200, description = "A page of rows",
        content(
            (RowsPage = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )
    ))
)]
async fn get_rows(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
    Query(query): Query<RowsQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let name = table_name(&database, &table)?;
    let delivery = Delivery::negotiate(&headers, query.format.as_deref(), query.numbers.as_deref())?;
    let rows = page_rows(&state, query.limit, ROWS)?;
    let subject = subject(&name, &query);
    let secret = &state.settings.token_secret;
    let open = |text: &String| PageToken::open(text, secret, "rows", &subject, who.name());
    let token = query.page_token.as_ref().map(open).transpose()?;
    let offset = token.as_ref().map_or(Ok(0), PageToken::offset)?;

    let request = rows_request(&query, rows, offset)?;
    let options = QueryOptions {
        database: name.database().clone(),
        parameters: Parameters::None,
        source: SOURCE,
        result_cache: cache_policy(&headers),
    };
    let prepared = state.query.prepare_rows(&who, &name, &request, &options).await?;
    let snapshot = snapshot_of(&prepared);
    if let Some(token) = token {
        same_snapshot(&token, snapshot.as_deref()).map_err(|error| ApiError::of(error, prepared.id()))?;
    }
    let next = PageToken {
        scope: "rows".into(),
        subject,
        snapshot: snapshot.clone(),
        position: offset.saturating_add(rows as u64).to_string(),
        principal: who.name().to_owned(),
    }
    .sign(secret)?;
    let document = rows_document(&prepared, snapshot, rows as u64, next);
    run(&state, &who, prepared, None, delivery, document).await
}

/// What makes two requests pages of the same thing.
fn subject(table: &TableName, query: &RowsQuery) -> String {
    let parts = json!([table.to_string(), query.columns, query.filter, query.sort]);
    hex::encode(&Sha256::digest(parts.to_string())[..16])
}

/// One row more than the page has, to know whether there is a next page.
fn rows_request(query: &RowsQuery, rows: usize, offset: u64) -> Result<RowsRequest> {
    let columns = query.columns.as_deref().map(|list| names(list, "columns")).transpose()?.unwrap_or_default();
    let sort = query.sort.as_deref().map(|list| names(list, "sort")).transpose()?.unwrap_or_default();
    let sort = sort.into_iter().map(|name| match name.strip_prefix('-') {
        Some(name) => (name.to_owned(), true),
        None => (name, false),
    });
    Ok(RowsRequest { columns, filter: query.filter.clone(), sort: sort.collect(), limit: rows + 1, offset })
}

fn names(list: &str, parameter: &str) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().any(|name| name.is_empty() || name == "-") {
        true => Err(Error::invalid_request(format!("`{parameter}` has an empty name"))),
        false => Ok(names),
    }
}

/// The versions of everything the rows come from: one for a table, several behind a view.
fn snapshot_of(prepared: &PreparedQuery) -> Option<String> {
    let versions: Vec<&str> = prepared.snapshots().iter().map(|(_, version)| version.as_str()).collect();
    (!versions.is_empty()).then(|| versions.join("-"))
}

fn same_snapshot(token: &PageToken, now: Option<&str>) -> Result<()> {
    if token.snapshot.as_deref() == now {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Expired, "the table's files changed since the page before");
    Err(error.with_hint("Begin again without `page_token`; POST /v1/queries keeps a result that does not change."))
}

fn rows_document(prepared: &PreparedQuery, snapshot: Option<String>, rows: u64, next: String) -> Document {
    let mut preamble = with_id(prepared.id());
    preamble.insert("snapshot".into(), json!(snapshot));
    let trailer = move |ended: &Ended| {
        let mut members = Map::new();
        members.insert("row_count".into(), json!(ended.rows));
        members.insert("next_page_token".into(), json!(ended.more.then_some(next)));
        put_statistics(&mut members, ended);
        members
    };
    Document { preamble, rows_member: None, columns: true, row_limit: Some(rows), trailer: Box::new(trailer) }
}
