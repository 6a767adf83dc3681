//! `/`: the list of tables for programs, a page with a query box for people.

use std::sync::LazyLock;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::ApiResult,
    extract::Caller,
    negotiate::joined,
    routes::{json_answer, tables::TableSummary},
};

const PAGE: &str = include_str!("landing.html");

/// Allows the page's own script and style by their digests, requests to this server, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |tag: &str| BASE64_STANDARD.encode(Sha256::digest(element(tag)));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest("script"),
        digest("style"),
    )
});

/// The text of the page's one element of this name.
fn element(tag: &str) -> &'static str {
    let text = PAGE.split_once(&format!("<{tag}>")).map_or("", |(_, after)| after);
    text.split_once(&format!("</{tag}>")).map_or("", |(inside, _)| inside)
}

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(landing))
}

/// All tables.
#[derive(Serialize, ToSchema)]
struct Overview {
    version: &'static str,
    /// Of all databases.
    tables: Vec<TableSummary>,
}

/// Lists all tables: as JSON, or as a page for `Accept: text/html`.
#[utoipa::path(
    get, path = "/", tag = "catalog", operation_id = "overview",
    responses((status = 200, description = "The tables that this caller may see",
        content((Overview = "application/json"), (String = "text/html"))))
)]
async fn landing(State(state): State<RestState>, Caller(who): Caller, headers: HeaderMap) -> ApiResult<Response> {
    if joined(&headers, header::ACCEPT).is_some_and(|accept| accept.contains("text/html")) {
        return Ok(page());
    }
    let tables = state.query.catalog().seen_by(&who).all_tables().await?;
    let tables = tables.iter().map(TableSummary::from).collect();
    let mut response = json_answer(&Overview { version: state.settings.version, tables });
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn page() -> Response {
    let mut response = PAGE.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_nothing_that_its_policy_forbids() {
        assert!(!element("script").is_empty() && !element("style").is_empty());
        for forbidden in ["http://", "https://", " style=", " onclick", "innerHTML", "src="] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
    }
}
