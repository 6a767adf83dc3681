//! Every route × every kind of caller. A route that the OpenAPI document or the router knows and this file does not fails
//! the test.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request},
};
use lakebed_access::{Grants, NewKey, Principal, Role};
use lakebed_types::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::server::{Answer, Server, with_json};

/// What a route asks of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needs {
    Nothing,
    Role(Role),
    /// Any role, and what is asked for is the caller's own: an administrator's, in this test.
    Own,
}

/// One route, and a request that an administrator may send.
struct Route {
    method: Method,
    /// As the router has it.
    path: &'static str,
    /// Without the names of what is there.
    uri: &'static str,
    body: Option<Value>,
    needs: Needs,
    /// The status for a writer's key that sees another database only.
    elsewhere: u16,
}

fn route(method: Method, path: &'static str, uri: &'static str, needs: Needs, elsewhere: u16) -> Route {
    Route { method, path, uri, body: None, needs, elsewhere }
}

impl Route {
    fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

const READ: Needs = Needs::Role(Role::Read);
const WRITE: Needs = Needs::Role(Role::Write);
const ADMIN: Needs = Needs::Role(Role::Admin);

fn routes() -> Vec<Route> {
    let (get, post) = (Method::GET, Method::POST);
    let mut all = documents();
    all.extend(catalog_routes());
    all.extend(crawler_routes());
    let count = "SELECT count(*) AS n FROM trips";
    let statement = json!({ "query": count });
    all.extend([
        route(get.clone(), "/health", "/health", Needs::Nothing, 200),
        route(get.clone(), "/ready", "/ready", Needs::Nothing, 200),
        route(get.clone(), "/metrics", "/metrics", ADMIN, 403),
        route(get.clone(), "/", "/", READ, 200),
        route(post.clone(), "/v1/sql", "/v1/sql", READ, 404).with(statement.clone()),
        route(get.clone(), "/v1/sql", "/v1/sql?query=SELECT%20count(*)%20FROM%20trips", READ, 404),
        route(post.clone(), "/v1/estimate", "/v1/estimate", READ, 404).with(statement.clone()),
        route(post.clone(), "/v1/queries", "/v1/queries", READ, 404).with(statement.clone()),
        route(get.clone(), "/v1/queries", "/v1/queries", READ, 200),
        route(get.clone(), "/v1/queries/{id}", "/v1/queries/QUERY", Needs::Own, 404),
        route(get.clone(), "/v1/queries/{id}/results", "/v1/queries/QUERY/results", Needs::Own, 404),
        route(Method::DELETE, "/v1/queries/{id}", "/v1/queries/QUERY", Needs::Own, 404),
        route(get.clone(), "/query-parquet", "/query-parquet?statename=tamil%20nadu&dname=chennai", READ, 403),
        route(post.clone(), "/query", "/query", READ, 404).with(statement.clone()),
        route(get.clone(), "/metadata", "/metadata?table=trips", READ, 404),
        route(post.clone(), "/api/query", "/api/query", READ, 404).with(statement),
        route(get.clone(), "/api/tables", "/api/tables", READ, 404),
        route(get.clone(), "/api/schema/{table}", "/api/schema/trips", READ, 404),
        route(get.clone(), "/v1/workgroups", "/v1/workgroups", READ, 200),
        route(get.clone(), "/v1/workgroups/{name}", "/v1/workgroups/default", READ, 200),
        route(Method::PUT, "/v1/workgroups/{name}", "/v1/workgroups/new", ADMIN, 403).with(json!({"result_rows": 5})),
        route(Method::DELETE, "/v1/workgroups/{name}", "/v1/workgroups/spare", ADMIN, 403),
        route(get, "/v1/keys", "/v1/keys", ADMIN, 403),
        route(post, "/v1/keys", "/v1/keys", ADMIN, 403).with(json!({"name": "new", "role": "read"})),
        route(Method::DELETE, "/v1/keys/{id}", "/v1/keys/spare", ADMIN, 403),
    ]);
    all
}

/// What describes the API and says nothing of the data.
fn documents() -> Vec<Route> {
    ["/openapi.json", "/redoc", "/redoc/", "/redoc/2.5.4/redoc.standalone.js", "/docs", "/docs/"]
        .map(|path| route(Method::GET, path, path, Needs::Nothing, 200))
        .into_iter()
        .chain([route(Method::GET, "/docs/{*rest}", "/docs/swagger-ui.css", Needs::Nothing, 200)])
        .collect()
}

fn catalog_routes() -> Vec<Route> {
    let (get, put, delete) = (Method::GET, Method::PUT, Method::DELETE);
    let (database, tables) = ("/v1/databases/{database}", "/v1/databases/{database}/tables");
    let post = Method::POST;
    let table = "/v1/databases/{database}/tables/{table}";
    let rows = "/v1/databases/{database}/tables/{table}/rows";
    let flush = "/v1/databases/{database}/tables/{table}/flush";
    let merge = "/v1/databases/{database}/tables/{table}/merge";
    let tail = "/v1/databases/{database}/tables/{table}/tail";
    let uri = "/v1/databases/default/tables/trips";
    vec![
        route(get.clone(), "/v1/databases", "/v1/databases", READ, 200),
        route(get.clone(), database, "/v1/databases/default", READ, 404),
        route(put.clone(), database, "/v1/databases/more", ADMIN, 403).with(json!({})),
        route(get.clone(), tables, "/v1/databases/default/tables", READ, 404),
        route(get.clone(), table, uri, READ, 404),
        route(get.clone(), rows, "/v1/databases/default/tables/trips/rows", READ, 404),
        route(put, table, "/v1/databases/default/tables/made", WRITE, 403).with(json!({"location": "LAKE/trips/"})),
        route(post.clone(), rows, "/v1/databases/default/tables/events/rows", WRITE, 404).with(json!([{"id": 1}])),
        route(post.clone(), flush, "/v1/databases/default/tables/events/flush", WRITE, 404),
        route(post, merge, "/v1/databases/default/tables/events/merge", WRITE, 404),
        route(get.clone(), tail, "/v1/databases/default/tables/events/tail", READ, 404),
        route(delete.clone(), table, "/v1/databases/default/tables/sales", WRITE, 404),
        route(delete, database, "/v1/databases/spare?cascade=true", ADMIN, 403),
    ]
}

fn crawler_routes() -> Vec<Route> {
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    let (crawler, runs) = ("/v1/crawlers/{name}", "/v1/crawlers/{name}/runs");
    vec![
        route(get.clone(), "/v1/crawlers", "/v1/crawlers", READ, 200),
        route(put, crawler, "/v1/crawlers/new", WRITE, 403).with(json!({"location": "LAKE/sales/"})),
        route(get.clone(), crawler, "/v1/crawlers/nightly", READ, 404),
        route(post, runs, "/v1/crawlers/nightly/runs", WRITE, 403).with(json!({"wait_ms": 60_000})),
        route(get.clone(), runs, "/v1/crawlers/nightly/runs", READ, 404),
        route(get, "/v1/crawlers/{name}/runs/{id}", "/v1/crawlers/nightly/runs/RUN", READ, 404),
        route(delete, crawler, "/v1/crawlers/nightly", WRITE, 403),
    ]
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    NoKey,
    Wrong,
    Expired,
    Revoked,
    Role(Role),
    /// A writer that sees only the database `elsewhere`.
    Elsewhere,
}

const CALLERS: [Caller; 8] = [
    Caller::NoKey,
    Caller::Wrong,
    Caller::Expired,
    Caller::Revoked,
    Caller::Role(Role::Read),
    Caller::Role(Role::Write),
    Caller::Role(Role::Admin),
    Caller::Elsewhere,
];

/// A server with something behind every route, and the ids that only it knows.
struct Stage {
    server: Server,
    root: String,
    query: String,
    run: String,
}

impl Stage {
    async fn set() -> Self {
        let server = Server::start().await;
        // A tail has no end of its own.
        server.stop.cancel();
        let root = server.key("root", Role::Admin, &[]).await;
        server.key("spare", Role::Read, &[]).await;
        let spare = with_json(Request::put("/v1/workgroups/spare"), &json!({}));
        assert_eq!(server.send_as(&root, spare).await.status, 201);
        for sql in ["CREATE DATABASE elsewhere", "CREATE DATABASE spare"] {
            assert_eq!(server.sql_as(&root, sql).await.status, 200);
        }
        let location = server.lake.location().unwrap().child("sales/").unwrap().to_string();
        let crawler = json!({ "location": location });
        assert_eq!(server.send_as(&root, with_json(Request::put("/v1/crawlers/nightly"), &crawler)).await.status, 201);
        let events = json!({"columns": [{"name": "id", "type": "bigint"}], "ingest": {}});
        let events = with_json(Request::put("/v1/databases/default/tables/events"), &events);
        assert_eq!(server.send_as(&root, events).await.status, 201);
        let run = with_json(Request::post("/v1/crawlers/nightly/runs"), &json!({"wait_ms": 60_000}));
        let run = server.send_as(&root, run).await.json()["id"].as_str().unwrap().to_owned();
        let query = with_json(Request::post("/v1/queries"), &json!({"query": "SELECT 1 AS one"}));
        let query = server.send_as(&root, query).await.json()["query_id"].as_str().unwrap().to_owned();
        let stage = Self { server, root, query, run };
        stage.query_ends().await;
        stage
    }

    async fn query_ends(&self) {
        for _ in 0..6000 {
            let record = self.server.get_as(&self.root, &format!("/v1/queries/{}", self.query)).await.json();
            if record["state"] == "SUCCEEDED" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the query does not end");
    }

    async fn key_of(&self, caller: Caller) -> Option<String> {
        match caller {
            Caller::NoKey => None,
            Caller::Wrong => Some(format!("{}{}", &self.root[..self.root.len() - 64], "0".repeat(64))),
            Caller::Expired => Some(self.expired_key().await),
            Caller::Revoked => {
                let key = self.server.key("revoked", Role::Admin, &[]).await;
                self.server.query.access().keys().revoke(&Principal::local(), "revoked").await.unwrap();
                Some(key)
            }
            Caller::Role(Role::Admin) => Some(self.root.clone()),
            Caller::Role(role) => Some(self.server.key(role.name(), role, &[]).await),
            Caller::Elsewhere => Some(self.server.key("elsewhere", Role::Write, &["elsewhere"]).await),
        }
    }

    async fn expired_key(&self) -> String {
        let expires = SystemClock.now() + chrono::TimeDelta::milliseconds(100);
        let new = NewKey {
            name: "expired".into(),
            role: Role::Admin,
            grants: Grants::everything(),
            workgroup: "default".into(),
            expires: Some(expires),
        };
        let (_, text) = self.server.query.access().keys().create(&Principal::local(), new).await.unwrap();
        while SystemClock.now() < expires {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        text.to_string()
    }

    async fn send(&self, route: &Route, key: Option<&str>) -> Answer {
        let lake = self.server.lake.location().unwrap().to_string();
        let uri = route.uri.replace("QUERY", &self.query).replace("RUN", &self.run);
        let builder = Request::builder().method(route.method.clone()).uri(uri);
        let request = match &route.body {
            None => builder.body(Body::empty()).unwrap(),
            Some(body) => {
                let body = body.to_string().replace("LAKE/", &format!("{}/", lake.trim_end_matches('/')));
                with_json(builder, &serde_json::from_str(&body).unwrap())
            }
        };
        match key {
            Some(key) => self.server.send_as(key, request).await,
            None => self.server.send(request).await,
        }
    }
}

#[tokio::test]
async fn every_route_answers_whom_it_should() {
    for caller in CALLERS {
        let stage = Stage::set().await;
        let key = stage.key_of(caller).await;
        for route in routes() {
            let answer = stage.send(&route, key.as_deref()).await;
            let what = format!("{caller:?}: {} {} gave {}: {}", route.method, route.uri, answer.status, answer.text());
            check(caller, &route, &answer, &what);
        }
    }
}

fn check(caller: Caller, route: &Route, answer: &Answer, what: &str) {
    let status = answer.status.as_u16();
    match (caller, route.needs) {
        // `/docs` leads on to `/docs/`.
        (_, Needs::Nothing) => assert!(answer.status.is_success() || answer.status.is_redirection(), "{what}"),
        (Caller::NoKey | Caller::Wrong | Caller::Expired | Caller::Revoked, _) => {
            // Too many wrong ones are told so.
            let code = if status == 429 { "too_many_logins" } else { "unauthenticated" };
            assert_eq!(answer.problem().1, code, "{what}");
            assert!(status == 401 || (status == 429 && caller != Caller::NoKey), "{what}");
        }
        (Caller::Elsewhere, _) => assert_eq!(status, route.elsewhere, "{what}"),
        (Caller::Role(Role::Admin), _) => assert!(answer.status.is_success(), "{what}"),
        (Caller::Role(_), Needs::Own) => assert_eq!(status, 404, "{what}"),
        (Caller::Role(role), Needs::Role(needed)) if role < needed => {
            assert_eq!(answer.problem(), (403, "permission_denied".into()), "{what}");
        }
        (Caller::Role(_), _) => assert!(answer.status.is_success(), "{what}"),
    }
}

#[tokio::test]
async fn without_a_key_no_method_of_a_closed_route_answers() {
    let stage = Stage::set().await;
    for route in routes().into_iter().filter(|route| route.needs != Needs::Nothing) {
        for method in
            [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS]
        {
            let answer = stage.send(&Route { method, body: None, ..route }, None).await;
            assert_eq!(answer.status, 401, "{}", route.uri);
        }
    }
    assert_eq!(stage.server.get("/nowhere").await.status, 401);
}

#[tokio::test]
async fn what_is_open_says_nothing_of_the_data() {
    let stage = Stage::set().await;
    for route in routes().into_iter().filter(|route| route.needs == Needs::Nothing) {
        let text = stage.send(&route, None).await.text();
        for word in ["trips", "elsewhere", "chennai", &stage.query] {
            assert!(!text.contains(word), "{} tells of {word}", route.uri);
        }
    }
}

#[tokio::test]
async fn every_route_stands_in_the_matrix() {
    let known: BTreeSet<(String, String)> =
        routes().iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    let document = lakebed_api_rest::openapi();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(known.contains(&(method.to_uppercase(), path.clone())), "{method} {path} is not in the matrix");
            let open = operation["security"].is_array();
            let route = routes().into_iter().find(|route| route.path == path && route.method == *method.to_uppercase());
            assert_eq!(open, route.unwrap().needs == Needs::Nothing, "{method} {path}: the document says otherwise");
        }
    }
    let paths: BTreeSet<String> = known.into_iter().map(|(_, path)| path).collect();
    let routed = routed_paths(&Server::start().await.router);
    assert!(routed.contains("/v1/sql") && routed.len() >= 30, "the router tells its paths no more: {routed:?}");
    let missing: Vec<_> = routed.difference(&paths).collect();
    assert!(missing.is_empty(), "{missing:?} are not in the matrix");
}

/// The paths of a router, from its debug output: axum has no other list of them.
fn routed_paths(router: &axum::Router) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with('/') && !text.contains("__private__")).map(str::to_owned).collect()
}
