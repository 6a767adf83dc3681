//! The one error type and its closed list of kinds.
//!
//! A kind says what the caller can do about it. Every API projects the same kind: its code is the
//! `code` member of problem documents, and each API keeps one file that maps kinds to statuses.

use std::{fmt, time::Duration};

/// Result with the shared [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What went wrong, from the caller's point of view. A closed list, shared by every API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }

        impl ErrorKind {
            /// Every kind, in the order of the reference page.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The stable word for this kind, as in a problem document's `code`.
            pub fn code(self) -> &'static str {
                match self { $(ErrorKind::$name => $code,)* }
            }

            /// The kind with this code.
            pub fn from_code(code: &str) -> Option<ErrorKind> {
                match code { $($code => Some(ErrorKind::$name),)* _ => None }
            }
        }
    };
}

error_kinds! {
    /// A request that cannot be understood: a missing field, a wrong type, a bad option.
    InvalidRequest = "invalid_request",
    /// SQL text that does not parse.
    SyntaxError = "syntax_error",
    /// SQL that parses but means nothing: a type mismatch, a wrong argument, an ambiguous name.
    InvalidQuery = "invalid_query",
    /// SQL longer, deeper or wider than the limits on the syntax tree.
    QueryTooComplex = "query_too_complex",
    /// A column or function that does not exist.
    UnknownColumn = "unknown_column",
    /// No such database, as this principal sees the catalog.
    DatabaseNotFound = "database_not_found",
    /// No such table or view, as this principal sees the catalog.
    TableNotFound = "table_not_found",
    /// No such query, crawler, run, key, workgroup or page.
    NotFound = "not_found",
    /// The name is taken.
    AlreadyExists = "already_exists",
    /// The state forbids it: a database that is not empty, a result that is not there yet.
    Conflict = "conflict",
    /// A value in the data or a row operation failed: a cast, a division by zero, an overflow.
    InvalidValue = "invalid_value",
    /// Columns of files that cannot be brought to one type.
    SchemaConflict = "schema_conflict",
    /// A file that is not what it claims to be, or is damaged.
    CorruptFile = "corrupt_file",
    /// Understood, and not offered.
    Unsupported = "unsupported",
    /// No credentials, or wrong ones.
    Unauthenticated = "unauthenticated",
    /// Wrong credentials, after too many wrong ones in a short time.
    TooManyLogins = "too_many_logins",
    /// The principal may not do this.
    PermissionDenied = "permission_denied",
    /// A path or URL outside the configured locations.
    LocationNotAllowed = "location_not_allowed",
    /// The object store has no such bucket (or container, or root folder).
    BucketNotFound = "bucket_not_found",
    /// The object store has no such object.
    ObjectNotFound = "object_not_found",
    /// The object store refused: the credentials are good, the right is missing.
    StoreAccessDenied = "store_access_denied",
    /// The object store does not know the key, or the signature is wrong.
    StoreWrongSignature = "store_wrong_signature",
    /// The object store says that the session token has expired.
    StoreTokenExpired = "store_token_expired",
    /// The object store cannot be reached, or did not answer in time.
    StoreUnreachable = "store_unreachable",
    /// The object store answered with a fault of its own, after all retries.
    StoreFailed = "store_failed",
    /// The query used up its run time.
    DeadlineExceeded = "deadline_exceeded",
    /// Someone asked for the query to stop.
    Cancelled = "cancelled",
    /// The server stopped while the query ran or waited.
    Interrupted = "interrupted",
    /// The query needs more memory than it may have.
    MemoryExhausted = "memory_exhausted",
    /// The query spilled more to disk than it may.
    SpillExhausted = "spill_exhausted",
    /// The result has more rows or bytes than it may.
    ResultTooLarge = "result_too_large",
    /// The query would read more than it may, or has.
    ScanTooLarge = "scan_too_large",
    /// The workgroup has read as much as it may today or this month.
    BudgetExhausted = "budget_exhausted",
    /// The request's body or header is larger than it may be.
    RequestTooLarge = "request_too_large",
    /// More requests in a second than the workgroup may send.
    TooManyRequests = "too_many_requests",
    /// Too many queries wait already.
    QueueFull = "queue_full",
    /// The query waited for its turn longer than it may.
    QueueTimeout = "queue_timeout",
    /// Rows come in faster than they can be flushed: memory, log or disk are full for now.
    IngestBusy = "ingest_busy",
    /// The server ran short of memory, and this was its largest query.
    MemoryPressure = "memory_pressure",
    /// Starting, draining or starved: try again later, or elsewhere.
    Unavailable = "unavailable",
    /// A result that was there and whose lifetime has ended.
    Expired = "expired",
    /// A local disk failed or is full.
    DiskFailed = "disk_failed",
    /// Our own fault. The log knows more, by query id.
    Internal = "internal",
}

/// An error with a kind for programs, a message and a hint for people, and a cause for the log.
///
/// Messages name the object, begin in lower case and carry no full stop. A hint is a sentence that
/// says what to do next. The source is logged where the error is handled and never sent out.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None, retry_after: None, source: None }))
    }

    /// Our own fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A request that cannot be understood.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// Adds what to do next: one sentence.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds when the same may succeed, where that is known.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts what was being done before the message: `{context}: {message}`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, naming the object.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, where there is something.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// After what time the same may succeed, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.code(), self.0.message)?;
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            write!(f, " <- {source}")?;
            cause = source.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_round_trip() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_code(kind.code()), Some(*kind));
        }
    }

    #[test]
    fn context_comes_first_and_the_source_stays_out_of_the_message() {
        let error = Error::internal("footer is damaged").with_source("secret").context("reading a.parquet");
        assert_eq!(error.to_string(), "reading a.parquet: footer is damaged");
        assert!(format!("{error:?}").contains("<- secret"));
    }
}
