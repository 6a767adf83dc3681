//! `POST …/{table}/rows`, `…/flush`, `…/merge`, `GET …/tail`, and tables that rows are sent to.

use std::io::Write as _;

use axum::{
    body::Body,
    http::{Request, request::Builder},
};
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt as _;
use lakebed_access::Role;
use lakebed_api_rest::RestSettings;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::server::{Answer, Server, with_json};

const TABLE: &str = "/v1/databases/default/tables/events";
const ROWS: &str = "/v1/databases/default/tables/events/rows";

/// A server with the empty table `events`.
async fn server() -> Server {
    server_with(RestSettings::default()).await
}

async fn server_with(settings: RestSettings) -> Server {
    let server = Server::with(settings).await;
    let created = server.put(TABLE, declaration()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    server
}

fn declaration() -> Value {
    json!({
        "columns": [
            {"name": "id", "type": "BIGINT"},
            {"name": "ts", "type": "TIMESTAMP WITH TIME ZONE"},
            {"name": "kind", "type": "VARCHAR"},
        ],
        "ingest": {
            "columns": {"id": {"required": true}, "kind": {"trim": true, "case": "lower", "enum": ["click", "view"]}},
            "sort": ["id"],
        },
        "comment": "what people do",
    })
}

fn of_type(builder: Builder, media_type: &str, body: impl Into<Body>) -> Request<Body> {
    builder.header("content-type", media_type).body(body.into()).unwrap()
}

async fn append(server: &Server, query: &str, body: &str) -> Answer {
    let request = Request::post(format!("{ROWS}{query}"));
    server.send(of_type(request, "application/x-ndjson", body.to_owned())).await
}

async fn ids(server: &Server) -> Value {
    server.sql("SELECT id, kind FROM events ORDER BY id").await.json()["data"].clone()
}

#[tokio::test]
async fn rows_are_there_when_the_answer_is() {
    let server = server().await;
    let answer = append(&server, "", "{\"id\":1,\"kind\":\" Click \"}\n{\"id\":2,\"kind\":\"view\"}\n").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let receipt = answer.json();
    assert!(receipt["lsn"].as_u64().is_some_and(|lsn| lsn > 0), "{receipt}");
    let expected =
        json!({"accepted": 2, "rejected": 0, "errors": [], "durable": "wal", "table_version": null, "repeated": false});
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&receipt[member], value, "{receipt}");
    }
    assert_eq!(ids(&server).await, json!([{"id": 1, "kind": "click"}, {"id": 2, "kind": "view"}]));

    let flushed = server.send(Request::post(format!("{TABLE}/flush")).body(Body::empty()).unwrap()).await;
    assert_eq!(flushed.status, 200, "{}", flushed.text());
    assert_eq!(flushed.json()["rows"], 2);
    assert_eq!(ids(&server).await, json!([{"id": 1, "kind": "click"}, {"id": 2, "kind": "view"}]));
    let lake = append(&server, "?ack=lake", "{\"id\":3}").await.json();
    assert_eq!(lake["durable"], "lake");
    assert!(lake["table_version"].as_i64() > flushed.json()["version"].as_i64(), "{lake}");
}

#[tokio::test]
async fn every_format_and_coding_is_read() {
    let server = server().await;
    let json = with_json(Request::post(ROWS), &json!([{"id": 1}, {"id": 2}]));
    let csv = of_type(Request::post(ROWS), "text/csv; charset=utf-8", "id,kind\n3,click\n4,\n");
    let named = Request::post(format!("{ROWS}?format=ndjson")).body(Body::from("{\"id\":5}")).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(b"{\"id\":6}\n").unwrap();
    let gzip = Request::post(ROWS).header("content-encoding", "gzip");
    let gzip = of_type(gzip, "application/x-ndjson", packed.finish().unwrap());
    let zstd = Request::post(ROWS).header("content-encoding", "zstd");
    let zstd = of_type(zstd, "application/x-ndjson", zstd::encode_all(&b"{\"id\":7}\n"[..], 1).unwrap());
    let result = server.get("/v1/sql?query=SELECT%208%20AS%20id&format=arrow").await;
    let arrow = of_type(Request::post(ROWS), "application/vnd.apache.arrow.stream", result.body);
    let result = server.get("/v1/sql?query=SELECT%209%20AS%20id&format=parquet").await;
    let parquet = of_type(Request::post(ROWS), "application/vnd.apache.parquet", result.body);
    for request in [json, csv, named, gzip, zstd, arrow, parquet] {
        let what = format!("{request:?}");
        let answer = server.send(request).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    }
    let found = server.sql("SELECT count(*) AS n, sum(id) AS s FROM events").await.json();
    assert_eq!(found["data"], json!([{"n": 9, "s": 45}]));
}

#[tokio::test]
async fn a_bad_row_refuses_all_or_itself() {
    let server = server().await;
    let body = "{\"id\":1,\"kind\":\"click\"}\n{\"kind\":\"click\"}\n{\"id\":\"x\"}\n{\"id\":4,\"kind\":\"jump\"}\n{\"id\":5}\n";
    let refused = append(&server, "", body).await;
    assert_eq!(refused.problem(), (422, "invalid_value".into()));
    let problem = refused.json();
    assert_eq!((&problem["accepted"], &problem["rejected"]), (&json!(0), &json!(3)), "{problem}");
    let named: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| (e["row"].clone(), e["field"].clone())).collect();
    assert_eq!(named, [(json!(2), json!("id")), (json!(3), json!("id")), (json!(4), json!("kind"))]);
    assert!(problem["detail"].as_str().unwrap().contains("row 2, field `id`"), "{problem}");
    assert_eq!(ids(&server).await, json!([]));

    let receipt = append(&server, "?on_error=reject_rows", body).await.json();
    assert_eq!((&receipt["accepted"], &receipt["rejected"]), (&json!(2), &json!(3)), "{receipt}");
    assert_eq!(ids(&server).await, json!([{"id": 1, "kind": "click"}, {"id": 5, "kind": null}]));
    let rejects = server.sql("SELECT count(*) AS n FROM events__rejects").await.json();
    assert_eq!(rejects["data"], json!([{"n": 3}]));
}

#[tokio::test]
async fn the_same_key_brings_the_same_rows_once() {
    let server = server().await;
    let send = async || {
        let request = Request::post(ROWS).header("idempotency-key", "a-1");
        server.send(of_type(request, "application/x-ndjson", "{\"id\":1}")).await.json()
    };
    let (first, second) = (send().await, send().await);
    assert_eq!((&first["repeated"], &second["repeated"]), (&json!(false), &json!(true)));
    assert_eq!((&first["lsn"], &first["accepted"]), (&second["lsn"], &second["accepted"]));
    assert_eq!(server.sql("SELECT count(*) AS n FROM events").await.json()["data"], json!([{"n": 1}]));
}

#[tokio::test]
async fn requests_that_cannot_be_understood_are_named() {
    let server = server().await;
    let too_long = Request::post(ROWS).header("idempotency-key", "x".repeat(257));
    let cases = [
        (Request::post(ROWS).body(Body::from("{}")).unwrap(), 415, "invalid_request"),
        (of_type(Request::post(ROWS), "text/html", "{}"), 415, "invalid_request"),
        (of_type(Request::post(ROWS).header("content-encoding", "br"), "text/csv", "id\n1\n"), 415, "invalid_request"),
        (of_type(Request::post(format!("{ROWS}?ack=soon")), "text/csv", "id\n1\n"), 400, "invalid_request"),
        (of_type(Request::post(format!("{ROWS}?on_error=skip")), "text/csv", "id\n1\n"), 400, "invalid_request"),
        (of_type(Request::post(format!("{ROWS}?format=xml")), "text/csv", "id\n1\n"), 400, "invalid_request"),
        (of_type(Request::post(format!("{ROWS}?akc=wal")), "text/csv", "id\n1\n"), 400, "invalid_request"),
        (of_type(too_long, "text/csv", "id\n1\n"), 400, "invalid_request"),
        (
            of_type(Request::post("/v1/databases/default/tables/nowhere/rows"), "text/csv", "id\n1\n"),
            404,
            "table_not_found",
        ),
        (of_type(Request::post("/v1/databases/default/tables/trips/rows"), "text/csv", "id\n1\n"), 422, "unsupported"),
        (Request::post(format!("{TABLE}/merge?day=yesterday")).body(Body::empty()).unwrap(), 400, "invalid_request"),
    ];
    for (request, status, code) in cases {
        let what = format!("{} {:?}", request.uri(), request.headers());
        assert_eq!(server.send(request).await.problem(), (status, code.into()), "{what}");
    }
    assert_eq!(ids(&server).await, json!([]));
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let server = server_with(RestSettings { rows_limit_bytes: 64, ..RestSettings::default() }).await;
    let small = append(&server, "", "{\"id\":1}\n").await;
    assert_eq!(small.status, 200, "{}", small.text());
    let large = "{\"id\":2}\n".repeat(100);
    assert_eq!(append(&server, "", &large).await.problem(), (413, "request_too_large".into()));
    // A body that does not say how long it is.
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>("{\"id\":3}\n")));
    let streamed = of_type(Request::post(ROWS), "application/x-ndjson", Body::from_stream(chunks));
    assert_eq!(server.send(streamed).await.problem(), (413, "request_too_large".into()));
    assert_eq!(ids(&server).await, json!([{"id": 1, "kind": null}]));
}

#[tokio::test]
async fn a_table_is_made_from_its_first_rows_where_the_workgroup_allows_it() {
    let server = Server::start().await;
    let root = server.key("root", Role::Admin, &[]).await;
    let key = server.key("writer", Role::Write, &[]).await;
    let uri = "/v1/databases/default/tables/fresh/rows";
    let rows = |uri: &str| of_type(Request::post(uri), "application/x-ndjson", "{\"id\":1,\"name\":\"a\"}\n");
    assert_eq!(server.send_as(&key, rows(uri)).await.problem(), (404, "table_not_found".into()));
    let created = server.send_as(&key, rows(&format!("{uri}?create=true"))).await;
    assert_eq!(created.status, 200, "{}", created.text());
    let found = server.sql_as(&key, "SELECT id, name FROM fresh").await.json();
    assert_eq!(found["data"], json!([{"id": 1, "name": "a"}]));

    let closed = with_json(Request::put("/v1/workgroups/closed"), &json!({"create_tables": false}));
    assert_eq!(server.send_as(&root, closed).await.status, 201);
    let key = server.key_in("closed", "careful", Role::Write, &[]).await;
    let other = "/v1/databases/default/tables/other/rows?create=true";
    assert_eq!(server.send_as(&key, rows(other)).await.problem(), (403, "permission_denied".into()));
    assert_eq!(server.send_as(&key, rows(uri)).await.status, 200);
}

#[tokio::test]
async fn a_table_for_rows_is_described_changed_and_dropped() {
    let server = server().await;
    append(&server, "?ack=lake", "{\"id\":1}\n{\"id\":2}\n").await;
    let table = server.get(TABLE).await.json();
    assert_eq!((&table["kind"], &table["format"]), (&json!("table"), &json!("delta")), "{table}");
    assert_eq!(table["comment"], "what people do");
    assert_eq!(table["ingest"]["columns"]["kind"]["enum"], json!(["click", "view"]));
    assert_eq!(table["schema"][0]["name"], "id");
    assert_eq!(table["rows"], 2, "{table}");
    let mut changed = declaration();
    changed["ingest"]["columns"]["kind"] = json!({});
    let answer = server.put(TABLE, changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(append(&server, "", "{\"id\":3,\"kind\":\"Jump\"}").await.status, 200);
    assert_eq!(server.sql("SELECT kind FROM events WHERE id = 3").await.json()["data"], json!([{"kind": "Jump"}]));
    assert_eq!(server.delete(TABLE).await.status, 204);
    assert_eq!(append(&server, "", "{\"id\":4}").await.problem(), (404, "table_not_found".into()));
}

#[tokio::test]
async fn declarations_of_tables_for_rows_are_checked() {
    let server = Server::start().await;
    let columns = json!([{"name": "id", "type": "BIGINT"}]);
    let wrong = [
        json!({"columns": columns}),
        json!({"columns": columns, "ingest": {"sortt": ["id"]}}),
        json!({"columns": columns, "ingest": {"sort": ["nothing"]}}),
        json!({"columns": columns, "ingest": {"day": {"from": "id"}}}),
        json!({"columns": columns, "ingest": {"columns": {"id": {"pattern": "("}}}}),
        json!({"columns": columns, "ingest": {}, "or_replace": true}),
        json!({"ingest": {}}),
    ];
    for body in wrong {
        let answer = server.put("/v1/databases/default/tables/x", body.clone()).await;
        assert_eq!(answer.problem(), (400, "invalid_request".into()), "{body}");
    }
    assert_eq!(server.get("/v1/databases/default/tables/x").await.status, 404);
}

#[tokio::test]
async fn what_is_taken_in_is_in_the_system_table_of_those_who_may_see_it() {
    let server = server().await;
    append(&server, "", "{\"id\":1}\n").await;
    let state = server.ingest.clone();
    server.query.set_ingest_status(move || {
        state
            .status()
            .into_iter()
            .map(|status| lakebed_query::IngestStatus {
                table: status.table,
                buffered_rows: status.buffered_rows,
                buffered_bytes: status.buffered_bytes,
                oldest: status.oldest,
                lsn: status.lsn,
                flushed_lsn: status.flushed_lsn,
                version: status.version,
                accepted_rows: status.accepted_rows,
                rejected_rows: status.rejected_rows,
                flushes: status.flushes,
                merges: status.merges,
                last_error: status.last_error,
            })
            .collect()
    });
    let sql = "SELECT accepted_rows, buffered_rows FROM system.ingest WHERE \"table\" = 'events'";
    assert_eq!(server.sql(sql).await.json()["data"], json!([{"accepted_rows": 1, "buffered_rows": 1}]));
    server.key("root", Role::Admin, &[]).await;
    let elsewhere = server.key("other", Role::Read, &["default.trips"]).await;
    assert_eq!(server.sql_as(&elsewhere, sql).await.json()["data"], json!([]));
}

/// The first bytes of a tail, up to its `count`th event with rows.
async fn events(server: &Server, uri: &str, count: usize) -> Vec<Value> {
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let response = server.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("event: rows").count() < count || !text.ends_with("\n\n") {
        text += std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap();
    }
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn a_tail_brings_each_row_once_and_goes_on_from_a_position() {
    let server = server().await;
    let first = append(&server, "", "{\"id\":1}\n").await.json()["lsn"].as_u64().unwrap();
    append(&server, "", "{\"id\":2}\n{\"id\":3}\n").await;
    let tail = format!("{TABLE}/tail");
    let both = events(&server, &format!("{tail}?from=0"), 2).await;
    let ids: Vec<_> = both.iter().flat_map(|e| e["rows"].as_array().unwrap()).map(|row| row["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3)]);
    assert_eq!(both[0]["lsn"], first);
    let rest = events(&server, &format!("{tail}?from={first}"), 1).await;
    assert_eq!(rest[0]["rows"].as_array().unwrap().len(), 2);
    // The server stops, and so does the stream.
    server.stop.cancel();
    assert_eq!(server.get(&tail).await.text(), "");
}

#[tokio::test]
async fn a_tail_ends_with_its_key() {
    let server = server().await;
    server.key("root", Role::Admin, &[]).await;
    let key = server.key("viewer", Role::Read, &[]).await;
    let request = Request::get(format!("{TABLE}/tail")).header("authorization", format!("Bearer {key}"));
    let response = server.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    server.query.access().keys().revoke(&lakebed_access::Principal::local(), "viewer").await.unwrap();
    let mut body = response.into_body().into_data_stream();
    while let Some(chunk) = body.next().await {
        assert_eq!(&chunk.unwrap()[..], b":\n\n", "nothing but a sign of life");
    }
}

#[tokio::test]
async fn tails_are_bounded() {
    let server = server_with(RestSettings { tails: 0, ..RestSettings::default() }).await;
    assert_eq!(server.get(&format!("{TABLE}/tail")).await.problem(), (429, "too_many_requests".into()));
}
