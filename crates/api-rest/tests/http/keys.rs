//! `/v1/keys`, and how a key is sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{body::Body, extract::ConnectInfo, http::Request};
use base64::{Engine, prelude::BASE64_STANDARD};
use lakebed_access::Role;
use lakebed_api_rest::RestSettings;
use serde_json::json;

use crate::server::{Answer, Server, with_json};

#[tokio::test]
async fn a_key_is_made_shown_once_used_and_revoked() {
    let server = Server::start().await;
    let first = server.post("/v1/keys", json!({"name": "early", "role": "read"})).await;
    assert_eq!(first.problem(), (409, "conflict".into()), "who would make the next one?");

    let made = server.post("/v1/keys", json!({"name": "root", "role": "admin"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("cache-control"), "no-store");
    let root = made.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(server.get("/v1/databases").await.problem(), (401, "unauthenticated".into()));

    let body =
        json!({"name": "reports", "role": "read", "grants": ["Default.trips"], "expires": "2100-01-01T00:00:00Z"});
    let made = server.send_as(&root, with_json(Request::post("/v1/keys"), &body)).await.json();
    let reports = made["key"].as_str().unwrap();
    assert_eq!(made["grants"], json!(["default.trips"]));
    assert_eq!(server.sql_as(reports, "SELECT count(*) FROM trips").await.status, 200);

    let list = server.get_as(&root, "/v1/keys").await;
    let keys = list.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2);
    let of = |name: &str| keys.iter().find(|key| key["name"] == name).unwrap();
    assert_eq!((of("root")["grants"].is_null(), &of("root")["role"]), (true, &json!("admin")));
    assert_eq!(of("reports")["state"], "valid");
    assert!(of("reports")["last_used"].is_string());
    for secret in [&root, reports] {
        assert!(!list.text().contains(secret.rsplit('_').next().unwrap()), "a list tells no secret");
    }

    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let revoke = async || server.send_as(&root, Request::delete(&path).body(Body::empty()).unwrap()).await;
    assert_eq!((revoke().await.status, revoke().await.status), (204.try_into().unwrap(), 204.try_into().unwrap()));
    assert_eq!(server.sql_as(reports, "SELECT 1").await.problem(), (401, "unauthenticated".into()));
    let last = server.send_as(&root, Request::delete("/v1/keys/root").body(Body::empty()).unwrap()).await;
    assert_eq!(last.problem(), (409, "conflict".into()));
    let unknown = server.send_as(&root, Request::delete("/v1/keys/nobody").body(Body::empty()).unwrap()).await;
    assert_eq!(unknown.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn wrong_requests_for_keys_are_refused() {
    let server = Server::start().await;
    let root = server.key("root", Role::Admin, &[]).await;
    for (body, status) in [
        (json!({"name": "a b", "role": "read"}), 400),
        (json!({"name": "x", "role": "owner"}), 400),
        (json!({"name": "x", "role": "read", "grants": []}), 400),
        (json!({"name": "x", "role": "read", "grants": ["a.b.c"]}), 400),
        (json!({"name": "x", "role": "read", "expires": "2000-01-01T00:00:00Z"}), 400),
        (json!({"name": "x", "role": "admin", "grants": ["default"]}), 400),
        (json!({"name": "root", "role": "read"}), 409),
    ] {
        let answer = server.send_as(&root, with_json(Request::post("/v1/keys"), &body)).await;
        assert_eq!(answer.problem().0, status, "{body}");
    }
}

#[tokio::test]
async fn one_key_is_sent_as_bearer_or_as_a_password() {
    let server = Server::start().await;
    let root = server.key("root", Role::Admin, &[]).await;
    let send = async |header: &str| {
        let request = Request::get("/v1/databases").header("authorization", header).body(Body::empty()).unwrap();
        server.send(request).await
    };
    for header in [format!("Bearer {root}"), basic("anyone", &root), basic(&root[3..19], &root)] {
        assert_eq!(send(&header).await.status, 200, "{header}");
    }
    for header in [root.clone(), format!("Token {root}"), basic(&root, ""), basic("root", "root"), "Basic ?".into()] {
        let refused = send(&header).await;
        assert_eq!(refused.problem(), (401, "unauthenticated".into()), "{header}");
        let challenges: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
        assert!(challenges.iter().any(|value| value.to_str().unwrap().starts_with("Basic ")), "{challenges:?}");
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn many_wrong_keys_from_one_address_are_slowed_down() {
    let server = Server::start().await;
    let root = server.key("root", Role::Admin, &[]).await;
    let send = async |key: &str, host: u8| {
        let mut request = Request::get("/v1/databases").body(Body::empty()).unwrap();
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 40_000);
        request.extensions_mut().insert(ConnectInfo(address));
        server.send_as(key, request).await
    };
    let wrong = format!("lb_{}_{}", "0".repeat(16), "0".repeat(64));
    let mut last = send(&wrong, 1).await;
    for _ in 0..40 {
        assert_eq!(last.status, 401);
        last = send(&wrong, 1).await;
        if last.status == 429 {
            break;
        }
    }
    assert_eq!(last.problem(), (429, "too_many_logins".into()));
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(send(&wrong, 2).await.status, 401, "another address is not slowed down");
    assert_eq!(send(&root, 1).await.status, 200, "a right key is let in at any time");
}

#[tokio::test]
async fn metrics_are_open_where_the_operator_says_so() {
    let server = Server::with(RestSettings { open_metrics: true, ..RestSettings::default() }).await;
    server.key("root", Role::Admin, &[]).await;
    assert_eq!(server.get("/metrics").await.status, 200);
    assert_eq!(server.get("/v1/databases").await.status, 401);
}

#[tokio::test]
async fn roles_bound_statements() {
    let server = Server::start().await;
    server.key("root", Role::Admin, &[]).await;
    let read = server.key("reader", Role::Read, &[]).await;
    let write = server.key("writer", Role::Write, &[]).await;
    let denied = |answer: Answer| assert_eq!(answer.problem(), (403, "permission_denied".into()));
    for sql in ["CREATE VIEW v AS SELECT 1 AS one", "DROP TABLE trips", "/* SELECT */ CREATE TABLE t AS SELECT 1 AS a"]
    {
        denied(server.sql_as(&read, sql).await);
    }
    assert_eq!(server.sql_as(&write, "CREATE VIEW v AS SELECT 1 AS one").await.status, 200);
    assert_eq!(server.sql_as(&read, "SELECT * FROM v").await.status, 200);
    denied(server.sql_as(&write, "CREATE DATABASE more").await);
}
