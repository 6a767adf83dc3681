//! What holds for every route.

use axum::{body::Body, http::Request};
use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Server::start().await;
    assert_eq!(server.get("/nowhere").await.problem(), (404, "not_found".into()));
    assert_eq!(server.get("/docs/nowhere.js").await.problem(), (404, "not_found".into()));
    let answer = server.delete("/v1/sql").await;
    assert_eq!(answer.problem(), (405, "invalid_request".into()));
    assert!(answer.header("allow").contains("POST"), "{}", answer.header("allow"));
}

#[tokio::test]
async fn options_tells_the_methods_and_allows_no_other_origin() {
    let server = Server::start().await;
    let request =
        Request::options("/v1/sql").header("origin", "https://elsewhere.example").body(Body::empty()).unwrap();
    let answer = server.send(request).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("allow").contains("GET") && answer.header("allow").contains("POST"));
    assert!(answer.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn every_answer_has_an_id_and_timing() {
    let server = Server::start().await;
    for path in ["/health", "/nowhere", "/v1/databases", "/"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-query-id").len(), 36, "{path}");
        assert!(answer.headers.contains_key("server-timing"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    assert_ne!(server.get("/health").await.header("x-query-id"), server.get("/health").await.header("x-query-id"));
}

#[tokio::test]
async fn bodies_and_headers_are_bounded() {
    let server = Server::start().await;
    let large = server.sql(&format!("SELECT '{}'", "x".repeat(2 << 20))).await;
    assert_eq!(large.problem(), (413, "request_too_large".into()));
    let large = server.post("/query", json!({"query": "x".repeat(2 << 20)})).await;
    assert_eq!(large.problem(), (413, "request_too_large".into()));
    let request = Request::get("/health").header("x-large", "x".repeat(40_000)).body(Body::empty()).unwrap();
    assert_eq!(server.send(request).await.problem(), (431, "request_too_large".into()));
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let server = Server::start().await;
    let request = |site: &str| {
        Request::post("/v1/sql")
            .header("content-type", "text/plain")
            .header("sec-fetch-site", site)
            .body(Body::from("SELECT 1"))
    };
    assert_eq!(server.send(request("cross-site").unwrap()).await.problem(), (403, "permission_denied".into()));
    assert_eq!(server.send(request("same-origin").unwrap()).await.status, 200);
}

#[tokio::test]
async fn whole_answers_are_compressed_when_large() {
    let server = Server::start().await;
    let get = async |path: &str| {
        server.send(Request::get(path).header("accept-encoding", "gzip").body(Body::empty()).unwrap()).await
    };
    assert_eq!(get("/openapi.json").await.header("content-encoding"), "gzip");
    assert_eq!(get("/health").await.header("content-encoding"), "");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    let answer = server.send(Request::head("/health").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}
