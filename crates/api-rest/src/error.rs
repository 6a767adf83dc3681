//! Errors over HTTP: the one place that maps kinds to statuses, and the problem document (RFC 9457).

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lakebed_types::{Error, ErrorKind, QueryId};
use serde_json::{Map, Value, json};

/// The media type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What a client that came at a full moment is told to wait, where nothing better is known.
const RETRY_AFTER_SECONDS: u64 = 1;

/// How a key may be sent. A browser asks its user for one by the second.
const CHALLENGES: [HeaderValue; 2] = [
    HeaderValue::from_static("Bearer realm=\"lakebed\""),
    HeaderValue::from_static("Basic realm=\"lakebed\", charset=\"UTF-8\""),
];

/// Result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// The status of an error that ends a request before its first byte.
pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    use ErrorKind as K;
    match kind {
        K::InvalidRequest | K::SyntaxError | K::InvalidQuery | K::QueryTooComplex | K::UnknownColumn => {
            StatusCode::BAD_REQUEST
        }
        K::Unauthenticated => StatusCode::UNAUTHORIZED,
        K::PermissionDenied | K::LocationNotAllowed => StatusCode::FORBIDDEN,
        K::DatabaseNotFound | K::TableNotFound | K::NotFound | K::BucketNotFound | K::ObjectNotFound => {
            StatusCode::NOT_FOUND
        }
        K::AlreadyExists | K::Conflict | K::Cancelled | K::Interrupted => StatusCode::CONFLICT,
        K::Expired => StatusCode::GONE,
        K::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        K::InvalidValue | K::SchemaConflict | K::CorruptFile | K::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
        K::MemoryExhausted | K::SpillExhausted | K::ResultTooLarge | K::ScanTooLarge => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        K::TooManyLogins | K::TooManyRequests | K::BudgetExhausted | K::QueueFull | K::QueueTimeout | K::IngestBusy => {
            StatusCode::TOO_MANY_REQUESTS
        }
        K::StoreAccessDenied | K::StoreWrongSignature | K::StoreTokenExpired | K::StoreUnreachable | K::StoreFailed => {
            StatusCode::BAD_GATEWAY
        }
        K::Unavailable | K::MemoryPressure => StatusCode::SERVICE_UNAVAILABLE,
        K::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        K::DiskFailed | K::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error on its way to the client. The envelope turns it into a problem document, because only it knows the
/// request's id.
#[derive(Debug)]
pub(crate) struct ApiError {
    error: Error,
    status: StatusCode,
    query: Option<QueryId>,
    /// Further members of the problem document.
    members: Map<String, Value>,
}

impl ApiError {
    /// An error of a query that has an id already.
    pub(crate) fn of(error: Error, query: QueryId) -> Self {
        Self { query: Some(query), ..Self::from(error) }
    }

    /// An error that says more than its sentence: further members of its problem document.
    pub(crate) fn with_members(error: Error, members: Map<String, Value>) -> Self {
        Self { members, ..Self::from(error) }
    }

    /// The same error with a status that HTTP itself asks for (405, 406, 415, 431).
    pub(crate) fn with_status(error: Error, status: StatusCode) -> Self {
        Self { status, ..Self::from(error) }
    }

    /// What an answer of the router itself means, which says only a status and perhaps a text.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let (kind, message, hint) = match status {
            StatusCode::NOT_FOUND => (ErrorKind::NotFound, "no such route", "The routes are listed at /docs."),
            StatusCode::METHOD_NOT_ALLOWED => {
                (ErrorKind::InvalidRequest, "this route has no such method", "The `Allow` header names its methods.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                (ErrorKind::RequestTooLarge, "the request's body is too large", "Send less in one request.")
            }
            status if status.is_server_error() => {
                (ErrorKind::Internal, "the server failed", "The server's log knows more, by `query_id`.")
            }
            _ => (ErrorKind::InvalidRequest, "the request cannot be understood", "The routes are described at /docs."),
        };
        Self::with_status(Error::new(kind, message).with_hint(hint), status)
    }

    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    pub(crate) fn query(&self) -> Option<QueryId> {
        self.query
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Its problem document, for the request of this id.
    pub(crate) fn problem(&self, id: QueryId) -> Value {
        let mut document = problem(&self.error, self.status, id);
        if let Some(document) = document.as_object_mut() {
            document.extend(self.members.clone());
        }
        document
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self { status: status(error.kind()), error, query: None, members: Map::new() }
    }
}

/// What the envelope finds in the extensions of an answer that is an error.
#[derive(Clone)]
pub(crate) struct Failed(pub(crate) std::sync::Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let seconds = self.error.retry_after().map_or(RETRY_AFTER_SECONDS, whole_seconds);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            for challenge in CHALLENGES {
                response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
            }
        }
        response.extensions_mut().insert(Failed(std::sync::Arc::new(self)));
        response
    }
}

/// The header has no fractions: rounded up, so that who obeys it does not come too early.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The problem document of an error: `type`, `title`, `status`, `detail`, `code`, `hint`, `query_id`.
pub(crate) fn problem(error: &Error, status: StatusCode, id: QueryId) -> Value {
    let code = error.kind().code();
    let mut document = Map::new();
    document.insert("type".into(), json!(format!("urn:lakebed:error:{code}")));
    document.insert("title".into(), json!(title(code)));
    document.insert("status".into(), json!(status.as_u16()));
    document.insert("detail".into(), json!(error.message()));
    document.insert("code".into(), json!(code));
    if let Some(hint) = error.hint() {
        document.insert("hint".into(), json!(hint));
    }
    document.insert("query_id".into(), json!(id));
    Value::Object(document)
}

fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
