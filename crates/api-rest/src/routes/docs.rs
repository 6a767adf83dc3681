//! `/openapi.json`, `/docs` (Swagger UI) and `/redoc`: everything is embedded, nothing comes from elsewhere.

use axum::{
    Router,
    body::Bytes,
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde_json::Value;
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use crate::RestState;

const REDOC_SCRIPT: &[u8] = include_bytes!("../../vendor/redoc/redoc.standalone.js");
const REDOC_PAGE: &str = include_str!("redoc.html");
/// The script's version is part of its path, so it never changes under that path.
const REDOC_SCRIPT_PATH: &str = "/redoc/2.5.4/redoc.standalone.js";
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Both viewers put styles into the page; ReDoc searches in a worker that it makes from a blob.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:; \
     base-uri 'none'; frame-ancestors 'none'",
);

pub(crate) fn routes(document: &Value) -> Router<RestState> {
    let text: Bytes = document.to_string().into();
    let viewers = Router::new()
        .merge(swagger_ui())
        .route("/redoc", get(|| async { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], REDOC_PAGE) }))
        .route("/redoc/", get(|| async { Redirect::permanent("/redoc") }))
        .layer(axum::middleware::map_response(with_policy));
    Router::new()
        .route("/openapi.json", get(|| async move { ([(header::CONTENT_TYPE, "application/json")], text) }))
        .route(REDOC_SCRIPT_PATH, get(redoc_script))
        .merge(viewers)
}

fn swagger_ui() -> SwaggerUi {
    let config = Config::new([Url::new("Lakebed", "/openapi.json")])
        .try_it_out_enabled(true)
        .display_request_duration(true)
        .deep_linking(true)
        .validator_url("none");
    SwaggerUi::new("/docs").config(config)
}

async fn redoc_script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, IMMUTABLE),
    ];
    (headers, REDOC_SCRIPT).into_response()
}

async fn with_policy(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}
