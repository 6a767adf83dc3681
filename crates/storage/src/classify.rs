//! An object store's error, in our words.

use std::{error::Error as StdError, fmt::Display};

use lakebed_types::{Error, ErrorKind};
use object_store::client::HttpErrorKind;

use crate::s3_error::StoreFacts;

/// Turns an object store's error into ours: which bucket or object, and which of bucket_not_found,
/// object_not_found, store_access_denied, store_wrong_signature, store_token_expired, store_unreachable,
/// store_failed, location_not_allowed. Finds the cause also through layers of DataFusion's and Parquet's errors
/// (walks `source()`).
pub fn classify(error: object_store::Error, location: &impl Display) -> Error {
    explain(&error, &location.to_string()).with_source(error)
}

/// The same for any error whose chain of sources may hold an object store's error; None if it holds none.
pub fn classify_chain(error: &(dyn StdError + 'static), location: &impl Display) -> Option<Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<object_store::Error>() {
            return Some(explain(found, &location.to_string()).with_source(found.to_string()));
        }
        // An I/O error's source is what stands below the error that it wraps.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| cause.source());
    }
    None
}

fn explain(error: &object_store::Error, location: &str) -> Error {
    let facts = StoreFacts::of(error);
    if let Some(ours) = facts.ours {
        let same = Error::new(ours.kind(), ours.message());
        return match ours.hint() {
            Some(hint) => same.with_hint(hint),
            None => same,
        };
    }
    let place = Place::new(location, error);
    by_code(&facts, &place)
        .or_else(|| by_connection(&facts, &place))
        .or_else(|| by_file_system(&facts, &place))
        .unwrap_or_else(|| by_variant(error, &facts, &place))
}

/// What the message names.
struct Place {
    store: String,
    object: String,
}

impl Place {
    /// Names the object that the store's error names, where the caller knew only its folder.
    fn new(location: &str, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let (scheme, rest) = location.split_once("://").unwrap_or(("", location));
        let bucket = rest.split('/').next().unwrap_or_default();
        let store = if scheme.is_empty() { location.to_owned() } else { format!("{scheme}://{bucket}") };
        let path = match error {
            E::NotFound { path, .. } | E::PermissionDenied { path, .. } | E::AlreadyExists { path, .. } => path,
            _ => "",
        };
        let path = path.trim_start_matches('/');
        let known = path.is_empty() || path.contains("://") || scheme.is_empty() || location.contains(path);
        let object = if known { location.to_owned() } else { format!("{store}/{path}") };
        Self { store, object }
    }

    fn is_s3(&self) -> bool {
        self.store.starts_with("s3://")
    }

    fn is_local(&self) -> bool {
        self.store.starts_with("file://")
    }

    /// Where this store's credentials come from, as the end of a hint.
    fn credentials(&self) -> &'static str {
        match self.store.split("://").next() {
            Some("gs") => "GOOGLE_APPLICATION_CREDENTIALS",
            Some("az") => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
            _ => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        }
    }
}

fn by_code(facts: &StoreFacts<'_>, place: &Place) -> Option<Error> {
    let object = &place.object;
    Some(match facts.code.as_deref()? {
        "NoSuchBucket" | "ContainerNotFound" => {
            Error::new(ErrorKind::BucketNotFound, format!("bucket `{}` does not exist", place.store)).with_hint(
                match place.is_s3() {
                    true => "Check the bucket's name, the region (AWS_REGION) and the endpoint (AWS_ENDPOINT_URL).",
                    false => "Check the bucket's name.",
                },
            )
        }
        "InvalidBucketName" => {
            Error::new(ErrorKind::BucketNotFound, format!("`{}` is not a bucket's name for this store", place.store))
        }
        "NoSuchKey" | "BlobNotFound" => not_found(object),
        "AccessDenied" | "AuthorizationPermissionMismatch" | "AllAccessDisabled" | "AccountProblem" => denied(object),
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" => {
            Error::new(ErrorKind::StoreTokenExpired, format!("the session token for `{object}` is no longer valid"))
                .with_hint(match place.is_s3() {
                    true => "Renew AWS_SESSION_TOKEN together with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
                    false => "Renew the token.",
                })
        }
        "SlowDown" | "ServerBusy" | "TooManyRequests" => {
            Error::new(ErrorKind::StoreFailed, format!("the store of `{object}` asks to send fewer requests"))
                .with_hint("Try again later, or allow fewer connections at once.")
        }
        code => return by_signature_code(code, place),
    })
}

fn by_signature_code(code: &str, place: &Place) -> Option<Error> {
    let object = &place.object;
    Some(match code {
        "InvalidAccessKeyId" => {
            wrong_signature(format!("the store does not know the access key that asked for `{object}`"))
                .with_hint("Check AWS_ACCESS_KEY_ID, and that AWS_ENDPOINT_URL is the store that issued it.")
        }
        "SignatureDoesNotMatch" | "AuthenticationFailed" => {
            wrong_signature(format!("the store refused the signature of the request for `{object}`"))
                .with_hint(format!("The key is known, the secret does not fit it: check {}.", place.credentials()))
        }
        "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            wrong_signature(format!("the request for `{object}` was signed for another region"))
                .with_hint("Set AWS_REGION to the bucket's region.")
        }
        "RequestTimeTooSkewed" | "RequestExpired" => {
            wrong_signature(format!("the store refused the time of the request for `{object}`"))
                .with_hint("Set this machine's clock: it differs from the store's by more than the store accepts.")
        }
        _ => return None,
    })
}

fn by_connection(facts: &StoreFacts<'_>, place: &Place) -> Option<Error> {
    let what = match facts.http? {
        HttpErrorKind::Connect => "cannot connect to the store of",
        HttpErrorKind::Timeout => "no answer in time from the store of",
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "the connection broke to the store of",
        _ => return None,
    };
    let hint = match place.is_s3() {
        true => "Check that the server runs, the network, and AWS_ENDPOINT_URL and AWS_REGION.",
        false => "Check that the server runs, and the network.",
    };
    Some(Error::new(ErrorKind::StoreUnreachable, format!("{what} `{}`", place.object)).with_hint(hint))
}

fn by_file_system(facts: &StoreFacts<'_>, place: &Place) -> Option<Error> {
    use std::io::ErrorKind as Io;
    let object = &place.object;
    Some(match facts.io? {
        _ if !place.is_local() => return None,
        Io::NotFound | Io::NotADirectory => not_found(object),
        Io::PermissionDenied => {
            Error::new(ErrorKind::StoreAccessDenied, format!("this process may not open `{object}`"))
                .with_hint("Check the owner and the mode of the file and of the folders above it.")
        }
        Io::IsADirectory => Error::new(ErrorKind::ObjectNotFound, format!("`{object}` is a folder, not a file"))
            .with_hint("End the path with a slash to name the folder."),
        Io::AlreadyExists => return None,
        Io::StorageFull | Io::QuotaExceeded => {
            Error::new(ErrorKind::DiskFailed, format!("no space is left to write `{object}`"))
        }
        other => Error::new(ErrorKind::DiskFailed, format!("the disk failed at `{object}`: {other}")),
    })
}

fn by_variant(error: &object_store::Error, facts: &StoreFacts<'_>, place: &Place) -> Error {
    use object_store::Error as E;
    let object = &place.object;
    match error {
        E::NotFound { .. } => not_found(object),
        E::PermissionDenied { .. } => denied(object),
        E::Unauthenticated { .. } => {
            wrong_signature(format!("the store does not accept the credentials for `{object}`"))
                .with_hint(format!("Check {}.", place.credentials()))
        }
        E::AlreadyExists { .. } => Error::new(ErrorKind::AlreadyExists, format!("`{object}` exists already")),
        E::Precondition { .. } | E::NotModified { .. } => {
            Error::new(ErrorKind::Conflict, format!("`{object}` was changed in the meantime"))
        }
        E::InvalidPath { source } => {
            Error::invalid_request(format!("a name at `{object}` cannot be used as a path: {source}"))
        }
        E::NotSupported { .. } | E::NotImplemented { .. } => {
            Error::new(ErrorKind::Unsupported, format!("the store of `{object}` does not offer this operation"))
        }
        E::JoinError { .. } => Error::internal(format!("a task that worked on `{object}` ended early")),
        _ if error.to_string().contains("redirect without LOCATION") => {
            Error::new(ErrorKind::StoreFailed, format!("the store sends the request for `{object}` to another region"))
                .with_hint("Set AWS_REGION to the bucket's region.")
        }
        _ => {
            let answer = facts.status.map(|status| format!(" with status {status}")).unwrap_or_default();
            Error::new(ErrorKind::StoreFailed, format!("the store failed at `{object}`{answer}"))
                .with_hint("The server's log has the store's own words.")
        }
    }
}

fn not_found(object: &str) -> Error {
    Error::new(ErrorKind::ObjectNotFound, format!("`{object}` does not exist"))
}

fn denied(object: &str) -> Error {
    Error::new(ErrorKind::StoreAccessDenied, format!("access to `{object}` is denied"))
        .with_hint("The credentials are accepted but lack this right: check the policies of the key and the bucket.")
}

fn wrong_signature(message: String) -> Error {
    Error::new(ErrorKind::StoreWrongSignature, message)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
