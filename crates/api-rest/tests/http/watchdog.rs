//! A process that has more memory than it should, by an injected reading.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::{
    server::{RESIDENT_LIMIT, sql_request},
    workgroups::{SILENT, Stage},
};

/// Keeps the rows of its first table in memory, which are far fewer than those of `SILENT`.
const SMALL: &str =
    "SELECT count(*) FROM generate_series(1, 100) a, generate_series(1, 10000000000) b WHERE a.value + b.value = 7";

/// Waits until a query has reserved more than this.
async fn grows_above(stage: &Stage, id: &str, bytes: u64) {
    for _ in 0..6000 {
        if stage.state(id).await["statistics"]["peak_memory_bytes"].as_u64().unwrap() > bytes {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not grow: {}", stage.state(id).await);
}

#[tokio::test]
async fn the_largest_query_ends_first_and_nothing_begins_meanwhile() {
    let stage = Stage::set(json!({})).await;
    let small = stage.submit(SMALL).await;
    stage.becomes(&small, "RUNNING").await;
    let large = stage.submit(SILENT).await;
    stage.becomes(&large, "RUNNING").await;
    grows_above(&stage, &large, 1 << 20).await;

    let query = &stage.server.query;
    assert_eq!(query.watch_memory(RESIDENT_LIMIT).await, None);
    assert_eq!(query.watch_memory(RESIDENT_LIMIT + 1).await.map(|id| id.to_string()), Some(large.clone()));
    let failed = stage.becomes(&large, "FAILED").await;
    assert_eq!(failed["error"]["code"], "memory_pressure");
    let detail = failed["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("workgroup `w`: resident_memory = 1.00 TiB"), "{detail}");
    assert_eq!(query.watch_memory(RESIDENT_LIMIT + 1).await, None, "its memory comes back in a while");
    assert_eq!(stage.state(&small).await["state"], "RUNNING");

    let next = stage.submit("SELECT 1 AS one").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stage.state(&next).await["state"], "QUEUED");
    assert_eq!(query.watch_memory(RESIDENT_LIMIT).await, None);
    stage.becomes(&next, "SUCCEEDED").await;
    assert_eq!(stage.delete(&stage.user, &format!("/v1/queries/{small}")).await.status, 200);
    stage.becomes(&small, "CANCELLED").await;
}

#[tokio::test]
async fn its_client_is_told_before_and_after_the_first_byte() {
    let stage = Stage::set(json!({})).await;
    let kill = async {
        while stage.server.query.access().running() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while stage.server.query.watch_memory(RESIDENT_LIMIT + 1).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (answer, ()) = tokio::join!(stage.sql(SILENT), kill);
    assert_eq!(answer.problem(), (503, "memory_pressure".into()), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(stage.server.query.watch_memory(0).await, None);

    let mut body = stage.endless(&stage.user).await;
    while stage.server.query.watch_memory(RESIDENT_LIMIT + 1).await.is_none() {
        assert!(body.next().await.unwrap().is_ok());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    let last = String::from_utf8(text).unwrap().lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["error"]["code"], "memory_pressure");
    assert_eq!(stage.server.query.watch_memory(0).await, None);
    let list =
        stage.server.send_as(&stage.root, sql_request("/v1/sql", "SELECT count(*) AS n FROM system.running")).await;
    assert_eq!(list.status, 200);
}
