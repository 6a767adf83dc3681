//! `/v1/estimate`: what a statement would read and cost.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::{ApiError, ApiResult},
    extract::{Caller, Query},
    routes::json_answer,
    statement::{Statement, StatementOptions},
    wire::EstimateSchema,
};

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(estimate))
}

/// Says what a statement would read: files, row groups, bytes and price. No data is read and no request is made.
#[utoipa::path(
    post, path = "/v1/estimate", tag = "sql", operation_id = "estimate_sql",
    params(StatementOptions),
    request_body(
        description = "SQL text, or a JSON object around it",
        content(
            (String = "text/plain", example = "SELECT count(*) AS n FROM flights"),
            (String = "application/sql", example = "SELECT count(*) AS n FROM flights"),
            (Statement = "application/json"),
        )
    ),
    responses((status = 200, description = "What it would read, as a whole and by table", body = EstimateSchema))
)]
async fn estimate(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(options): Query<StatementOptions>,
    statement: Statement,
) -> ApiResult<Response> {
    let statement = statement.or(options);
    let prepared = state.query.prepare(&who, &statement.query, &statement.options(&HeaderMap::new())?).await?;
    let id = prepared.id();
    let estimate = state.query.estimate(&prepared).await.map_err(|error| ApiError::of(error, id))?;
    let mut document = json!({ "query_id": id });
    if let (Value::Object(document), Value::Object(members)) = (&mut document, json!(estimate)) {
        document.extend(members);
    }
    let mut response = json_answer(&document);
    response.extensions_mut().insert(id);
    Ok(response)
}
