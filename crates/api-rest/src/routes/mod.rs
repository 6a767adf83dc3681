//! One file per resource; their names are those of the URLs.

pub(crate) mod compat;
pub(crate) mod crawlers;
pub(crate) mod databases;
pub(crate) mod docs;
pub(crate) mod estimate;
pub(crate) mod ingest;
pub(crate) mod keys;
pub(crate) mod landing;
pub(crate) mod operations;
pub(crate) mod queries;
pub(crate) mod query_parquet;
pub(crate) mod rows;
pub(crate) mod sql;
pub(crate) mod tables;
pub(crate) mod tail;
pub(crate) mod workgroups;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use crate::{
    RestState,
    error::{ApiError, ApiResult},
};
use lakebed_types::Error;

/// A small JSON answer.
pub(crate) fn json_answer(value: &impl Serialize) -> Response {
    json_with_status(StatusCode::OK, value)
}

/// A small JSON answer with another status than 200.
pub(crate) fn json_with_status(status: StatusCode, value: &impl Serialize) -> Response {
    use axum::response::IntoResponse;
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(e) => ApiError::from(Error::internal("an answer cannot be written as JSON").with_source(e)).into_response(),
    }
}

/// Checks a page's size against the server's bound.
pub(crate) fn page_rows(state: &RestState, asked: Option<u64>, default: usize) -> ApiResult<usize> {
    let max = state.settings.page_rows_max;
    match asked {
        None => Ok(default.min(max)),
        Some(rows) if (1..=max as u64).contains(&rows) => Ok(rows as usize),
        Some(rows) => {
            let error = Error::invalid_request(format!("a page cannot have {rows} rows"));
            Err(error.with_hint(format!("Ask for 1 to {max} rows.")).into())
        }
    }
}
