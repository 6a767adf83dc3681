//! `/v1/crawlers`.

use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn a_crawler_runs_and_reports() {
    let server = Server::start().await;
    let location = server.lake.location().unwrap().child("sales/").unwrap().to_string();
    server.lake.write("sales/_temporary/x.parquet", "").unwrap();
    server.put("/v1/databases/found", json!({})).await;
    let created = server.put("/v1/crawlers/nightly", json!({"location": location, "database": "found"})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(server.get("/v1/crawlers/nightly").await.json()["location"], location.as_str());

    let dry = server.post("/v1/crawlers/nightly/runs", json!({"dry_run": true})).await;
    assert_eq!(dry.status, 200, "{}", dry.text());
    assert_eq!(dry.json()["dry_run"], true);
    assert_eq!(server.get("/v1/databases/found/tables").await.json()["tables"], json!([]));

    let run = server.post("/v1/crawlers/nightly/runs", json!({"wait_ms": 60000})).await.json();
    assert_eq!(run["state"], "succeeded", "{run}");
    let entries = run["entries"].as_array().unwrap();
    assert!(entries.iter().any(|entry| entry["outcome"] == "table" && entry["files"] == 2), "{run}");
    assert!(entries.iter().any(|entry| entry["outcome"] == "skipped" && !entry["reason"].as_str().unwrap().is_empty()));
    assert_eq!(server.get("/v1/databases/found/tables").await.json()["tables"][0]["rows"], 5);

    let runs = server.get("/v1/crawlers/nightly/runs").await.json();
    assert_eq!(runs["runs"][0]["id"], run["id"]);
    let id = run["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/crawlers/nightly/runs/{id}")).await.json()["entries"], run["entries"]);
    assert_eq!(server.get("/v1/crawlers/nightly/runs/unknown").await.problem().0, 404);

    assert_eq!(server.delete("/v1/crawlers/nightly").await.status, 204);
    assert_eq!(server.get("/v1/crawlers/nightly").await.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn a_crawler_stays_inside_the_configured_locations() {
    let server = Server::start().await;
    let answer = server.put("/v1/crawlers/x", json!({"location": "/etc/"})).await;
    assert_eq!(answer.problem(), (403, "location_not_allowed".into()));
    assert_eq!(server.post("/v1/crawlers/none/runs", json!({})).await.problem(), (404, "not_found".into()));
}
