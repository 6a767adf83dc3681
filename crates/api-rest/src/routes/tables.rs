//! `/v1/databases/{database}/tables`: create, list, describe, drop.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lakebed_access::{Principal, audit};
use lakebed_catalog::{CreateTable, Freshness, Seen, Table, TableKind};
use lakebed_storage::{Location, Mode};
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, StatementKind, TableName, parse_sql_type};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::ApiResult,
    extract::{Caller, Json, Path, Query, table_name},
    routes::{json_answer, json_with_status},
    rules::IngestRules,
    wire::{Column, columns},
};

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(list_tables)).routes(routes!(get_table, create_table, drop_table))
}

/// A table or view, in short.
#[derive(Serialize, ToSchema)]
pub(crate) struct TableSummary {
    #[schema(example = "default")]
    database: String,
    #[schema(example = "flights")]
    name: String,
    /// `table` or `view`.
    #[schema(example = "table")]
    kind: &'static str,
    /// Number of columns.
    columns: u64,
    files: u64,
    /// Null where a format does not tell.
    rows: Option<u64>,
    /// Of the files, as they are in the store.
    bytes: u64,
    comment: Option<String>,
}

impl From<&Table> for TableSummary {
    fn from(table: &Table) -> Self {
        Self {
            database: table.name.database().to_string(),
            name: table.name.table().to_owned(),
            kind: kind_name(&table.kind),
            columns: table.schema.fields().len() as u64,
            files: table.files,
            rows: table.rows,
            bytes: table.bytes,
            comment: table.comment.clone(),
        }
    }
}

fn kind_name(kind: &TableKind) -> &'static str {
    match kind {
        TableKind::Files { .. } | TableKind::Delta { .. } => "table",
        TableKind::View { .. } => "view",
    }
}

/// Tables and views of a database.
#[derive(Serialize, ToSchema)]
struct TableList {
    tables: Vec<TableSummary>,
}

/// Everything about a table.
#[derive(Serialize, ToSchema)]
struct TableAnswer {
    #[serde(flatten)]
    summary: TableSummary,
    /// With name, SQL type, nullable, and whether it is a partition column.
    #[serde(rename = "schema")]
    schema: Vec<Column>,
    /// The folder or file; null for a view.
    location: Option<String>,
    /// What the files are, `delta` for a table that rows are sent to; null for a view.
    #[schema(example = "parquet")]
    format: Option<Value>,
    partition_columns: Vec<String>,
    /// What the partition columns' values are, with files, rows and bytes. At most 1000.
    partitions: Vec<PartitionAnswer>,
    /// Number of partitions.
    partition_count: u64,
    /// The version of the list of files that a query would read now. Changes when a file does.
    snapshot: Option<String>,
    freshness: Option<FreshnessAnswer>,
    /// What a table that rows are sent to wants of them; null for others.
    #[schema(value_type = Option<IngestRules>)]
    ingest: Option<Value>,
    /// The query behind a view; null for a key with grants, because it may name what is hidden.
    sql: Option<String>,
    created: DateTime<Utc>,
    changed: DateTime<Utc>,
    /// What the last look at the location found odd, one sentence each.
    warnings: Vec<String>,
}

/// One partition.
#[derive(Serialize, ToSchema)]
struct PartitionAnswer {
    /// Partition column → value, null for NULL.
    #[schema(value_type = Object)]
    values: Map<String, Value>,
    files: u64,
    rows: Option<u64>,
    bytes: u64,
}

/// When new files are seen.
#[derive(Serialize, ToSchema)]
struct FreshnessAnswer {
    /// `on_query`, `interval` or `manual`.
    #[schema(example = "on_query")]
    policy: &'static str,
    /// Age from which a query looks again, or time between looks.
    seconds: Option<f64>,
    /// When the location was last listed.
    last_listed: Option<DateTime<Utc>>,
    /// When the newest file was written.
    newest_file: Option<DateTime<Utc>>,
}

/// Partitions that a description lists.
const PARTITIONS_LISTED: usize = 1000;

/// Lists the tables and views of a database.
#[utoipa::path(
    get, path = "/v1/databases/{database}/tables", tag = "catalog", operation_id = "list_tables",
    params(("database" = String, Path, description = "The database's name", example = "default")),
    responses((status = 200, description = "Tables and views, by name", body = TableList))
)]
async fn list_tables(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(database): Path<String>,
) -> ApiResult<Response> {
    let tables = state.query.catalog().seen_by(&who).tables(&DatabaseName::new(&database)?).await?;
    Ok(json_answer(&TableList { tables: tables.iter().map(TableSummary::from).collect() }))
}

/// Describes a table: schema, partitions, snapshot, freshness, warnings.
#[utoipa::path(
    get, path = "/v1/databases/{database}/tables/{table}", tag = "catalog", operation_id = "get_table",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "flights"),
    ),
    responses((status = 200, description = "The table", body = TableAnswer))
)]
async fn get_table(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
) -> ApiResult<Response> {
    let name = table_name(&database, &table)?;
    Ok(json_answer(&describe(state.query.catalog().seen_by(&who), &name).await?))
}

async fn describe(seen: Seen<'_>, name: &TableName) -> Result<TableAnswer> {
    let catalog = seen.catalog();
    // The snapshot first: it may look at the location, and the table then tells what that look found.
    let snapshot = match seen.table(name).await?.kind {
        TableKind::Files { .. } | TableKind::Delta { .. } => Some(catalog.snapshot(name).await?.version().to_owned()),
        TableKind::View { .. } => None,
    };
    let table = seen.table(name).await?;
    let sql = seen.view_text(&table).map(str::to_owned);
    let partition_columns = table.partition_columns().to_vec();
    let partitions = match partition_columns.is_empty() {
        true => Vec::new(),
        false => catalog.partitions(name).await?,
    };
    let location = table.location().map(ToString::to_string);
    let summary = TableSummary::from(&table);
    let (format, freshness, ingest) = match table.kind {
        TableKind::Files { kind, freshness, .. } => {
            let freshness = freshness_answer(freshness, table.last_listed, table.newest_file);
            (Some(json!(kind)), Some(freshness), None)
        }
        TableKind::Delta { rules, .. } => (Some(json!("delta")), None, serde_json::from_str(&rules).ok()),
        TableKind::View { .. } => (None, None, None),
    };
    Ok(TableAnswer {
        summary,
        schema: columns(&table.schema, &partition_columns),
        location,
        format,
        partition_count: partitions.len() as u64,
        partitions: partitions.into_iter().take(PARTITIONS_LISTED).map(|p| partition(&partition_columns, p)).collect(),
        partition_columns,
        snapshot,
        freshness,
        ingest,
        sql,
        created: table.created,
        changed: table.changed,
        warnings: table.warnings,
    })
}

fn partition(columns: &[String], partition: lakebed_catalog::Partition) -> PartitionAnswer {
    let values = columns.iter().cloned().zip(partition.values.into_iter().map(|value| json!(value))).collect();
    PartitionAnswer { values, files: partition.files, rows: partition.rows, bytes: partition.bytes }
}

fn freshness_answer(
    freshness: Freshness,
    last_listed: Option<DateTime<Utc>>,
    newest_file: Option<DateTime<Utc>>,
) -> FreshnessAnswer {
    let (policy, seconds) = match freshness {
        Freshness::OnQuery { min_age } => ("on_query", Some(min_age.as_secs_f64())),
        Freshness::Interval { every } => ("interval", Some(every.as_secs_f64())),
        Freshness::Manual => ("manual", None),
    };
    FreshnessAnswer { policy, seconds, last_listed, newest_file }
}

/// A table over files at a `location`, or with `ingest` one that rows are sent to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"location": "s3://bucket/flights/", "columns": [{"name": "carrier", "type": "VARCHAR"}]}))]
struct CreateTableBody {
    /// Folder or file, inside the configured locations. With `ingest` the folder of a Delta table that is there, such as
    /// another server's, whose rows the two then share.
    location: Option<String>,
    /// What a table that rows are sent to wants of them. Without a `location` a new one is made in the server's lake.
    ingest: Option<IngestRules>,
    /// As found in the files, or as the rules declare them, if missing.
    columns: Option<Vec<ColumnBody>>,
    /// Names of the partition columns, in the order of the folders; as found if missing.
    partition_columns: Option<Vec<String>>,
    comment: Option<String>,
    /// Replace a table of this name instead of failing.
    #[serde(default)]
    or_replace: bool,
}

/// A column to declare.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ColumnBody {
    #[schema(example = "carrier")]
    name: String,
    /// SQL type name.
    #[serde(rename = "type")]
    #[schema(example = "VARCHAR")]
    data_type: String,
    /// True if missing.
    nullable: Option<bool>,
}

/// Declares a table over a location, whose files are inspected now (409 if the name is taken), or makes one that rows are
/// sent to. Of one that is there already the rules are replaced: 200.
#[utoipa::path(
    put, path = "/v1/databases/{database}/tables/{table}", tag = "catalog", operation_id = "create_table",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "flights"),
    ),
    request_body = CreateTableBody,
    responses(
        (status = 201, description = "Created", body = TableAnswer),
        (status = 200, description = "It was there already, and its rules for rows are these now", body = TableAnswer),
    )
)]
async fn create_table(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
    Json(body): Json<CreateTableBody>,
) -> ApiResult<Response> {
    let name = table_name(&database, &table)?;
    let created = match (&body.location, &body.ingest) {
        (_, Some(_)) => create_for_rows(&state, &who, &name, body).await?,
        (Some(_), None) => create_over_files(&state, &who, &name, body).await?,
        (None, None) => {
            let error = Error::invalid_request("the table has neither a `location` nor `ingest`");
            return Err(error
                .with_hint("A table over files has a `location`; one that rows are sent to has `ingest`.")
                .into());
        }
    };
    audit::changed(&who, if created { "create table" } else { "change table" }, &name);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_with_status(status, &describe(state.query.catalog().seen_by(&who), &name).await?))
}

async fn create_over_files(
    state: &RestState,
    who: &Principal,
    name: &TableName,
    body: CreateTableBody,
) -> Result<bool> {
    who.may_run(StatementKind::CreateExternalTable)?;
    who.may_use_paths("declare tables over files")?;
    let catalog = state.query.catalog();
    let location = Location::parse(body.location.as_deref().unwrap_or_default())?;
    catalog.storage().check(&location, Mode::Read)?;
    let request = CreateTable {
        name: name.clone(),
        location,
        schema: body.columns.map(declared_schema).transpose()?,
        partition_columns: body.partition_columns,
        written: None,
        kind: None,
        text: None,
        freshness: None,
        comment: body.comment,
        if_not_exists: false,
        or_replace: body.or_replace,
    };
    catalog.create_external_table(request).await?;
    Ok(true)
}

/// False: it was there, and its rules have been replaced.
async fn create_for_rows(state: &RestState, who: &Principal, name: &TableName, body: CreateTableBody) -> Result<bool> {
    who.may_run(StatementKind::CreateTableAs)?;
    who.may_create_table(name)?;
    if body.or_replace || body.partition_columns.is_some() {
        return Err(Error::invalid_request("`or_replace` and `partition_columns` are for tables over files")
            .with_hint("A table that rows are sent to is partitioned by its rule `day`; drop it to make another."));
    }
    let schema = body.columns.map(declared_schema).transpose()?;
    let rules = body.ingest.unwrap_or_default().into_rules()?;
    let location = body.location.as_deref().map(Location::parse).transpose()?;
    state.ingest.create_table(who, name, schema, rules, body.comment, location).await
}

fn declared_schema(columns: Vec<ColumnBody>) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
    for column in columns {
        if fields.iter().any(|field| field.name().eq_ignore_ascii_case(&column.name)) {
            let message = format!("column `{}` is declared twice", column.name.escape_debug());
            return Err(Error::invalid_request(message));
        }
        fields.push(Field::new(column.name, parse_sql_type(&column.data_type)?, column.nullable.unwrap_or(true)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The query string of a drop.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DropTable {
    /// No error where there is no such table.
    #[serde(default)]
    #[param(required = false)]
    if_exists: bool,
}

/// Drops a table or view. Files stay.
#[utoipa::path(
    delete, path = "/v1/databases/{database}/tables/{table}", tag = "catalog", operation_id = "drop_table",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "flights"),
        DropTable,
    ),
    responses((status = 204, description = "Dropped"))
)]
async fn drop_table(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
    Query(query): Query<DropTable>,
) -> ApiResult<Response> {
    who.may_run(StatementKind::DropTable)?;
    let name = table_name(&database, &table)?;
    let catalog = state.query.catalog();
    match catalog.seen_by(&who).table(&name).await {
        Ok(table) => {
            let is_view = matches!(table.kind, TableKind::View { .. });
            catalog.drop_table(&name, query.if_exists, is_view).await?;
            audit::changed(&who, if is_view { "drop view" } else { "drop table" }, &name);
        }
        Err(error) if query.if_exists && error.kind() == ErrorKind::TableNotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
