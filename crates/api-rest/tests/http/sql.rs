//! `/v1/sql`.

use arrow::ipc::reader::StreamReader;
use axum::{body::Body, http::Request};
use serde_json::json;

use crate::server::{BIG, Server, sql_request, trips};

#[tokio::test]
async fn text_gives_a_json_document_with_the_statistics_last() {
    let server = Server::start().await;
    let answer = server.sql("SELECT id, name, big FROM trips ORDER BY id LIMIT 2").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.json();
    let members: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(members, ["query_id", "columns", "data", "row_count", "statistics"]);
    assert_eq!(document["query_id"], answer.header("x-query-id"));
    assert_eq!(document["columns"][2], json!({"name": "big", "type": "BIGINT", "nullable": true}));
    assert_eq!(document["data"][1], json!({"id": 1, "name": "n1", "big": (BIG + 1).to_string()}));
    assert_eq!(document["row_count"], 2);
    assert_eq!(document["statistics"]["rows_returned"], 2);
    let timing = answer.header("server-timing");
    assert!(timing.contains("queue;dur=") && timing.contains("plan;dur="), "{timing}");
}

#[tokio::test]
async fn json_bodies_carry_parameters_and_options() {
    let server = Server::start().await;
    let body = json!({"query": "SELECT id FROM trips WHERE id > $1 AND name <> $2 ORDER BY id LIMIT 1",
        "parameters": [100, "n101"], "numbers": "string", "database": "default", "timeout_ms": 30_000});
    let answer = server.post("/v1/sql", body).await;
    assert_eq!(answer.json()["data"], json!([{"id": "102"}]), "{}", answer.text());
    let named = json!({"query": "SELECT id FROM trips WHERE id = $wanted", "parameters": {"wanted": 7}});
    assert_eq!(server.post("/v1/sql", named).await.json()["data"], json!([{"id": 7}]));
}

#[tokio::test]
async fn every_format_tells_the_same_rows() {
    let server = Server::start().await;
    let sql = "SELECT id, name FROM trips WHERE id < 2 ORDER BY id";
    let answer = async |format: &str| server.send(sql_request(&format!("/v1/sql?format={format}"), sql)).await;

    assert_eq!(answer("ndjson").await.text(), "{\"id\":0,\"name\":\"n0\"}\n{\"id\":1,\"name\":\"n1\"}\n");
    let csv = answer("csv").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert_eq!(csv.text().replace('\r', ""), "id,name\n0,n0\n1,n1\n");
    let arrow = answer("arrow").await;
    assert_eq!(arrow.header("content-type"), "application/vnd.apache.arrow.stream");
    let batches: Vec<_> = StreamReader::try_new(&arrow.body[..], None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 2);
    let parquet = answer("parquet").await;
    assert_eq!(parquet.header("content-type"), "application/vnd.apache.parquet");
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
}

#[tokio::test]
async fn the_format_follows_accept_and_the_query_string_wins() {
    let server = Server::start().await;
    let ask = async |uri: &str, accept: &str| {
        let mut request = sql_request(uri, "SELECT 1 AS one");
        request.headers_mut().insert("accept", accept.parse().unwrap());
        server.send(request).await
    };
    assert!(ask("/v1/sql", "text/csv").await.header("content-type").starts_with("text/csv"));
    assert_eq!(ask("/v1/sql?format=ndjson", "text/csv").await.header("content-type"), "application/x-ndjson");
    assert_eq!(ask("/v1/sql", "*/*").await.header("content-type"), "application/json");
    assert_eq!(ask("/v1/sql", "image/png").await.problem(), (406, "invalid_request".into()));
    assert_eq!(ask("/v1/sql?format=xml", "*/*").await.problem(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn results_without_rows_and_without_columns_are_documents_too() {
    let server = Server::start().await;
    let empty = server.sql("SELECT id FROM trips WHERE id < 0").await.json();
    assert_eq!((&empty["data"], &empty["row_count"]), (&json!([]), &json!(0)));
    assert_eq!(empty["columns"][0]["name"], "id");
    let created = server.sql("CREATE DATABASE other").await;
    assert_eq!(created.status, 200, "{}", created.text());
}

#[tokio::test]
async fn mistakes_have_their_own_codes() {
    let server = Server::start().await;
    assert_eq!(server.sql("SELECT id FROM trips WHERE (").await.problem(), (400, "syntax_error".into()));
    assert_eq!(server.sql("SELECT * FROM nowhere").await.problem(), (404, "table_not_found".into()));
    assert_eq!(server.sql("SELECT nothing FROM trips").await.problem(), (400, "unknown_column".into()));
    assert_eq!(server.sql("SELECT * FROM '/etc/passwd'").await.problem(), (403, "location_not_allowed".into()));
    let unknown = server.post("/v1/sql", json!({"query": "SELECT 1", "qurey": 1})).await;
    assert_eq!(unknown.problem(), (400, "invalid_request".into()));
    assert!(unknown.text().contains("qurey"));
    assert_eq!(server.post("/v1/sql", json!({"query": "SELECT 1", "parameters": 1})).await.problem().0, 400);
    assert_eq!(server.post("/v1/sql", json!({"query": "SELECT 1", "timeout_ms": 0})).await.problem().0, 400);
    assert_eq!(server.get("/v1/sql?query=SELECT+1&no=1").await.problem().0, 400);
}

#[tokio::test]
async fn what_curl_calls_a_form_is_sql_text() {
    let server = Server::start().await;
    let form = Request::post("/v1/sql").header("content-type", "application/x-www-form-urlencoded");
    let answer = server.send(form.body(Body::from("SELECT 1 + 1 AS n")).unwrap()).await;
    assert_eq!(answer.json()["data"], json!([{"n": 2}]));
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let server = Server::start().await;
    let request = Request::post("/v1/sql").header("content-type", "application/xml").body(Body::from("<x/>")).unwrap();
    assert_eq!(server.send(request).await.problem(), (415, "invalid_request".into()));
}

#[tokio::test]
async fn an_answer_is_given_again_until_its_files_change() {
    let server = Server::start().await;
    server.lake.age("trips/part-0.parquet").unwrap();
    let ask = async |control: &str| {
        let mut request = sql_request("/v1/sql", "SELECT count(*) AS n FROM trips");
        request.headers_mut().insert("cache-control", control.parse().unwrap());
        let answer = server.send(request).await.json();
        (answer["data"][0]["n"].clone(), answer["statistics"]["result_cache"].as_str().unwrap().to_owned())
    };
    let told = |rows: i64, used: &str| (json!(rows), used.to_owned());
    assert_eq!(ask("no-store").await, told(250, "bypass"));
    assert_eq!(ask("max-age=60").await, told(250, "miss"));
    assert_eq!(ask("max-age=60").await, told(250, "hit"));
    assert_eq!(ask("no-cache").await, told(250, "bypass"));
    server.lake.write_parquet("trips/part-1.parquet", &[trips(250..260)]).unwrap();
    server.lake.age("trips/part-1.parquet").unwrap();
    assert_eq!(ask("max-age=60").await, told(260, "miss"));
    let newest = server.get("/v1/queries?page_size=1").await.json();
    assert_eq!(newest["queries"][0]["statistics"]["result_cache"], "miss");
}

#[tokio::test]
async fn an_unchanged_answer_is_304_and_a_new_file_changes_the_tag() {
    let server = Server::start().await;
    let uri = "/v1/sql?query=SELECT+count(*)+AS+n+FROM+trips";
    let first = server.get(uri).await;
    assert_eq!(first.json()["data"], json!([{"n": 250}]));
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");

    let again = async |tag: &str, uri: &str| {
        server.send(Request::get(uri).header("if-none-match", tag).body(Body::empty()).unwrap()).await
    };
    let unchanged = again(&tag, uri).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), tag);
    assert_eq!(again(&tag, &format!("{uri}&format=csv")).await.status, 200);
    assert_eq!(again("\"other\"", uri).await.status, 200);

    server.lake.write_parquet("trips/part-1.parquet", &[crate::server::trips(250..260)]).unwrap();
    let changed = again(&tag, uri).await;
    assert_eq!(changed.json()["data"], json!([{"n": 260}]));
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test]
async fn answers_that_may_differ_have_no_tag() {
    let server = Server::start().await;
    let answer = server.get("/v1/sql?query=SELECT+random()").await;
    assert_eq!((answer.header("etag"), answer.header("cache-control")), ("", "no-store"));
}

#[tokio::test]
async fn get_runs_only_what_reads() {
    let server = Server::start().await;
    let answer = server.get("/v1/sql?query=CREATE+DATABASE+x").await;
    assert_eq!(answer.problem(), (400, "invalid_request".into()));
    assert_eq!(server.get("/v1/databases/x").await.problem(), (404, "database_not_found".into()));
}

#[tokio::test]
async fn a_page_size_gives_pages_until_the_token_is_null() {
    let server = Server::start().await;
    let body = json!({"query": "SELECT id FROM trips ORDER BY id", "page_size": 100});
    let first = server.post("/v1/sql", body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let mut page = first.json();
    assert_eq!(page["total_rows"], 250);
    let id = page["query_id"].as_str().unwrap().to_owned();
    let mut ids: Vec<i64> = Vec::new();
    loop {
        ids.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        page = server.get(&format!("/v1/queries/{id}/results?page_size=100&page_token={token}")).await.json();
    }
    assert_eq!(ids, (0..250).collect::<Vec<_>>());
}

#[tokio::test]
async fn estimates_read_nothing() {
    let server = Server::start().await;
    let answer = server.send(sql_request("/v1/estimate", "SELECT id FROM sales WHERE year = 2024")).await;
    let estimate = answer.json();
    assert_eq!((&estimate["files"], &estimate["files_pruned"]), (&json!(1), &json!(1)), "{estimate}");
    assert_eq!(estimate["tables"][0]["table"], "default.sales");
    assert!(estimate["bytes"].as_u64().unwrap() > 0);
}
