//! Errors over gRPC: the one place that maps kinds to codes, and their details (`google.rpc.Status`).

use std::{collections::HashMap, time::Duration};

use lakebed_types::{Error, ErrorKind, QueryId};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Whose reasons the error details name.
const DOMAIN: &str = "lakebed";
/// What a client that came at a full moment is told to wait, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The code of an error.
pub(crate) fn code(kind: ErrorKind) -> Code {
    use ErrorKind as K;
    match kind {
        K::InvalidRequest | K::SyntaxError | K::InvalidQuery | K::QueryTooComplex => Code::InvalidArgument,
        K::UnknownColumn | K::InvalidValue => Code::InvalidArgument,
        K::Unauthenticated => Code::Unauthenticated,
        K::PermissionDenied | K::LocationNotAllowed => Code::PermissionDenied,
        K::DatabaseNotFound | K::TableNotFound | K::NotFound | K::BucketNotFound | K::ObjectNotFound => Code::NotFound,
        K::Expired => Code::NotFound,
        K::AlreadyExists => Code::AlreadyExists,
        K::Conflict | K::SchemaConflict => Code::FailedPrecondition,
        K::StoreAccessDenied | K::StoreWrongSignature | K::StoreTokenExpired => Code::FailedPrecondition,
        K::Cancelled => Code::Cancelled,
        K::Interrupted => Code::Aborted,
        K::CorruptFile => Code::DataLoss,
        K::Unsupported => Code::Unimplemented,
        K::RequestTooLarge | K::MemoryExhausted | K::SpillExhausted | K::ResultTooLarge | K::ScanTooLarge => {
            Code::ResourceExhausted
        }
        K::TooManyLogins | K::TooManyRequests | K::BudgetExhausted | K::QueueFull | K::QueueTimeout | K::IngestBusy => {
            Code::ResourceExhausted
        }
        K::Unavailable | K::MemoryPressure | K::StoreUnreachable | K::StoreFailed => Code::Unavailable,
        K::DeadlineExceeded => Code::DeadlineExceeded,
        K::DiskFailed | K::Internal => Code::Internal,
    }
}

/// Whether the same may succeed after a while.
fn wait(error: &Error) -> Option<Duration> {
    use ErrorKind as K;
    let may = matches!(
        error.kind(),
        K::TooManyLogins | K::TooManyRequests | K::BudgetExhausted | K::QueueFull | K::QueueTimeout
    ) || matches!(error.kind(), K::Unavailable | K::MemoryPressure | K::IngestBusy);
    may.then(|| error.retry_after().unwrap_or(RETRY_AFTER))
}

/// Result of a call.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    query: Option<QueryId>,
}

impl Failure {
    /// An error of a query that has an id already.
    pub(crate) fn of(error: Error, query: QueryId) -> Self {
        Self { error, query: Some(query) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, query: None }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        status(&failure.error, failure.query)
    }
}

fn status(error: &Error, query: Option<QueryId>) -> Status {
    metrics::counter!("lakebed_flight_errors_total", "code" => error.kind().code()).increment(1);
    if error.kind() == ErrorKind::Internal {
        tracing::error!(query_id = query.map(tracing::field::display), ?error, "a call failed");
    }
    let mut metadata = HashMap::new();
    if let Some(hint) = error.hint() {
        metadata.insert("hint".to_owned(), hint.to_owned());
    }
    if let Some(query) = query {
        metadata.insert("query_id".to_owned(), query.to_string());
    }
    let mut details = ErrorDetails::with_error_info(error.kind().code(), DOMAIN, metadata);
    if let Some(wait) = wait(error) {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(code(error.kind()), message(error), details)
}

/// Most clients show their user nothing but this.
fn message(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}. {hint}", error.message()),
        None => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_say_what_a_problem_document_says() {
        let error = Error::new(ErrorKind::QueueFull, "64 queries wait already").with_hint("Try again.");
        let status = Status::from(Failure::of(error, QueryId::random()));
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::ResourceExhausted, "queue_full"));
        assert_eq!((info.domain.as_str(), info.metadata["hint"].as_str()), ("lakebed", "Try again."));
        assert!(info.metadata.contains_key("query_id"));
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(RETRY_AFTER));
        assert_eq!(status.message(), "64 queries wait already. Try again.");
    }

    #[test]
    fn nothing_is_ok_or_unknown() {
        for kind in ErrorKind::ALL {
            assert!(!matches!(code(*kind), Code::Ok | Code::Unknown), "{kind:?}");
        }
    }
}
