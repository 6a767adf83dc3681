//! The shapes of earlier data APIs.

use serde_json::{Value, json};

use crate::server::Server;

fn members(document: &Value) -> Vec<&str> {
    let mut members: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    members
}

#[tokio::test]
async fn query() {
    let server = Server::start().await;
    let answer = server.post("/query", json!({"query": "SELECT id, name FROM trips WHERE id = 3"})).await;
    let document = answer.json();
    assert_eq!(members(&document), ["columns", "execution_time_ms", "results", "source_tables", "timestamp"]);
    assert_eq!(document["results"], json!([{"id": 3, "name": "n3"}]));
    assert_eq!(document["columns"], json!(["id", "name"]));
    assert_eq!(document["source_tables"], json!(["default.trips"]));
    assert!(document["execution_time_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn metadata() {
    let server = Server::start().await;
    let document = server.get("/metadata?table=trips").await.json();
    let expected =
        ["column_count", "columns", "load_time_ms", "row_count", "s3_url", "size_bytes", "timestamp", "view_name"];
    assert_eq!(members(&document), expected);
    assert_eq!(document["columns"], json!(["id", "name", "big", "price"]));
    assert_eq!((&document["row_count"], &document["column_count"]), (&json!(250), &json!(4)));
    assert_eq!(document["view_name"], "trips");
    assert_eq!(server.get("/metadata").await.json()["view_name"], "sales");
    assert_eq!(server.get("/metadata?table=no").await.problem(), (404, "table_not_found".into()));
}

#[tokio::test]
async fn api_query() {
    let server = Server::start().await;
    let body = json!({"query": "SELECT id, name FROM trips WHERE id < 2 ORDER BY id", "database": "default"});
    let document = server.post("/api/query", body).await.json();
    assert_eq!(members(&document), ["column_names", "columns", "data", "rows"]);
    assert_eq!((&document["rows"], &document["columns"]), (&json!(2), &json!(2)));
    assert_eq!(document["column_names"], json!(["id", "name"]));
    assert_eq!(document["data"][1], json!({"id": 1, "name": "n1"}));
}

#[tokio::test]
async fn api_tables_and_schema() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/tables?database=default").await.json(), json!({"tables": ["sales", "trips"]}));
    assert_eq!(server.get("/api/tables").await.json(), json!({"tables": ["sales", "trips"]}));
    assert_eq!(server.get("/api/tables?database=no").await.problem(), (404, "database_not_found".into()));
    let schema = server.get("/api/schema/trips").await.json();
    assert_eq!(schema["schema"][1], json!({"name": "name", "type": "VARCHAR", "nullable": false}));
    assert_eq!(server.get("/api/schema/no").await.problem(), (404, "table_not_found".into()));
}
