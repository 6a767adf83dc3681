//! `/query-parquet`.

use serde_json::json;

use crate::server::Server;

const FILE: &str = "/query-parquet?statename=tamil+nadu&dname=chennai";

#[tokio::test]
async fn pages_have_the_promised_shape() {
    let server = Server::start().await;
    let answer = server.get(&format!("{FILE}&page=3&page_size=10")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    let members: Vec<&String> = page.as_object().unwrap().keys().collect();
    assert_eq!(members, ["data", "total_rows", "page", "page_size"]);
    assert_eq!((&page["total_rows"], &page["page"], &page["page_size"]), (&json!(25), &json!(3), &json!(10)));
    assert_eq!(page["data"].as_array().unwrap().len(), 5);
    assert_eq!(page["data"][0]["id"], 20);
    assert_eq!(page["data"][0]["price"], json!(null));
}

#[tokio::test]
async fn past_the_end_is_an_empty_page() {
    let server = Server::start().await;
    for page in ["4", "9223372036854775807"] {
        let answer = server.get(&format!("{FILE}&page={page}&page_size=10")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["data"]), (200, &json!([])));
    }
}

#[tokio::test]
async fn wrong_names_are_400_and_missing_files_404() {
    let server = Server::start().await;
    let get = async |query: &str| server.get(&format!("/query-parquet?{query}")).await.problem().0;
    assert_eq!(get("statename=Tamil+Nadu&dname=chennai").await, 400);
    assert_eq!(get("statename=..%2Fx&dname=chennai").await, 400);
    assert_eq!(get("statename=..&dname=chennai").await, 400);
    assert_eq!(get("statename=tamil+nadu").await, 400);
    assert_eq!(get("statename=tamil+nadu&dname=chennai&page=0").await, 400);
    assert_eq!(get("statename=tamil+nadu&dname=chennai&page_size=10001").await, 400);
    assert_eq!(get("statename=a&statename=b&dname=c").await, 400);
    assert_eq!(get("statename=kerala&dname=idukki").await, 404);
}
