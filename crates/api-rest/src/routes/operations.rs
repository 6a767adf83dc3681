//! `/health`, `/ready`, `/metrics`: for whoever runs the server.

use std::sync::atomic::Ordering;

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use lakebed_access::{Principal, Role};
use lakebed_types::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{RestState, error::ApiResult, routes::json_answer};

/// The path of the metrics, which the operator may open to all.
pub(crate) const METRICS: &str = "/metrics";

/// Open to all: they say nothing of the data.
pub(crate) fn open_routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// The process lives.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    version: &'static str,
    running_queries: u64,
    queued_queries: u64,
    /// Reserved by running queries.
    memory_reserved_bytes: u64,
}

/// Says that the process lives, and how busy it is.
#[utoipa::path(
    get, path = "/health", tag = "operations", operation_id = "health", security(()),
    responses((status = 200, description = "It lives", body = Health))
)]
async fn health(State(state): State<RestState>) -> Response {
    json_answer(&busy(&state))
}

fn busy(state: &RestState) -> Health {
    Health {
        status: "ok",
        version: state.settings.version,
        running_queries: state.query.access().running() as u64,
        queued_queries: state.query.access().queued() as u64,
        memory_reserved_bytes: state.query.memory_reserved(),
    }
}

/// Says whether new requests should come here: 503 while starting and while draining.
#[utoipa::path(
    get, path = "/ready", tag = "operations", operation_id = "ready", security(()),
    responses((status = 200, description = "It takes requests", body = Health))
)]
async fn ready(State(state): State<RestState>) -> ApiResult<Response> {
    if state.query.access().is_draining() {
        return Err(Error::new(ErrorKind::Unavailable, "the server is draining").into());
    }
    if let Some(error) = state.ingest.failure() {
        let message = format!("rows are not taken in: {}", error.message());
        return Err(Error::new(ErrorKind::Unavailable, message).into());
    }
    if !state.ready.load(Ordering::Acquire) {
        return Err(Error::new(ErrorKind::Unavailable, "the server is starting").into());
    }
    Ok(json_answer(&busy(&state)))
}

/// Metrics in Prometheus' text format.
///
/// Once there are keys, for administrators, unless the server's setting `server.open_metrics` opens them to all.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
async fn metrics(State(state): State<RestState>, who: Option<Extension<Principal>>) -> ApiResult<Response> {
    if let Some(Extension(who)) = who
        && state.query.access().wants_credentials()
    {
        who.require(Role::Admin, "read metrics")?;
    }
    let mut response = state.query.metrics().into_response();
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
