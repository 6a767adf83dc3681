//! `/v1/databases/{database}/tables`.

use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn a_table_is_described_with_partitions_snapshot_and_freshness() {
    let server = Server::start().await;
    let table = server.get("/v1/databases/default/tables/sales").await.json();
    assert_eq!((&table["files"], &table["rows"], &table["kind"]), (&json!(2), &json!(5), &json!("table")), "{table}");
    assert_eq!(table["partition_columns"], json!(["year"]));
    assert_eq!(table["partition_count"], 2);
    assert_eq!(table["partitions"][0]["values"], json!({"year": "2023"}));
    assert_eq!(table["schema"][0], json!({"name": "id", "type": "BIGINT", "nullable": true}));
    assert_eq!(table["schema"][4], json!({"name": "year", "type": "BIGINT", "nullable": true, "partition": true}));
    assert_eq!(table["freshness"]["policy"], "on_query");
    assert_eq!(table["snapshot"].as_str().unwrap().len(), 16);
    assert_eq!(table["format"], "parquet");
    assert_eq!(table["warnings"], json!([]));
}

#[tokio::test]
async fn tables_are_listed_created_and_dropped() {
    let server = Server::start().await;
    let list = server.get("/v1/databases/default/tables").await.json();
    let names: Vec<&str> = list["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sales", "trips"]);

    let location = server.lake.location().unwrap().child("trips/").unwrap().to_string();
    let body = json!({"location": location, "columns": [{"name": "id", "type": "bigint"}, {"name": "name", "type": "varchar"}]});
    let created = server.put("/v1/databases/default/tables/Short", body.clone()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.json()["columns"], 2);
    assert_eq!(server.sql("SELECT * FROM short WHERE id = 9").await.json()["data"], json!([{"id": 9, "name": "n9"}]));
    assert_eq!(server.put("/v1/databases/default/tables/short", body).await.problem(), (409, "already_exists".into()));

    assert_eq!(server.delete("/v1/databases/default/tables/short").await.status, 204);
    assert_eq!(server.delete("/v1/databases/default/tables/short").await.problem(), (404, "table_not_found".into()));
    assert_eq!(server.delete("/v1/databases/default/tables/short?if_exists=true").await.status, 204);
    assert_eq!(server.sql("SELECT count(*) AS n FROM trips").await.json()["data"], json!([{"n": 250}]));
}

#[tokio::test]
async fn a_view_is_described_by_its_sql_and_dropped_as_one() {
    let server = Server::start().await;
    let created = server.sql("CREATE VIEW cheap AS SELECT id FROM trips WHERE price < 10").await;
    assert_eq!(created.status, 200, "{}", created.text());
    let view = server.get("/v1/databases/default/tables/cheap").await.json();
    assert_eq!((&view["kind"], &view["location"], &view["snapshot"]), (&json!("view"), &json!(null), &json!(null)));
    assert!(view["sql"].as_str().unwrap().contains("price < 10"));
    assert_eq!(server.delete("/v1/databases/default/tables/cheap").await.status, 204);
}

#[tokio::test]
async fn tables_cannot_be_declared_outside_the_configured_locations() {
    let server = Server::start().await;
    for location in ["/etc/", "file:///etc/", "s3://elsewhere/x/"] {
        let answer = server.put("/v1/databases/default/tables/x", json!({"location": location})).await;
        assert_eq!(answer.problem(), (403, "location_not_allowed".into()), "{location}");
    }
}

#[tokio::test]
async fn declarations_are_checked() {
    let server = Server::start().await;
    let location = server.lake.location().unwrap().child("trips/").unwrap().to_string();
    let declare = async |columns: serde_json::Value| {
        let body = json!({"location": location, "columns": columns});
        server.put("/v1/databases/default/tables/x", body).await.problem()
    };
    assert_eq!(declare(json!([{"name": "id", "type": "geometry"}])).await, (400, "invalid_request".into()));
    let twice = json!([{"name": "id", "type": "int"}, {"name": "ID", "type": "int"}]);
    assert_eq!(declare(twice).await, (400, "invalid_request".into()));
    assert_eq!(server.get("/v1/databases/nowhere/tables").await.problem(), (404, "database_not_found".into()));
    assert_eq!(server.get("/v1/databases/default/tables/nowhere").await.problem(), (404, "table_not_found".into()));
}
