//! The application: all routes, and the layers around them.

use axum::{Router, extract::DefaultBodyLimit, http::StatusCode, middleware, response::IntoResponse};
use serde_json::Value;
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, predicate::Predicate},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    RestState, envelope,
    error::ApiError,
    guard,
    openapi::{add_problems, base},
    routes::{
        compat, crawlers, databases, docs, estimate, ingest, keys, landing, operations, queries, query_parquet, rows,
        sql, tables, tail, workgroups,
    },
};

/// Bytes from which an answer is compressed: fewer fit into one packet anyway.
const COMPRESSED_FROM_BYTES: u64 = 1400;

/// The whole HTTP application.
pub fn router(state: RestState) -> Router {
    let Documented { closed, open, document } = documented(state.settings.version);
    let fallback = || async { ApiError::from_status(StatusCode::NOT_FOUND).into_response() };
    closed
        .fallback(fallback)
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .merge(open)
        .merge(docs::routes(&document))
        .layer(DefaultBodyLimit::max(state.settings.body_limit_bytes))
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(WholeText))
        .layer(middleware::from_fn_with_state(state.clone(), envelope::envelope))
        .with_state(state)
}

/// The OpenAPI document, as `/openapi.json` serves it.
pub fn openapi() -> Value {
    documented(env!("CARGO_PKG_VERSION")).document
}

/// The routes that the document describes.
struct Documented {
    /// For those whom the guard lets in.
    closed: Router<RestState>,
    /// For all.
    open: Router<RestState>,
    document: Value,
}

fn documented(version: &str) -> Documented {
    let (closed, mut document) = OpenApiRouter::with_openapi(base(version))
        .merge(sql::routes())
        .merge(queries::routes())
        .merge(estimate::routes())
        .merge(databases::routes())
        .merge(tables::routes())
        .merge(rows::routes())
        .merge(ingest::routes())
        .merge(tail::routes())
        .merge(crawlers::routes())
        .merge(query_parquet::routes())
        .merge(compat::routes())
        .merge(keys::routes())
        .merge(workgroups::routes())
        .merge(operations::routes())
        .merge(landing::routes())
        .split_for_parts();
    let (open, of_open) = operations::open_routes().split_for_parts();
    document.merge(of_open);
    add_problems(&mut document);
    Documented { closed, open, document: serde_json::to_value(document).unwrap_or_default() }
}

/// Answers that are all there and text. Streams compress themselves, chunk by chunk, where they are encoded.
#[derive(Clone, Copy)]
struct WholeText;

impl Predicate for WholeText {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        let bytes = response.body().size_hint().exact();
        let media_type = response.headers().get(axum::http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_text = media_type.is_some_and(|media_type| {
            media_type.starts_with("text/") || media_type.contains("json") || media_type.contains("javascript")
        });
        is_text && bytes.is_some_and(|bytes| bytes >= COMPRESSED_FROM_BYTES)
    }
}
