//! What stores answer, and the kinds that come of it.

use object_store::Error as StoreError;

use super::*;

/// The text that object_store prints for an answer with this status and body.
fn answer(status: &str, body: &str) -> Box<dyn StdError + Send + Sync> {
    format!("Error performing GET http://h/b/k in 1ms - Server returned non-2xx status code: {status}: {body}").into()
}

fn s3_answer(status: &str, code: &str) -> Box<dyn StdError + Send + Sync> {
    answer(status, &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>"))
}

fn kind(error: StoreError) -> ErrorKind {
    classify(error, &"s3://b/k").kind()
}

#[test]
fn codes_decide_before_statuses() {
    let path = || "k".to_owned();
    let missing = |source| StoreError::NotFound { path: path(), source };
    let forbidden = |source| StoreError::PermissionDenied { path: path(), source };
    let generic = |source| StoreError::Generic { store: "S3", source };
    assert_eq!(kind(missing(s3_answer("404 Not Found", "NoSuchBucket"))), ErrorKind::BucketNotFound);
    assert_eq!(kind(missing(s3_answer("404 Not Found", "NoSuchKey"))), ErrorKind::ObjectNotFound);
    assert_eq!(kind(missing(answer("404 Not Found", ""))), ErrorKind::ObjectNotFound);
    assert_eq!(kind(forbidden(s3_answer("403 Forbidden", "AccessDenied"))), ErrorKind::StoreAccessDenied);
    assert_eq!(kind(forbidden(answer("403 Forbidden", ""))), ErrorKind::StoreAccessDenied);
    for code in ["SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed"] {
        assert_eq!(kind(forbidden(s3_answer("403 Forbidden", code))), ErrorKind::StoreWrongSignature, "{code}");
    }
    for code in ["ExpiredToken", "InvalidToken"] {
        assert_eq!(kind(generic(s3_answer("400 Bad Request", code))), ErrorKind::StoreTokenExpired, "{code}");
    }
    assert_eq!(kind(generic(s3_answer("503 Service Unavailable", "SlowDown"))), ErrorKind::StoreFailed);
    assert_eq!(kind(generic(answer("502 Bad Gateway", "<html>"))), ErrorKind::StoreFailed);
}

#[test]
fn messages_name_bucket_and_object_and_hints_the_variable() {
    let source = s3_answer("403 Forbidden", "InvalidAccessKeyId");
    let error = classify(StoreError::PermissionDenied { path: "t/x.parquet".into(), source }, &"s3://b/t/");
    assert_eq!(error.message(), "the store does not know the access key that asked for `s3://b/t/x.parquet`");
    assert!(error.hint().unwrap().contains("AWS_ACCESS_KEY_ID"));

    let source = s3_answer("404 Not Found", "NoSuchBucket");
    let error = classify(StoreError::NotFound { path: "t".into(), source }, &"s3://b/t/");
    assert_eq!(error.message(), "bucket `s3://b` does not exist");
}

#[test]
fn the_cause_is_found_below_other_errors() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    let inner = StoreError::NotFound { path: "k".into(), source: s3_answer("404 Not Found", "NoSuchBucket") };
    let outer = Outer(std::io::Error::other(inner));
    assert_eq!(classify_chain(&outer, &"s3://b/k").unwrap().kind(), ErrorKind::BucketNotFound);
    assert!(classify_chain(&Outer(std::io::Error::other("disk")), &"s3://b/k").is_none());
}

#[test]
fn our_own_refusals_come_back_as_they_were() {
    let ours = Error::new(ErrorKind::LocationNotAllowed, "no").with_hint("Ask.");
    let error = classify(StoreError::PermissionDenied { path: "k".into(), source: Box::new(ours) }, &"s3://b/k");
    assert_eq!((error.kind(), error.message(), error.hint()), (ErrorKind::LocationNotAllowed, "no", Some("Ask.")));
}
