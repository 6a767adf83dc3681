//! `/v1/databases`: create, list, describe, drop.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lakebed_access::audit;
use lakebed_catalog::Database;
use lakebed_types::{DatabaseName, ErrorKind, StatementKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::ApiResult,
    extract::{Caller, OptionalJson, Path, Query},
    routes::{json_answer, json_with_status},
};

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(list_databases)).routes(routes!(get_database, create_database, drop_database))
}

/// A database.
#[derive(Serialize, ToSchema)]
pub(crate) struct DatabaseAnswer {
    #[schema(example = "default")]
    name: String,
    comment: Option<String>,
    created: DateTime<Utc>,
    /// Tables and views in it.
    tables: u64,
}

impl From<Database> for DatabaseAnswer {
    fn from(database: Database) -> Self {
        Self {
            name: database.name.to_string(),
            comment: database.comment,
            created: database.created,
            tables: database.tables,
        }
    }
}

/// All databases.
#[derive(Serialize, ToSchema)]
struct DatabaseList {
    databases: Vec<DatabaseAnswer>,
}

/// Lists the databases that this caller may see.
#[utoipa::path(
    get, path = "/v1/databases", tag = "catalog", operation_id = "list_databases",
    responses((status = 200, description = "The databases, by name", body = DatabaseList))
)]
async fn list_databases(State(state): State<RestState>, Caller(who): Caller) -> ApiResult<Response> {
    let databases = state.query.catalog().seen_by(&who).databases().await?;
    Ok(json_answer(&DatabaseList { databases: databases.into_iter().map(DatabaseAnswer::from).collect() }))
}

/// Describes a database.
#[utoipa::path(
    get, path = "/v1/databases/{database}", tag = "catalog", operation_id = "get_database",
    params(("database" = String, Path, description = "The database's name", example = "default")),
    responses((status = 200, description = "The database", body = DatabaseAnswer))
)]
async fn get_database(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    let database = state.query.catalog().seen_by(&who).database(&DatabaseName::new(&name)?).await?;
    Ok(json_answer(&DatabaseAnswer::from(database)))
}

/// How to create a database.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateDatabase {
    comment: Option<String>,
}

/// Creates a database. One that exists stays as it is: 200 instead of 201.
#[utoipa::path(
    put, path = "/v1/databases/{database}", tag = "catalog", operation_id = "create_database",
    params(("database" = String, Path, description = "The database's name", example = "sales")),
    request_body = Option<CreateDatabase>,
    responses(
        (status = 201, description = "Created", body = DatabaseAnswer),
        (status = 200, description = "It was there already", body = DatabaseAnswer),
    )
)]
async fn create_database(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    OptionalJson(body): OptionalJson<CreateDatabase>,
) -> ApiResult<Response> {
    who.may_run(StatementKind::CreateDatabase)?;
    let name = DatabaseName::new(&name)?;
    let catalog = state.query.catalog();
    let status = match catalog.create_database(&name, false, body.comment.as_deref()).await {
        Ok(()) => {
            audit::changed(&who, "create database", &name);
            StatusCode::CREATED
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => StatusCode::OK,
        Err(error) => return Err(error.into()),
    };
    Ok(json_with_status(status, &DatabaseAnswer::from(catalog.database(&name).await?)))
}

/// The query string of a drop.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DropDatabase {
    /// Also drop the tables in it. Files stay.
    #[serde(default)]
    #[param(required = false)]
    cascade: bool,
}

/// Drops a database. 409 if it has tables, unless `cascade=true`. Files stay.
#[utoipa::path(
    delete, path = "/v1/databases/{database}", tag = "catalog", operation_id = "drop_database",
    params(("database" = String, Path, description = "The database's name", example = "sales"), DropDatabase),
    responses((status = 204, description = "Dropped"))
)]
async fn drop_database(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(query): Query<DropDatabase>,
) -> ApiResult<Response> {
    who.may_run(StatementKind::DropDatabase)?;
    let name = DatabaseName::new(&name)?;
    state.query.catalog().drop_database(&name, false, query.cascade).await?;
    audit::changed(&who, "drop database", &name);
    Ok(StatusCode::NO_CONTENT.into_response())
}
