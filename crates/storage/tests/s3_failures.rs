//! What can be wrong with an S3 store: each its own kind of error, at every operation, with a message that names it.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

use std::time::Duration;

use futures::TryStreamExt;
use lakebed_storage::{Location, Mode, Storage, StorageSettings, classify};
use lakebed_testkit::{CannedServer, S3Key, S3Server};
use lakebed_types::{Error, ErrorKind};
use object_store::{ObjectStoreExt, PutPayload};

fn location(text: &str) -> Location {
    Location::parse(text).unwrap()
}

fn storage(settings: StorageSettings, bucket: &str) -> Storage {
    let storage = Storage::new(settings);
    storage.allow(&location(bucket), Mode::ReadWrite).unwrap();
    storage
}

/// The errors of LIST, HEAD, GET and PUT in this bucket.
async fn errors(storage: &Storage, bucket: &str) -> [Error; 4] {
    let object = location(&format!("{bucket}t/x.parquet"));
    let store = storage.store(&object).unwrap();
    let payload = PutPayload::from_static(b"x");
    [
        storage.list(&location(&format!("{bucket}t/"))).try_next().await.unwrap_err(),
        storage.head(&object).await.unwrap_err(),
        classify(store.get(object.path()).await.map(|_| ()).unwrap_err(), &object),
        classify(store.put(object.path(), payload).await.map(|_| ()).unwrap_err(), &object),
    ]
}

#[track_caller]
fn all_are(errors: &[Error], kind: ErrorKind, names: &str) {
    for error in errors {
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(names), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

fn with_key(server: &S3Server, id: &str, secret: &str) -> StorageSettings {
    StorageSettings { options: server.options(id, secret), ..StorageSettings::default() }
}

#[tokio::test]
async fn a_real_server() {
    let Some(mut server) = S3Server::start().unwrap() else { return };
    server.create_bucket("lake").unwrap();
    let admin = storage(server.settings(S3Key::Admin), "s3://lake/");
    let object = location("s3://lake/t/x.parquet");
    admin.store(&object).unwrap().put(object.path(), PutPayload::from_static(b"x")).await.unwrap();

    let wrong_secret = storage(with_key(&server, S3Key::Admin.id(), "wrong"), "s3://lake/");
    let found = errors(&wrong_secret, "s3://lake/").await;
    all_are(&found, ErrorKind::StoreWrongSignature, "s3://lake/t/");
    assert!(found.iter().all(|error| error.hint().unwrap().contains("AWS_SECRET_ACCESS_KEY")));

    let unknown_key = storage(with_key(&server, "nobody", "secret"), "s3://lake/");
    let found = errors(&unknown_key, "s3://lake/").await;
    all_are(&found, ErrorKind::StoreWrongSignature, "s3://lake/t/");
    assert!(found.iter().all(|error| error.hint().unwrap().contains("AWS_ACCESS_KEY_ID")));

    let wrong_bucket = storage(server.settings(S3Key::Admin), "s3://lakee/");
    all_are(&errors(&wrong_bucket, "s3://lakee/").await, ErrorKind::BucketNotFound, "`s3://lakee`");

    let reader = storage(server.settings(S3Key::Reader), "s3://lake/");
    assert_eq!(reader.head(&object).await.unwrap().size, 1);
    let store = reader.store(&object).unwrap();
    let written = store.put(object.path(), PutPayload::from_static(b"y")).await.map(|_| ()).unwrap_err();
    all_are(&[classify(written, &object)], ErrorKind::StoreAccessDenied, "s3://lake/t/x.parquet");

    server.create_bucket("empty").unwrap();
    let empty = storage(server.settings(S3Key::Admin), "s3://empty/");
    assert_eq!(empty.list(&location("s3://empty/")).try_collect::<Vec<_>>().await.unwrap(), []);

    server.stop().unwrap();
    all_are(&errors(&admin, "s3://lake/").await, ErrorKind::StoreUnreachable, "s3://lake/t/");
}

/// What the store says, and what the caller is told.
#[tokio::test]
async fn answers_that_a_test_server_does_not_give() {
    for (status, code, kind) in [
        (400, "ExpiredToken", ErrorKind::StoreTokenExpired),
        (403, "ExpiredToken", ErrorKind::StoreTokenExpired),
        (400, "InvalidToken", ErrorKind::StoreTokenExpired),
        (403, "RequestTimeTooSkewed", ErrorKind::StoreWrongSignature),
        (400, "AuthorizationHeaderMalformed", ErrorKind::StoreWrongSignature),
        (500, "InternalError", ErrorKind::StoreFailed),
        (503, "SlowDown", ErrorKind::StoreFailed),
    ] {
        let server = CannedServer::s3_error(status, code).unwrap();
        let found = errors(&storage(client_of(&server.endpoint(), 0), "s3://lake/"), "s3://lake/").await;
        all_are(&found, kind, "s3://lake/t/");
    }
}

fn client_of(endpoint: &str, retry_limit: usize) -> StorageSettings {
    let options = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", ""),
        ("AWS_PAGER", "less"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    StorageSettings { options, retry_limit, ..StorageSettings::default() }
}

#[tokio::test]
async fn retries_are_bounded() {
    let server = CannedServer::s3_error(503, "SlowDown").unwrap();
    let storage = storage(client_of(&server.endpoint(), 2), "s3://lake/");
    let error = storage.list(&location("s3://lake/")).try_next().await.unwrap_err();
    assert_eq!((error.kind(), server.requests()), (ErrorKind::StoreFailed, 3));
}

/// A server that takes the connection and says nothing.
#[tokio::test]
async fn silence_has_an_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = StorageSettings { request_timeout: Duration::from_millis(200), ..client_of(&endpoint, 1) };
    all_are(&errors(&storage(settings, "s3://lake/"), "s3://lake/").await, ErrorKind::StoreUnreachable, "s3://lake/t/");
}

/// As on a laptop: no keys, and no metadata service where it should be.
#[tokio::test]
async fn no_credentials_at_all() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for option in [("aws_metadata_endpoint", format!("http://{closed}")), ("AWS_EC2_METADATA_DISABLED", "true".into())]
    {
        let settings = StorageSettings { options: vec![(option.0.to_owned(), option.1)], ..StorageSettings::default() };
        let found = errors(&storage(settings, "s3://lake/"), "s3://lake/").await;
        all_are(&found, ErrorKind::StoreWrongSignature, "no AWS credentials were found for bucket `s3://lake`");
        assert!(found[0].hint().unwrap().contains("AWS_SKIP_SIGNATURE"));
    }
}

#[tokio::test]
async fn half_of_the_credentials() {
    let options = vec![("aws_access_key_id".to_owned(), "key".to_owned())];
    let storage = Storage::new(StorageSettings { options, ..StorageSettings::default() });
    let error = storage.allow(&location("s3://lake/"), Mode::Read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.hint().unwrap().contains("AWS_SECRET_ACCESS_KEY"));
}
