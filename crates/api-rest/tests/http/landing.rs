//! `/`.

use axum::{body::Body, http::Request};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::server::Server;

#[tokio::test]
async fn programs_get_the_tables() {
    let server = Server::start().await;
    let overview = server.get("/").await.json();
    let tables = overview["tables"].as_array().unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sales", "trips"]);
    assert_eq!(tables[1]["rows"], 250);
}

#[tokio::test]
async fn browsers_get_a_page_whose_policy_allows_its_own_script_only() {
    let server = Server::start().await;
    let request = Request::get("/").header("accept", "text/html,*/*;q=0.8").body(Body::empty()).unwrap();
    let answer = server.send(request).await;
    assert!(answer.header("content-type").starts_with("text/html"));
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let page = answer.text();
    for tag in ["script", "style"] {
        let inside = page.split(&format!("<{tag}>")).nth(1).unwrap().split(&format!("</{tag}>")).next().unwrap();
        let digest = BASE64_STANDARD.encode(Sha256::digest(inside));
        assert!(policy.contains(&format!("{tag}-src 'sha256-{digest}'")), "{tag}");
    }
}
