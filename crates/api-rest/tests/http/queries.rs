//! `/v1/queries`.

use std::time::Duration;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::server::{Server, sql_request};

async fn submitted(server: &Server, sql: &str) -> String {
    let answer = server.send(sql_request("/v1/queries", sql)).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["query_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/v1/queries/{id}"));
    assert_eq!(answer.header("x-query-id"), id);
    id
}

async fn ended(server: &Server, id: &str) -> Value {
    for _ in 0..6000 {
        let execution = server.get(&format!("/v1/queries/{id}")).await.json();
        if !matches!(execution["state"].as_str().unwrap(), "QUEUED" | "RUNNING") {
            return execution;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("query {id} does not end");
}

#[tokio::test]
async fn a_background_query_is_told_of_and_paged() {
    let server = Server::start().await;
    let id = submitted(&server, "SELECT id FROM trips ORDER BY id").await;
    let execution = ended(&server, &id).await;
    assert_eq!(execution["state"], "SUCCEEDED", "{execution}");
    assert_eq!((&execution["statement_kind"], &execution["source"]), (&json!("SELECT"), &json!("rest")));
    assert!(execution["ended"].is_string() && execution["error"].is_null());

    let first = server.get(&format!("/v1/queries/{id}/results?page_size=200")).await.json();
    assert_eq!((&first["row_count"], &first["total_rows"]), (&json!(200), &json!(250)), "{first}");
    let token = first["next_page_token"].as_str().unwrap();
    let second = server.get(&format!("/v1/queries/{id}/results?page_size=200&page_token={token}")).await.json();
    assert_eq!(second["data"][0], json!({"id": 200}));
    assert_eq!((&second["row_count"], &second["next_page_token"]), (&json!(50), &Value::Null));

    let csv = server.get(&format!("/v1/queries/{id}/results?format=csv")).await;
    assert_eq!(csv.text().lines().count(), 251);
}

#[tokio::test]
async fn a_result_is_saved_as_a_file_in_every_format() {
    let server = Server::start().await;
    let id = submitted(&server, "SELECT id FROM trips ORDER BY id").await;
    ended(&server, &id).await;
    let uri = format!("/v1/queries/{id}/results");
    let formats = [("json", "json"), ("ndjson", "ndjson"), ("csv", "csv"), ("arrow", "arrows"), ("parquet", "parquet")];
    for (format, ending) in formats {
        let saved = server.get(&format!("{uri}?download=true&format={format}")).await;
        let name = format!("attachment; filename=\"query-{id}.{ending}\"");
        assert_eq!((saved.status.as_u16(), saved.header("content-disposition")), (200, name.as_str()), "{format}");
        let mut accepted = Request::get(&uri).body(Body::empty()).unwrap();
        let media_type = saved.header("content-type").split(';').next().unwrap().to_owned();
        accepted.headers_mut().insert("accept", media_type.parse().unwrap());
        let by_accept = server.send(accepted).await;
        match format {
            "json" => {
                assert_eq!(by_accept.header("content-disposition"), "", "pages of JSON are no file");
                assert_eq!(saved.json()["data"].as_array().unwrap().len(), 250);
            }
            _ => assert_eq!((&by_accept.body, by_accept.header("content-disposition")), (&saved.body, name.as_str())),
        }
    }
    let page = server.get(&format!("{uri}?page_size=10")).await.json();
    let token = page["next_page_token"].as_str().unwrap();
    let both = server.get(&format!("{uri}?download=true&page_token={token}")).await;
    assert_eq!(both.problem(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn a_failed_query_keeps_its_error() {
    let server = Server::start().await;
    let id = submitted(&server, "SELECT 1 / (id - 3) FROM trips").await;
    let execution = ended(&server, &id).await;
    assert_eq!((&execution["state"], &execution["error"]["code"]), (&json!("FAILED"), &json!("invalid_value")));
    assert_eq!(server.get(&format!("/v1/queries/{id}/results")).await.problem(), (422, "invalid_value".into()));
}

#[tokio::test]
async fn a_running_query_can_be_cancelled_and_has_no_results_yet() {
    let server = Server::start().await;
    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 7";
    let id = submitted(&server, endless).await;
    assert_eq!(server.get(&format!("/v1/queries/{id}/results")).await.problem(), (409, "conflict".into()));
    assert_eq!(server.delete(&format!("/v1/queries/{id}")).await.status, 200);
    assert_eq!(ended(&server, &id).await["state"], "CANCELLED");
    assert_eq!(server.delete(&format!("/v1/queries/{id}")).await.json()["state"], "CANCELLED");
    assert!(server.becomes_idle().await);
}

#[tokio::test]
async fn the_history_pages_from_new_to_old() {
    let server = Server::start().await;
    for n in 0..5 {
        assert_eq!(server.sql(&format!("SELECT {n}")).await.status, 200);
    }
    let mut seen = Vec::new();
    let mut uri = "/v1/queries?page_size=2".to_owned();
    loop {
        let page = server.get(&uri).await.json();
        seen.extend(page["queries"].as_array().unwrap().iter().map(|q| q["query"].as_str().unwrap().to_owned()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        uri = format!("/v1/queries?page_size=2&page_token={token}");
    }
    assert_eq!(seen, ["SELECT 4", "SELECT 3", "SELECT 2", "SELECT 1", "SELECT 0"]);
}

#[tokio::test]
async fn forged_and_foreign_tokens_are_refused() {
    let server = Server::start().await;
    let one = submitted(&server, "SELECT id FROM trips").await;
    let other = submitted(&server, "SELECT name FROM trips").await;
    ended(&server, &one).await;
    ended(&server, &other).await;
    let page = server.get(&format!("/v1/queries/{one}/results?page_size=10")).await.json();
    let token = page["next_page_token"].as_str().unwrap();
    let mut forged = token.to_owned();
    forged.replace_range(5..6, if &token[5..6] == "A" { "B" } else { "A" });
    for (id, token) in [(&one, forged.as_str()), (&other, token), (&one, "x"), (&one, "")] {
        let answer = server.get(&format!("/v1/queries/{id}/results?page_token={token}")).await;
        assert_eq!(answer.problem(), (400, "invalid_request".into()));
    }
    assert_eq!(server.get(&format!("/v1/queries?page_token={token}")).await.problem().0, 400);
}

#[tokio::test]
async fn ids_are_checked() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/queries/7").await.problem(), (400, "invalid_request".into()));
    let unknown = "/v1/queries/00000000-0000-4000-8000-000000000000";
    assert_eq!(server.get(unknown).await.problem(), (404, "not_found".into()));
    assert_eq!(server.delete(unknown).await.problem(), (404, "not_found".into()));
    assert_eq!(server.get("/v1/queries?page_size=0").await.problem().0, 400);
    assert_eq!(server.get("/v1/queries?page_size=10001").await.problem().0, 400);
}
