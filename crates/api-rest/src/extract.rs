//! What handlers take from a request, with failures as problems instead of axum's plain texts.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use lakebed_access::Principal;
use lakebed_types::{DatabaseName, Error, ErrorKind, TableName};
use serde::de::DeserializeOwned;

use crate::{
    RestState,
    error::{ApiError, ApiResult},
};

/// Who is asking, as the guard found out.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<RestState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &RestState) -> ApiResult<Self> {
        let who = parts.extensions.get::<Principal>().cloned();
        Ok(Self(who.ok_or_else(|| Error::internal("a route that asks for its caller stands outside the guard"))?))
    }
}

/// The query string as `T`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<RestState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &RestState) -> ApiResult<Self> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let axum::extract::Query(value) = read.map_err(|rejection| {
            Error::invalid_request(format!("the query string cannot be read: {}", cause(&rejection)))
        })?;
        Ok(Self(value))
    }
}

/// The variable parts of the path as `T`.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<RestState> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &RestState) -> ApiResult<Self> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let axum::extract::Path(value) = read.map_err(|rejection| {
            Error::invalid_request(format!("the path cannot be read: {}", rejection.body_text()))
        })?;
        Ok(Self(value))
    }
}

/// The table named in a path.
pub(crate) fn table_name(database: &str, table: &str) -> ApiResult<TableName> {
    Ok(TableName::new(DatabaseName::new(database)?, table)?)
}

/// A JSON body as `T`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<RestState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &RestState) -> ApiResult<Self> {
        if media_type(request.headers()).as_deref() != Some("application/json") {
            return Err(wrong_media_type("Send JSON with `Content-Type: application/json`."));
        }
        let body = read_body(request, state).await?;
        Ok(Self(parse_json(&body)?))
    }
}

/// A JSON body that may be missing.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<RestState> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &RestState) -> ApiResult<Self> {
        let media_type = media_type(request.headers());
        let body = read_body(request, state).await?;
        match media_type.as_deref() {
            _ if body.is_empty() => Ok(Self(T::default())),
            Some("application/json") => Ok(Self(parse_json(&body)?)),
            _ => Err(wrong_media_type("Send JSON with `Content-Type: application/json`, or no body.")),
        }
    }
}

/// The whole body, within the limit.
pub(crate) async fn read_body(request: Request, state: &RestState) -> ApiResult<Bytes> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = state.settings.body_limit_bytes;
            let message = format!("the request's body has more than {limit} bytes");
            Error::new(ErrorKind::RequestTooLarge, message).into()
        }
        _ => Error::invalid_request("the request's body ended early").into(),
    })
}

/// Reads a JSON document, saying where it is wrong.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    serde_json::from_slice(body)
        .map_err(|e| Error::invalid_request(format!("the JSON body cannot be read: {e}")).into())
}

/// `Content-Type` in lower case and without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("unreadable");
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// 415, with what would be right.
pub(crate) fn wrong_media_type(hint: &str) -> ApiError {
    let error = Error::invalid_request("the body's media type is not one of this route").with_hint(hint);
    ApiError::with_status(error, StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// The innermost cause, which names the member that is wrong.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
