//! The routes and shapes that clients of earlier data APIs use: `/query`, `/metadata`, `/api/query`, `/api/tables`,
//! `/api/schema/{table}`.

use axum::{extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, SecondsFormat, Utc};
use lakebed_access::Principal;
use lakebed_catalog::TableKind;
use lakebed_formats::{Format, Numbers};
use lakebed_query::PreparedQuery;
use lakebed_types::{DatabaseName, Error, ErrorKind, QueryStatistics, Result, TableName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    compress::Coding,
    error::ApiResult,
    execute::run,
    extract::{Caller, Json, Path, Query},
    negotiate::Delivery,
    routes::json_answer,
    statement::Statement,
    stream::{Document, Ended},
    wire::{Column, columns},
};

const JSON_ONLY: Delivery = Delivery { format: Format::Json, coding: Coding::Identity, numbers: Numbers::Auto };

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(query))
        .routes(routes!(metadata))
        .routes(routes!(api_query))
        .routes(routes!(api_tables))
        .routes(routes!(api_schema))
}

/// One statement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"query": "SELECT count(*) AS n FROM flights"}))]
struct QueryBody {
    /// One SQL statement.
    query: String,
    /// Where unqualified tables are looked up; `default` if missing.
    database: Option<String>,
}

impl QueryBody {
    async fn prepare(self, state: &RestState, who: &Principal, headers: &HeaderMap) -> ApiResult<PreparedQuery> {
        let statement = Statement { query: self.query, database: self.database, ..Statement::default() };
        Ok(state.query.prepare(who, &statement.query, &statement.options(headers)?).await?)
    }
}

/// The answer of `/query`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the document is streamed")]
struct QueryAnswer {
    /// One object per row.
    results: Vec<Map<String, Value>>,
    /// Column names.
    columns: Option<Vec<String>>,
    /// Planning and execution.
    execution_time_ms: Option<f64>,
    timestamp: Option<DateTime<Utc>>,
    /// The tables that the statement reads, as `database.table`.
    source_tables: Option<Vec<String>>,
    /// A problem document, where the query failed after its first row.
    #[schema(value_type = Option<crate::wire::Problem>)]
    error: Option<Value>,
}

/// Runs a statement: `{"results", "columns", "execution_time_ms", "timestamp", "source_tables"}`.
#[utoipa::path(
    post, path = "/query", tag = "compatibility", operation_id = "compat_query",
    request_body = QueryBody,
    responses((status = 200, description = "The rows", body = QueryAnswer))
)]
async fn query(
    State(state): State<RestState>,
    Caller(who): Caller,
    headers: HeaderMap,
    Json(body): Json<QueryBody>,
) -> ApiResult<Response> {
    let prepared = body.prepare(&state, &who, &headers).await?;
    let columns = column_names(&prepared);
    let tables: Vec<String> = prepared.snapshots().iter().map(|(table, _)| table.clone()).collect();
    let clock = state.clock.clone();
    let trailer = move |ended: &Ended| {
        Map::from_iter([
            ("columns".to_owned(), json!(columns)),
            ("execution_time_ms".to_owned(), json!(elapsed_ms(ended.statistics.as_ref()))),
            ("timestamp".to_owned(), json!(timestamp(clock.now()))),
            ("source_tables".to_owned(), json!(tables)),
        ])
    };
    let document = Document {
        preamble: Map::new(),
        rows_member: Some("results"),
        columns: false,
        row_limit: None,
        trailer: Box::new(trailer),
    };
    run(&state, &who, prepared, None, JSON_ONLY, document).await
}

fn column_names(prepared: &PreparedQuery) -> Vec<String> {
    prepared.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn elapsed_ms(statistics: Option<&QueryStatistics>) -> f64 {
    statistics.map_or(0.0, |statistics| statistics.planning_ms + statistics.execution_ms)
}

fn timestamp(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The answer of `/api/query`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the document is streamed")]
struct ApiQueryAnswer {
    /// One object per row.
    data: Vec<Map<String, Value>>,
    /// Number of rows.
    rows: Option<u64>,
    /// Number of columns.
    columns: Option<u64>,
    column_names: Option<Vec<String>>,
    /// A problem document, where the query failed after its first row.
    #[schema(value_type = Option<crate::wire::Problem>)]
    error: Option<Value>,
}

/// Runs a statement: `{"data", "rows", "columns", "column_names"}`, where `rows` and `columns` are counts.
#[utoipa::path(
    post, path = "/api/query", tag = "compatibility", operation_id = "compat_api_query",
    request_body = QueryBody,
    responses((status = 200, description = "The rows", body = ApiQueryAnswer))
)]
async fn api_query(
    State(state): State<RestState>,
    Caller(who): Caller,
    headers: HeaderMap,
    Json(body): Json<QueryBody>,
) -> ApiResult<Response> {
    let prepared = body.prepare(&state, &who, &headers).await?;
    let names = column_names(&prepared);
    let trailer = move |ended: &Ended| {
        Map::from_iter([
            ("rows".to_owned(), json!(ended.rows)),
            ("columns".to_owned(), json!(names.len())),
            ("column_names".to_owned(), json!(names)),
        ])
    };
    let document = Document {
        preamble: Map::new(),
        rows_member: None,
        columns: false,
        row_limit: None,
        trailer: Box::new(trailer),
    };
    run(&state, &who, prepared, None, JSON_ONLY, document).await
}

/// The query string of `/metadata`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MetadataQuery {
    /// `table` or `database.table`; the first table of `default` if missing.
    #[param(example = "flights")]
    table: Option<String>,
}

/// The answer of `/metadata`.
#[derive(Serialize, ToSchema)]
struct Metadata {
    /// The table's location; null for a view.
    #[schema(example = "s3://bucket/flights/")]
    s3_url: Option<String>,
    #[schema(example = "flights")]
    view_name: String,
    /// Column names.
    columns: Vec<String>,
    row_count: Option<u64>,
    column_count: u64,
    size_bytes: u64,
    /// What looking at the table's files took.
    load_time_ms: f64,
    timestamp: String,
}

/// Describes one table in the shape of a data node.
#[utoipa::path(
    get, path = "/metadata", tag = "compatibility", operation_id = "compat_metadata",
    params(MetadataQuery), responses((status = 200, description = "The table", body = Metadata))
)]
async fn metadata(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(query): Query<MetadataQuery>,
) -> ApiResult<Response> {
    let started = state.clock.instant();
    let catalog = state.query.catalog();
    let (seen, default) = (catalog.seen_by(&who), DatabaseName::default_database());
    let table = match query.table {
        Some(name) => seen.table(&TableName::parse(&name, &default)?).await?,
        None => {
            let none = || Error::new(ErrorKind::TableNotFound, "the database `default` has no table");
            let mut tables = seen.tables(&default).await?;
            tables.sort_by_key(|table| matches!(table.kind, TableKind::View { .. }));
            tables.into_iter().next().ok_or_else(none)?
        }
    };
    let s3_url = match table.location() {
        Some(location) => {
            catalog.snapshot(&table.name).await?;
            Some(location.to_string())
        }
        None => None,
    };
    let table = catalog.table(&table.name).await?;
    Ok(json_answer(&Metadata {
        s3_url,
        view_name: table.name.table().to_owned(),
        columns: table.schema.fields().iter().map(|field| field.name().clone()).collect(),
        row_count: table.rows,
        column_count: table.schema.fields().len() as u64,
        size_bytes: table.bytes,
        load_time_ms: state.clock.instant().saturating_duration_since(started).as_secs_f64() * 1000.0,
        timestamp: timestamp(state.clock.now()),
    }))
}

/// Which database.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DatabaseQuery {
    /// `default` if missing.
    #[param(example = "default")]
    database: Option<String>,
}

impl DatabaseQuery {
    fn name(&self) -> Result<DatabaseName> {
        self.database.as_deref().map_or_else(|| Ok(DatabaseName::default_database()), DatabaseName::new)
    }
}

/// Names of tables.
#[derive(Serialize, ToSchema)]
struct TableNames {
    #[schema(example = json!(["flights"]))]
    tables: Vec<String>,
}

/// Lists the names of a database's tables.
#[utoipa::path(
    get, path = "/api/tables", tag = "compatibility", operation_id = "compat_tables",
    params(DatabaseQuery), responses((status = 200, description = "The names", body = TableNames))
)]
async fn api_tables(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(query): Query<DatabaseQuery>,
) -> ApiResult<Response> {
    let tables = state.query.catalog().seen_by(&who).tables(&query.name()?).await?;
    let tables = tables.into_iter().map(|table| table.name.table().to_owned()).collect();
    Ok(json_answer(&TableNames { tables }))
}

/// Columns of a table.
#[derive(Serialize, ToSchema)]
struct TableSchema {
    schema: Vec<Column>,
}

/// Lists a table's columns.
#[utoipa::path(
    get, path = "/api/schema/{table}", tag = "compatibility", operation_id = "compat_schema",
    params(("table" = String, Path, description = "`table` or `database.table`", example = "flights"), DatabaseQuery),
    responses((status = 200, description = "The columns", body = TableSchema))
)]
async fn api_schema(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(table): Path<String>,
    Query(query): Query<DatabaseQuery>,
) -> ApiResult<Response> {
    let name = TableName::parse(&table, &query.name()?)?;
    let table = state.query.catalog().seen_by(&who).table(&name).await?;
    Ok(json_answer(&TableSchema { schema: columns(&table.schema, table.partition_columns()) }))
}
