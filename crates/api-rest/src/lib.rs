//! HTTP and JSON over the query service: routes, OpenAPI, documentation pages.
//!
//! Each handler decodes, calls one façade function and encodes; one file maps errors to statuses.

#![allow(missing_docs, clippy::todo)] // skeleton

use lakebed_query::QueryService;

#[derive(Debug, Clone)]
pub struct RestSettings {
    /// Template of /query-parquet's path, e.g. `s3://bucket/state={statename}/dname={dname}/{dname}.parquet`.
    pub parquet_pages: Option<String>,
    pub body_limit_bytes: usize, // 1 MiB for SQL routes
    pub page_rows_max: usize,    // 10_000
    pub idle_client: std::time::Duration,
    /// For signing page tokens; random at start where not configured.
    pub token_secret: [u8; 32],
    pub version: &'static str,
}

/// Everything a handler needs.
#[derive(Clone)]
pub struct RestState {
    pub query: QueryService,
    pub settings: std::sync::Arc<RestSettings>,
    pub ready: std::sync::Arc<std::sync::atomic::AtomicBool>, /* + Prometheus handle */
}

/// The whole HTTP application.
pub fn router(state: RestState) -> axum::Router {
    let _ = state;
    todo!()
}
/// The OpenAPI document, as `/openapi.json` serves it.
pub fn openapi() -> serde_json::Value {
    todo!()
}
