//! `/v1/databases`.

use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn a_database_is_created_once_listed_and_dropped() {
    let server = Server::start().await;
    let created = server.put("/v1/databases/Sales", json!({"comment": "all of them"})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let database = created.json();
    assert_eq!((&database["name"], &database["comment"]), (&json!("sales"), &json!("all of them")));
    assert_eq!(server.put("/v1/databases/sales", json!({})).await.status, 200);

    let list = server.get("/v1/databases").await.json();
    let names: Vec<&str> = list["databases"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"default") && names.contains(&"sales"), "{names:?}");

    assert_eq!(server.delete("/v1/databases/sales").await.status, 204);
    assert_eq!(server.delete("/v1/databases/sales").await.problem(), (404, "database_not_found".into()));
    assert_eq!(server.get("/v1/databases/sales").await.problem(), (404, "database_not_found".into()));
}

#[tokio::test]
async fn a_database_with_tables_is_dropped_only_with_them() {
    let server = Server::start().await;
    server.put("/v1/databases/other", json!({})).await;
    let location = server.lake.location().unwrap().child("trips/").unwrap().to_string();
    let table = server.put("/v1/databases/other/tables/t", json!({"location": location})).await;
    assert_eq!(table.status, 201, "{}", table.text());
    assert_eq!(server.delete("/v1/databases/other").await.problem(), (409, "conflict".into()));
    assert_eq!(server.delete("/v1/databases/other?cascade=true").await.status, 204);
}

#[tokio::test]
async fn names_are_checked() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/databases/a.b").await.problem(), (400, "invalid_request".into()));
    assert_eq!(server.put("/v1/databases/x", json!({"coment": "?"})).await.problem(), (400, "invalid_request".into()));
}
