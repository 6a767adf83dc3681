//! What every answer has, whichever route made it: an id, timing, safety headers, a problem document where it failed,
//! one line in the log and a count.

use std::{any::Any, time::Duration};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, QueryId};

use crate::{
    RestState,
    error::{ApiError, Failed, PROBLEM_JSON},
};

/// Bytes that all headers of a request may have together.
const MAX_HEADER_BYTES: usize = 32 * 1024;
const X_QUERY_ID: HeaderName = HeaderName::from_static("x-query-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The outermost layer.
pub(crate) async fn envelope(State(state): State<RestState>, request: Request, next: Next) -> Response {
    let started = state.clock.instant();
    let request_id = QueryId::random();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();

    let response = match refuse(&request) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    };
    let response = answer_options(&method, response);
    let id = query_id(&response).unwrap_or(request_id);
    let mut response = with_problem(response, id);
    let elapsed = state.clock.instant().saturating_duration_since(started);
    put_headers(response.headers_mut(), id, elapsed);
    record(&method, &route, &response, id, elapsed);
    response
}

/// What a panic in a handler becomes.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of an unknown type"), "a handler panicked");
    ApiError::from(Error::internal("the server failed while it handled the request")).into_response()
}

/// Requests that no route gets to see.
fn refuse(request: &Request) -> Option<ApiError> {
    let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        let message = format!("the request's headers have more than {MAX_HEADER_BYTES} bytes");
        let error = Error::new(ErrorKind::RequestTooLarge, message);
        return Some(ApiError::with_status(error, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if is_cross_site(request) {
        let error =
            Error::new(ErrorKind::PermissionDenied, "pages of other sites may not send requests that change something");
        return Some(error.with_hint("Call the API from a program, or from a page of the same origin.").into());
    }
    None
}

/// A browser's own word that another site's page made it send this. Such a page cannot read the answer, but what the
/// request does would be done, with the rights of whoever sits at the browser.
fn is_cross_site(request: &Request) -> bool {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    !safe && matches!(site, Some(b"cross-site" | b"same-site"))
}

/// `OPTIONS` of a known path is answered with its methods. No cross-origin headers: there are none.
fn answer_options(method: &Method, response: Response) -> Response {
    if method != Method::OPTIONS || response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

fn query_id(response: &Response) -> Option<QueryId> {
    let failed = response.extensions().get::<Failed>().and_then(|failed| failed.0.query());
    failed.or_else(|| response.extensions().get::<QueryId>().copied())
}

/// Puts a problem document into answers that failed, those of the router itself included.
fn with_problem(response: Response, id: QueryId) -> Response {
    let status = response.status();
    let failed = match response.extensions().get::<Failed>() {
        Some(failed) => failed.0.clone(),
        None if is_foreign_failure(&response) => std::sync::Arc::new(ApiError::from_status(status)),
        None => return response,
    };
    let error = failed.error();
    if failed.status().is_server_error() {
        tracing::error!(query_id = %id, code = error.kind().code(), error = ?error, "a request failed");
    } else {
        tracing::debug!(query_id = %id, code = error.kind().code(), error = ?error, "a request was refused");
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Response::from_parts(parts, Body::from(failed.problem(id).to_string()))
}

/// An error status that came from the router or a vendored service, not from a handler of ours.
fn is_foreign_failure(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

fn put_headers(headers: &mut HeaderMap, id: QueryId, elapsed: Duration) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        headers.insert(X_QUERY_ID, value);
    }
    let total = format!("total;dur={:.2}", elapsed.as_secs_f64() * 1000.0);
    if let Ok(value) = HeaderValue::try_from(total) {
        headers.append(SERVER_TIMING, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
}

/// The query string and the body stay out of the log: they may hold values that are nobody's business.
fn record(method: &Method, route: &str, response: &Response, id: QueryId, elapsed: Duration) {
    let status = response.status();
    let principal = response.extensions().get::<Principal>().map(Principal::name);
    tracing::info!(%method, route, principal, status = status.as_u16(), query_id = %id, elapsed_ms = elapsed.as_millis() as u64, "request");
    let labels =
        [("method", method_label(method)), ("route", route.to_owned()), ("status", status.as_u16().to_string())];
    metrics::counter!("lakebed_http_requests_total", &labels).increment(1);
    metrics::histogram!("lakebed_http_first_byte_seconds", "route" => route.to_owned()).record(elapsed.as_secs_f64());
}

/// Methods are free text in HTTP; a label must not be.
fn method_label(method: &Method) -> String {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH];
    if known.contains(method) { method.to_string() } else { "other".to_owned() }
}
