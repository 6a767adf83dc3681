//! `/v1/workgroups`, and every limit: reached, and just not.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use futures::StreamExt;
use lakebed_access::Role;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::{Answer, Server, sql_request, with_json};

/// Rows come for as long as anyone takes them.
pub const ENDLESS: &str =
    "SELECT a.value AS a, b.value AS b FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
/// Computes for as long as it may, and gives no row.
pub const SILENT: &str =
    "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 7";
const IDS: &str = "SELECT id FROM trips";

/// A server with an administrator in `default` and a reader in the workgroup `w`.
pub struct Stage {
    pub server: Server,
    pub root: String,
    pub user: String,
}

impl Stage {
    pub async fn set(limits: Value) -> Self {
        let server = Server::start().await;
        let root = server.key("root", Role::Admin, &[]).await;
        let put = with_json(Request::put("/v1/workgroups/w"), &limits);
        assert_eq!(server.send_as(&root, put).await.status, 201);
        let user = server.key_in("w", "user", Role::Read, &[]).await;
        Self { server, root, user }
    }

    pub async fn limit(&self, limits: Value) {
        let put = with_json(Request::put("/v1/workgroups/w"), &limits);
        assert_eq!(self.server.send_as(&self.root, put).await.status, 200);
    }

    pub async fn sql(&self, sql: &str) -> Answer {
        self.server.sql_as(&self.user, sql).await
    }

    pub async fn submit(&self, sql: &str) -> String {
        let answer = self.server.send_as(&self.user, sql_request("/v1/queries", sql)).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["query_id"].as_str().unwrap().to_owned()
    }

    pub async fn state(&self, id: &str) -> Value {
        self.server.get_as(&self.user, &format!("/v1/queries/{id}")).await.json()
    }

    /// Waits until a query is in this state, for a minute at most.
    pub async fn becomes(&self, id: &str, state: &str) -> Value {
        for _ in 0..6000 {
            let execution = self.state(id).await;
            if execution["state"] == state {
                return execution;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("query {id} is not {state}: {}", self.state(id).await);
    }

    /// A query that runs until this is dropped.
    pub async fn endless(&self, key: &str) -> BodyDataStream {
        let mut request = sql_request("/v1/sql?format=ndjson", ENDLESS);
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        let response = self.server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body().into_data_stream();
        assert!(!body.next().await.unwrap().unwrap().is_empty());
        body
    }

    pub async fn delete(&self, key: &str, uri: &str) -> Answer {
        self.server.send_as(key, Request::delete(uri).body(Body::empty()).unwrap()).await
    }

    /// Bytes that `SELECT id FROM trips` scans: by the catalog, and really.
    async fn scanned(&self) -> (u64, u64) {
        let estimate = self.server.send_as(&self.root, sql_request("/v1/estimate", IDS)).await.json();
        let run = self.server.sql_as(&self.root, IDS).await.json();
        (estimate["bytes"].as_u64().unwrap(), run["statistics"]["bytes_scanned"].as_u64().unwrap())
    }

    async fn usage(&self) -> Value {
        self.server.get_as(&self.user, "/v1/workgroups/w").await.json()["usage"].clone()
    }
}

/// Status and code, and that the message ends with workgroup, limit and value.
#[track_caller]
fn assert_breach(answer: &Answer, status: u16, code: &str, limit: &str) {
    assert_eq!(answer.problem(), (status, code.into()), "{}", answer.text());
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with(&format!("(workgroup `w`: {limit})")), "{detail}");
    match status {
        429 | 503 => assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1),
        _ => assert_eq!(answer.header("retry-after"), ""),
    }
}

#[track_caller]
fn assert_whole(answer: &Answer, rows: usize) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = answer.json();
    assert_eq!((document["data"].as_array().unwrap().len(), &document["error"]), (rows, &Value::Null));
}

#[tokio::test]
async fn rows_of_a_result() {
    let stage = Stage::set(json!({"result_rows": 249})).await;
    assert_breach(&stage.sql(IDS).await, 422, "result_too_large", "result_rows = 249");
    let id = stage.submit(IDS).await;
    assert_eq!(stage.becomes(&id, "FAILED").await["error"]["code"], "result_too_large");
    stage.limit(json!({"result_rows": 250})).await;
    assert_whole(&stage.sql(IDS).await, 250);
}

#[tokio::test]
async fn rows_of_a_result_after_the_first_byte() {
    let stage = Stage::set(json!({"result_rows": 5000})).await;
    let answer = stage.sql("SELECT value FROM generate_series(1, 5001)").await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!(document["error"]["code"], "result_too_large", "a part is not passed off as the whole");
    assert!(document["row_count"].is_null());
    assert_whole(&stage.sql("SELECT value FROM generate_series(1, 5000)").await, 5000);
}

#[tokio::test]
async fn bytes_of_a_result() {
    // 250 integers of 8 bytes.
    let stage = Stage::set(json!({"result_bytes": 1999})).await;
    assert_breach(&stage.sql(IDS).await, 422, "result_too_large", "result_bytes = 1.95 KiB");
    stage.limit(json!({"result_bytes": 2000})).await;
    assert_whole(&stage.sql(IDS).await, 250);
    let texts =
        stage.sql("SELECT concat('a text of some length that no view holds inline ', name) AS t FROM trips").await;
    assert_breach(&texts, 422, "result_too_large", "result_bytes = 1.95 KiB");
}

#[tokio::test]
async fn bytes_scanned_by_a_query() {
    let stage = Stage::set(json!({})).await;
    let (estimated, scanned) = stage.scanned().await;
    assert!(scanned > 0 && estimated > 0);
    stage.limit(json!({"scan_bytes": estimated - 1})).await;
    let refused = stage.sql(IDS).await;
    assert_eq!(refused.problem(), (422, "scan_too_large".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("the query would scan") && detail.contains("`w`: scan_bytes = "), "{detail}");
    assert_eq!(stage.usage().await["day_scanned_bytes"], 0, "it did not run");
    let kept = stage.state(refused.header("x-query-id")).await;
    assert_eq!((&kept["state"], &kept["error"]["code"]), (&json!("FAILED"), &json!("scan_too_large")));
    stage.limit(json!({"scan_bytes": estimated.max(scanned)})).await;
    assert_whole(&stage.sql(IDS).await, 250);
    assert_eq!(stage.usage().await["day_scanned_bytes"], scanned);
}

#[tokio::test]
async fn bytes_scanned_in_a_day_and_in_a_month() {
    let stage = Stage::set(json!({})).await;
    let (estimated, scanned) = stage.scanned().await;
    for (limit, period) in [("scan_bytes_per_day", 86_400), ("scan_bytes_per_month", 31 * 86_400)] {
        let used = stage.usage().await["day_scanned_bytes"].as_u64().unwrap();
        let whole = used + scanned + estimated;
        stage.limit(json!({limit: whole})).await;
        assert_whole(&stage.sql(IDS).await, 250);
        assert_whole(&stage.sql(IDS).await, 250);
        let refused = stage.sql(IDS).await;
        assert_eq!(refused.problem(), (429, "budget_exhausted".into()), "{}", refused.text());
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("`w`: {limit} = ")), "{detail}");
        assert!((1..=period).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
        assert_whole(&stage.sql("SELECT 1 AS one").await, 1);
        assert_whole(&stage.server.sql_as(&stage.root, IDS).await, 250);
        stage.limit(json!({limit: whole + scanned + estimated})).await;
        assert_whole(&stage.sql(IDS).await, 250);
    }
}

#[tokio::test]
async fn run_time() {
    let stage = Stage::set(json!({"run_time_ms": 200, "run_time_background_ms": 300})).await;
    assert_breach(&stage.sql(SILENT).await, 504, "deadline_exceeded", "run_time = 0.2 s");
    let id = stage.submit(SILENT).await;
    let failed = stage.becomes(&id, "FAILED").await;
    assert_eq!(failed["error"]["code"], "deadline_exceeded");
    assert!(failed["error"]["detail"].as_str().unwrap().ends_with("(workgroup `w`: run_time_background = 0.3 s)"));
    stage.limit(json!({"run_time_ms": 60_000})).await;
    assert_whole(&stage.sql(IDS).await, 250);
}

#[tokio::test]
async fn queries_at_once_and_in_the_queue() {
    let stage = Stage::set(json!({"concurrent_queries": 1, "queue_length": 0})).await;
    assert_whole(&stage.sql("SELECT 1 AS one").await, 1);
    let first = stage.endless(&stage.user).await;
    assert_breach(&stage.sql(IDS).await, 429, "queue_full", "queue_length = 0");
    assert_whole(&stage.server.sql_as(&stage.root, IDS).await, 250);
    stage.limit(json!({"concurrent_queries": 1, "queue_length": 1, "queue_wait_ms": 50})).await;
    assert_breach(&stage.sql(IDS).await, 429, "queue_timeout", "queue_wait = 50ms");
    stage.limit(json!({"concurrent_queries": 2, "queue_length": 0})).await;
    assert_whole(&stage.sql(IDS).await, 250);
    drop(first);
    assert!(stage.server.becomes_idle().await);
}

#[tokio::test]
async fn who_waits_is_seen_and_let_in_by_a_change() {
    let stage = Stage::set(json!({"concurrent_queries": 1})).await;
    let first = stage.endless(&stage.user).await;
    let (second, third) = (stage.submit(IDS).await, stage.submit(SILENT).await);
    for _ in 0..6000 {
        if stage.state(&third).await["queue_position"] == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let waiting = stage.state(&second).await;
    assert_eq!((&waiting["state"], &waiting["queue_position"]), (&json!("QUEUED"), &json!(1)), "{waiting}");
    assert_eq!(waiting["workgroup"], "w");
    assert!(waiting["statistics"]["queue_ms"].as_f64().unwrap() > 0.0);
    let sql =
        "SELECT state, queue_position FROM system.running WHERE workgroup = 'w' ORDER BY queue_position NULLS FIRST";
    let running = stage.server.sql_as(&stage.root, sql).await.json()["data"].clone();
    let queued = |position: u64| json!({"state": "QUEUED", "queue_position": position});
    assert_eq!(running, json!([{"state": "RUNNING", "queue_position": null}, queued(1), queued(2)]));
    let usage = stage.usage().await;
    assert_eq!((&usage["running_queries"], &usage["queued_queries"]), (&json!(1), &json!(2)));

    assert_eq!(stage.delete(&stage.user, &format!("/v1/queries/{third}")).await.status, 200);
    stage.becomes(&third, "CANCELLED").await;
    stage.limit(json!({"concurrent_queries": 1, "queue_length": 5})).await;
    assert_eq!(stage.state(&second).await["queue_position"], 1);
    stage.limit(json!({"concurrent_queries": 2})).await;
    stage.becomes(&second, "SUCCEEDED").await;
    drop(first);
}

#[tokio::test]
async fn a_query_that_someone_waits_for_is_cancelled_in_the_queue() {
    let stage = Stage::set(json!({"concurrent_queries": 1})).await;
    let first = stage.endless(&stage.user).await;
    let cancel = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let list = stage.server.get_as(&stage.root, "/v1/queries").await.json();
            let queued = list["queries"].as_array().unwrap().iter().find(|query| query["state"] == "QUEUED").cloned();
            if let Some(query) = queued {
                return stage
                    .delete(&stage.root, &format!("/v1/queries/{}", query["query_id"].as_str().unwrap()))
                    .await;
            }
        }
    };
    let (answer, cancelled) = tokio::join!(stage.sql(IDS), cancel);
    assert_eq!(cancelled.status, 200);
    assert_eq!(answer.problem(), (409, "cancelled".into()));
    drop(first);
    assert!(stage.server.becomes_idle().await);
}

#[tokio::test]
async fn requests_in_a_second() {
    let stage = Stage::set(json!({"requests_per_second": 1})).await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(stage.server.get_as(&stage.user, "/v1/databases").await);
        if answers.last().unwrap().status != 200 {
            break;
        }
    }
    assert_eq!(answers[0].status, 200);
    let last = answers.last().unwrap();
    assert_breach(last, 429, "too_many_requests", "requests_per_second = 1");
    assert_eq!(last.header("retry-after"), "1");
    for _ in 0..3 {
        assert_eq!(stage.server.get_as(&stage.user, "/v1/workgroups/w").await.status, 200);
        let unknown = "/v1/queries/00000000-0000-4000-8000-000000000000";
        assert_eq!(stage.delete(&stage.user, unknown).await.status, 404, "cancelling is not held up");
        assert_eq!(stage.server.get_as(&stage.root, "/v1/databases").await.status, 200);
    }
}

#[tokio::test]
async fn memory_of_a_query() {
    let stage = Stage::set(json!({"memory_bytes": 1 << 20})).await;
    let large = stage.sql("SELECT array_agg(a.name) AS names FROM trips a, trips b, trips c").await;
    assert_eq!(large.problem(), (422, "memory_exhausted".into()), "{}", large.text());
    assert!(large.json()["detail"].as_str().unwrap().starts_with("a query may reserve 1.00 MiB of memory"));
    assert_breach(&large, 422, "memory_exhausted", "memory = 1.00 MiB");
    assert_whole(&stage.sql("SELECT array_agg(name) AS names FROM trips").await, 1);
    assert_eq!(stage.server.query.memory_reserved(), 0);
}

#[tokio::test]
async fn spill_files_of_a_query() {
    let spills = "SELECT max(n) AS n FROM (SELECT n, row_number() OVER (ORDER BY s, n) AS r FROM (SELECT value AS n, \
                  concat('a text that takes some memory, of the row ', value) AS s FROM generate_series(1, 1000000))) \
                  WHERE r > 0";
    let stage = Stage::set(json!({"memory_bytes": 48 << 20, "spill_bytes": 1 << 20})).await;
    let refused = stage.sql(spills).await;
    assert_breach(&refused, 422, "spill_exhausted", "spill = 1.00 MiB");
    stage.limit(json!({"memory_bytes": 48 << 20, "spill_bytes": 1 << 30})).await;
    let answer = stage.sql(spills).await;
    assert_whole(&answer, 1);
    let document = answer.json();
    assert_eq!(document["data"], json!([{"n": 1_000_000}]));
    assert!(document["statistics"]["spilled_bytes"].as_u64().unwrap() > 1 << 20);
}

#[tokio::test]
async fn a_workgroup_is_made_seen_changed_and_dropped() {
    let stage = Stage::set(json!({"result_rows": 7})).await;
    let (server, root) = (&stage.server, &stage.root);
    let put = async |name: &str, body: Value| {
        server.send_as(root, with_json(Request::put(format!("/v1/workgroups/{name}")), &body)).await
    };
    let own = server.get_as(&stage.user, "/v1/workgroups").await.json();
    let names = |list: &Value| -> Vec<String> {
        list["workgroups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&own), ["w"]);
    assert_eq!(names(&server.get_as(root, "/v1/workgroups").await.json()), ["default", "w"]);
    let group = &own["workgroups"][0];
    assert_eq!((&group["limits"]["result_rows"], &group["limits"]["queue_length"]), (&json!(7), &Value::Null));
    assert_eq!((&group["effective"]["result_rows"], &group["effective"]["queue_length"]), (&json!(7), &json!(100)));
    assert_eq!(group["effective"]["memory_bytes"], 128 << 20);
    for hidden in ["default", "other"] {
        let answer = server.get_as(&stage.user, &format!("/v1/workgroups/{hidden}")).await;
        assert_eq!(answer.problem(), (404, "not_found".into()));
    }

    assert_eq!(put("other", json!({})).await.status, 201);
    assert_eq!(put("other", json!({"run_time_ms": 5})).await.json()["effective"]["run_time_ms"], 5);
    for (name, body, status) in [
        ("default", json!({}), 409),
        ("a%20b", json!({}), 400),
        ("x", json!({"run_time": 5}), 400),
        ("x", json!({"run_time_ms": -5}), 400),
        ("x", json!({"run_time_ms": 0}), 400),
    ] {
        assert_eq!(put(name, body.clone()).await.problem().0, status, "{name} {body}");
    }
    let used = stage.delete(root, "/v1/workgroups/w").await;
    assert_eq!(used.problem(), (409, "conflict".into()));
    assert_eq!(used.json()["detail"], "the workgroup `w` is in use by the keys user");
    assert_eq!(stage.delete(root, "/v1/keys/user").await.status, 204);
    for name in ["w", "other"] {
        assert_eq!(stage.delete(root, &format!("/v1/workgroups/{name}")).await.status, 204);
    }
    for (name, status) in [("w", 404), ("default", 409)] {
        assert_eq!(stage.delete(root, &format!("/v1/workgroups/{name}")).await.problem().0, status);
    }
    let body = json!({"name": "late", "role": "read", "workgroup": "w"});
    let late = server.send_as(root, with_json(Request::post("/v1/keys"), &body)).await;
    assert_eq!(late.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn a_full_server_can_be_watched_and_freed() {
    let stage = Stage::set(json!({})).await;
    let capacity = stage.server.query.access().limits().running_queries;
    let mut running = Vec::new();
    for _ in 0..capacity {
        running.push(stage.submit(SILENT).await);
    }
    for id in &running {
        stage.becomes(id, "RUNNING").await;
    }
    let waits = stage.submit(IDS).await;
    assert_eq!(stage.server.get("/health").await.json()["running_queries"], capacity);
    for uri in ["/metrics", "/v1/workgroups", "/v1/keys", "/v1/queries", "/ready"] {
        assert_eq!(stage.server.get_as(&stage.root, uri).await.status, 200, "{uri}");
    }
    assert_eq!(stage.delete(&stage.user, &format!("/v1/queries/{}", running[0])).await.status, 200);
    stage.becomes(&running[0], "CANCELLED").await;
    stage.becomes(&waits, "SUCCEEDED").await;
    for id in &running {
        assert_eq!(stage.delete(&stage.user, &format!("/v1/queries/{id}")).await.status, 200);
    }
}
