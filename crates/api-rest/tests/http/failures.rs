//! Results that break off, clients that go away.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use futures::StreamExt;
use tower::ServiceExt;

use crate::server::{Server, sql_request};

/// Rows come, and far behind the first batch one divides by zero.
const FAILS_LATE: &str = "SELECT value, 10 / (value - 50000) AS x FROM generate_series(1, 100000)";
/// Rows come for as long as anyone takes them.
const ENDLESS: &str =
    "SELECT a.value AS a, b.value AS b FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

#[tokio::test]
async fn a_late_failure_is_the_last_member_of_json() {
    let server = Server::start().await;
    let answer = server.sql(FAILS_LATE).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = answer.json();
    let rows = document["data"].as_array().unwrap().len();
    assert!((1..100_000).contains(&rows));
    assert_eq!(document.as_object().unwrap().keys().next_back().unwrap(), "error");
    assert_eq!(document["error"]["code"], "invalid_value");
    assert_eq!(document["error"]["query_id"], answer.header("x-query-id"));
    assert!(document.get("row_count").is_none());
}

#[tokio::test]
async fn a_late_failure_is_the_last_record_of_ndjson() {
    let server = Server::start().await;
    let answer = server.send(sql_request("/v1/sql?format=ndjson", FAILS_LATE)).await;
    let text = answer.text();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "invalid_value");
}

#[tokio::test]
async fn a_late_failure_breaks_the_other_formats_off() {
    let server = Server::start().await;
    for format in ["csv", "arrow", "parquet"] {
        let request = sql_request(&format!("/v1/sql?format={format}"), FAILS_LATE);
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(to_bytes(response.into_body(), usize::MAX).await.is_err(), "{format} ended as if it were whole");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_byte_has_its_own_status() {
    let server = Server::start().await;
    let answer = server.sql("SELECT 10 / (id - 3) FROM trips").await;
    assert_eq!(answer.problem(), (422, "invalid_value".into()));
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_query() {
    let server = Server::start().await;
    let request = sql_request("/v1/sql?format=ndjson", ENDLESS);
    let response = server.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    assert!(!body.next().await.unwrap().unwrap().is_empty());
    assert_eq!(server.query.access().running(), 1);
    drop(body);
    assert!(server.becomes_idle().await, "the query still runs");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let settings = lakebed_api_rest::RestSettings {
        idle_client: std::time::Duration::from_millis(50),
        ..lakebed_api_rest::RestSettings::default()
    };
    let server = Server::with(settings).await;
    let request = sql_request("/v1/sql?format=json", ENDLESS);
    let response = server.router.clone().oneshot(request).await.unwrap();
    assert!(server.becomes_idle().await, "the query waits for a client that does not read");
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err(), "what was sent looks whole");
}

#[tokio::test]
async fn compressed_bodies_break_off_too_and_read_back_otherwise() {
    use std::io::Read;
    let server = Server::start().await;
    let ask = async |sql: &str, coding: &str| {
        let request =
            Request::post("/v1/sql?format=csv").header("accept-encoding", coding).body(Body::from(sql.to_owned()));
        server.router.clone().oneshot(request.unwrap()).await.unwrap()
    };
    let whole = "SELECT value FROM generate_series(1, 5000)";
    let plain = to_bytes(ask(whole, "identity").await.into_body(), usize::MAX).await.unwrap();
    for coding in ["gzip", "zstd"] {
        let response = ask(whole, coding).await;
        assert_eq!(response.headers()["content-encoding"], coding);
        let sent = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(sent.len() < plain.len());
        let mut read = Vec::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut read).unwrap(),
            _ => zstd::Decoder::new(&sent[..]).unwrap().read_to_end(&mut read).unwrap(),
        };
        assert_eq!(read, plain);
        assert!(to_bytes(ask(FAILS_LATE, coding).await.into_body(), usize::MAX).await.is_err());
    }
}
