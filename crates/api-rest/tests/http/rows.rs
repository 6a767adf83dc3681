//! `/v1/databases/{database}/tables/{table}/rows`.

use serde_json::{Value, json};

use crate::server::{Server, trips};

const ROWS: &str = "/v1/databases/default/tables/trips/rows";

#[tokio::test]
async fn columns_filter_and_sort() {
    let server = Server::start().await;
    let answer = server.get(&format!("{ROWS}?columns=name,id&filter=id+%3C+10+AND+price+IS+NULL&sort=-id")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    assert_eq!(page["data"], json!([{"name": "n5", "id": 5}, {"name": "n0", "id": 0}]));
    assert_eq!((&page["row_count"], &page["next_page_token"]), (&json!(2), &Value::Null));
    assert_eq!(page["snapshot"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap() {
    let server = Server::start().await;
    let uri = format!("{ROWS}?columns=id&sort=id&limit=100");
    let mut page = server.get(&uri).await.json();
    let mut ids: Vec<i64> = Vec::new();
    loop {
        ids.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        page = server.get(&format!("{uri}&page_token={token}")).await.json();
    }
    assert_eq!(ids, (0..250).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_last_page_that_is_full_is_the_last() {
    let server = Server::start().await;
    let page = server.get(&format!("{ROWS}?limit=250")).await.json();
    assert_eq!((&page["row_count"], &page["next_page_token"]), (&json!(250), &Value::Null));
}

#[tokio::test]
async fn a_token_expires_when_the_files_change() {
    let server = Server::start().await;
    let uri = format!("{ROWS}?limit=100");
    let token = server.get(&uri).await.json()["next_page_token"].as_str().unwrap().to_owned();
    server.lake.write_parquet("trips/part-1.parquet", &[trips(250..260)]).unwrap();
    assert_eq!(server.get(&format!("{uri}&page_token={token}")).await.problem(), (410, "expired".into()));
}

#[tokio::test]
async fn a_token_belongs_to_its_request() {
    let server = Server::start().await;
    let token = server.get(&format!("{ROWS}?limit=10")).await.json()["next_page_token"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&format!("{ROWS}?limit=20&page_token={token}")).await.json()["data"][0]["id"], 10);
    for other in [format!("{ROWS}?filter=id+%3E+3&page_token={token}"), format!("{ROWS}?page_token=x.y")] {
        assert_eq!(server.get(&other).await.problem(), (400, "invalid_request".into()));
    }
}

#[tokio::test]
async fn a_filter_is_one_expression_and_nothing_else() {
    let server = Server::start().await;
    for filter in ["id+%3D+1)+OR+(1%3D1", "1%3D1%3B+DROP+TABLE+trips", "id+%3D"] {
        let answer = server.get(&format!("{ROWS}?filter={filter}")).await;
        assert_eq!(answer.status, 400, "{filter}: {}", answer.text());
    }
    assert_eq!(server.get(&format!("{ROWS}?columns=id,,name")).await.problem(), (400, "invalid_request".into()));
    assert_eq!(server.get(&format!("{ROWS}?columns=nothing")).await.problem(), (400, "unknown_column".into()));
    assert_eq!(server.get(&format!("{ROWS}?limit=10001")).await.problem(), (400, "invalid_request".into()));
    assert_eq!(server.get(&format!("{ROWS}?limt=1")).await.problem(), (400, "invalid_request".into()));
    assert_eq!(server.get("/v1/databases/default/tables/no/rows").await.problem(), (404, "table_not_found".into()));
}

#[tokio::test]
async fn other_formats_stop_at_the_limit() {
    let server = Server::start().await;
    let answer = server.get(&format!("{ROWS}?columns=id&limit=7&format=ndjson")).await;
    assert_eq!(answer.text().lines().count(), 7);
}
