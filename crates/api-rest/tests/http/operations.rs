//! `/health`, `/ready`, `/metrics`.

use std::sync::atomic::Ordering;

use crate::server::Server;

#[tokio::test]
async fn readiness_follows_start_and_drain() {
    let server = Server::start().await;
    assert_eq!(server.get("/ready").await.status, 200);
    server.ready.store(false, Ordering::Release);
    let starting = server.get("/ready").await;
    assert_eq!(starting.problem(), (503, "unavailable".into()));
    assert_eq!(starting.header("retry-after"), "1");
    assert_eq!(server.get("/health").await.json()["status"], "ok");
    server.ready.store(true, Ordering::Release);
    server.query.access().drain(std::time::Duration::ZERO).await;
    assert_eq!(server.get("/ready").await.problem(), (503, "unavailable".into()));
    assert_eq!(server.sql("SELECT 1").await.problem(), (503, "unavailable".into()));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = Server::start().await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
}
