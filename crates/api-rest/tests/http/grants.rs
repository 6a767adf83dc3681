//! What a key with grants does not see does not exist for it.

use axum::{
    body::Body,
    http::{Method, Request},
};
use lakebed_access::Role;
use serde_json::{Value, json};

use crate::server::{Answer, Server, with_json};

/// A server whose database `hidden` holds the table `payroll`, the view `default.peek` reads it, and keys for `default`
/// but nothing else. Answers have none of these words; `system.queries` shows nobody else's.
struct Stage {
    server: Server,
    root: String,
    /// Reads and writes what is in `default`.
    writer: String,
    /// Reads `default.trips` and the views `default.peek` and `default.by_path`.
    reader: String,
}

const SECRETS: [&str; 4] = ["hidden", "payroll", "salary", "sales"];

impl Stage {
    async fn set() -> Self {
        let server = Server::start().await;
        let root = server.key("root", Role::Admin, &[]).await;
        let trips = server.lake.file("trips/part-0.parquet").display().to_string();
        for sql in [
            "CREATE DATABASE hidden",
            &format!("CREATE EXTERNAL TABLE hidden.payroll STORED AS PARQUET LOCATION '{trips}'"),
            "CREATE VIEW peek AS SELECT id AS salary FROM hidden.payroll",
            &format!("CREATE VIEW by_path AS SELECT id FROM read_parquet('{trips}')"),
            "CREATE VIEW fine AS SELECT id FROM trips",
        ] {
            let made = server.sql_as(&root, sql).await;
            assert_eq!(made.status, 200, "{sql}: {}", made.text());
        }
        let crawler = json!({ "location": server.lake.location().unwrap().child("sales/").unwrap().to_string() });
        assert_eq!(server.send_as(&root, with_json(Request::put("/v1/crawlers/secret"), &crawler)).await.status, 201);
        let writer = server.key("writer", Role::Write, &["default"]).await;
        let reader = server.key("reader", Role::Read, &["default.trips", "default.peek", "default.by_path"]).await;
        Self { server, root, writer, reader }
    }

    async fn rows(&self, key: &str, sql: &str) -> Vec<Value> {
        let answer = self.server.sql_as(key, sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.json()["data"].as_array().unwrap().clone()
    }

    async fn send(&self, key: &str, method: Method, uri: &str, body: Option<Value>) -> Answer {
        let builder = Request::builder().method(method).uri(uri);
        let request = match body {
            Some(body) => with_json(builder, &body),
            None => builder.body(Body::empty()).unwrap(),
        };
        self.server.send_as(key, request).await
    }
}

fn column(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

/// Status, code, message and hint, with the name that was asked for blotted out.
fn blotted(answer: &Answer, name: &str) -> (u16, String) {
    let problem = answer.json();
    let text = format!("{} {} {}", problem["code"], problem["detail"], problem["hint"]);
    (answer.status.as_u16(), text.replace(name, "NAME"))
}

#[tokio::test]
async fn lists_show_what_is_granted() {
    let stage = Stage::set().await;
    let key = &stage.reader;
    let tables = stage.rows(key, "SELECT * FROM information_schema.tables ORDER BY table_name").await;
    assert_eq!(column(&tables, "table_name"), ["by_path", "peek", "trips"]);
    assert_eq!(column(&stage.rows(key, "SHOW TABLES").await, "table_name"), ["by_path", "peek", "trips"]);
    assert_eq!(column(&stage.rows(key, "SHOW DATABASES").await, "database_name"), ["default"]);
    assert_eq!(stage.rows(key, "SELECT * FROM information_schema.schemata").await.len(), 1);
    assert!(stage.rows(key, "SELECT * FROM system.crawlers").await.is_empty());
    assert!(stage.rows(key, "SELECT * FROM system.crawl_report").await.is_empty());
    let listed = stage.server.get_as(key, "/v1/databases").await.json()["databases"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["tables"]), (1, &json!(3)));
    let whole = stage.rows(&stage.root, "SELECT * FROM information_schema.tables").await;
    assert_eq!(whole.len(), 6, "an administrator sees all");
}

#[tokio::test]
async fn no_list_tells_of_what_is_hidden() {
    let stage = Stage::set().await;
    let key = &stage.reader;
    for sql in [
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns WHERE table_name <> 'peek'",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.schemata",
        "SELECT * FROM system.tables",
        "SELECT * FROM system.files",
        "SELECT * FROM system.partitions",
        "SELECT * FROM system.crawlers",
        "SELECT * FROM system.crawl_runs",
        "SELECT * FROM system.crawl_report",
        "SELECT * FROM system.queries",
        "SHOW TABLES",
        "SHOW VIEWS",
        "SHOW DATABASES",
        "EXPLAIN SELECT * FROM trips",
    ] {
        let answer = stage.server.sql_as(key, sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        for word in SECRETS {
            let told = json!(answer.json()["data"]).to_string();
            // The view's own column is granted with it.
            assert!(!told.contains(word), "{sql} tells of {word}: {told}");
        }
    }
    for path in [
        "/",
        "/v1/databases",
        "/v1/databases/default/tables",
        "/v1/crawlers",
        "/v1/queries",
        "/api/tables",
        "/metadata",
    ] {
        let answer = stage.server.get_as(key, path).await;
        assert_eq!(answer.status, 200, "{path}");
        for word in SECRETS {
            assert!(!answer.text().contains(word), "{path} tells of {word}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_hidden_name_answers_like_a_missing_one() {
    let stage = Stage::set().await;
    for key in [&stage.reader, &stage.writer] {
        for sql in [
            "SELECT * FROM NAME",
            "SELECT count(*) FROM trips JOIN NAME USING (id)",
            "SELECT (SELECT max(id) FROM NAME) AS one",
            "EXPLAIN SELECT * FROM NAME",
            "DESCRIBE NAME",
            "SHOW COLUMNS FROM NAME",
            "SHOW CREATE TABLE NAME",
            "SHOW PARTITIONS NAME",
        ] {
            let ask = async |name: &str| blotted(&stage.server.sql_as(key, &sql.replace("NAME", name)).await, name);
            assert_eq!(ask("hidden.payroll").await, ask("nosuch.payroll").await.replaced("nosuch", "hidden"), "{sql}");
        }
        for path in [
            "/v1/databases/hidden",
            "/v1/databases/hidden/tables",
            "/v1/databases/hidden/tables/payroll",
            "/v1/databases/hidden/tables/payroll/rows",
            "/api/tables?database=hidden",
            "/api/schema/payroll?database=hidden",
            "/metadata?table=hidden.payroll",
            "/v1/crawlers/secret",
            "/v1/crawlers/secret/runs",
        ] {
            let ask = async |path: &str| blotted(&stage.server.get_as(key, path).await, "NAME");
            let missing = ask(&path.replace("hidden", "nosuch").replace("secret", "nocrawl")).await;
            let missing = missing.replaced("nosuch", "hidden").replaced("nocrawl", "secret");
            assert_eq!(ask(path).await, missing, "{path}");
            assert_eq!(missing.0, 404, "{path}");
        }
    }
    // `sales` is in a database that the reader sees in part.
    let ask =
        async |name: &str| blotted(&stage.server.sql_as(&stage.reader, &format!("SELECT * FROM {name}")).await, name);
    assert_eq!(ask("sales").await, ask("swans").await);
}

trait Replaced {
    fn replaced(self, from: &str, to: &str) -> Self;
}

impl Replaced for (u16, String) {
    fn replaced(self, from: &str, to: &str) -> Self {
        (self.0, self.1.replace(from, to))
    }
}

#[tokio::test]
async fn what_cannot_be_seen_cannot_be_made_replaced_or_dropped() {
    let stage = Stage::set().await;
    let key = &stage.writer;
    for sql in [
        "CREATE VIEW NAME AS SELECT 1 AS one",
        "CREATE OR REPLACE VIEW NAME AS SELECT 1 AS one",
        "CREATE VIEW IF NOT EXISTS NAME AS SELECT 1 AS one",
        "CREATE TABLE NAME AS SELECT 1 AS one",
        "CREATE TABLE IF NOT EXISTS NAME AS SELECT 1 AS one",
        "DROP TABLE NAME",
        "DROP TABLE IF EXISTS NAME",
        "DROP VIEW IF EXISTS NAME",
        "INSERT INTO NAME SELECT 1",
    ] {
        let ask = async |name: &str| {
            let answer = stage.server.sql_as(key, &sql.replace("NAME", name)).await;
            match answer.status.is_success() {
                true => (200, json!(answer.json()["data"]).to_string().replace(name, "NAME")),
                false => blotted(&answer, name),
            }
        };
        let missing = ask("nosuch.payroll").await.replaced("nosuch", "hidden");
        assert_eq!(ask("hidden.payroll").await, missing, "{sql}");
    }
    let drop = stage.send(key, Method::DELETE, "/v1/databases/hidden/tables/payroll", None).await;
    assert_eq!(drop.problem().0, 404);
    assert_eq!(stage.rows(&stage.root, "SELECT count(*) AS n FROM hidden.payroll").await[0]["n"], 250);
    assert_eq!(stage.rows(key, "CREATE VIEW mine AS SELECT id FROM trips").await.len(), 1);
    assert_eq!(stage.rows(key, "DROP VIEW mine").await.len(), 1);
}

#[tokio::test]
async fn a_view_opens_nothing_that_is_hidden() {
    let stage = Stage::set().await;
    for key in [&stage.reader, &stage.writer] {
        for view in ["peek", "by_path"] {
            let refused = stage.server.sql_as(key, &format!("SELECT * FROM {view}")).await;
            assert_eq!(refused.problem(), (403, "permission_denied".into()));
            for word in ["hidden", "payroll", "parquet"] {
                assert!(!refused.text().contains(word), "{}", refused.text());
            }
            let text = stage.server.sql_as(key, &format!("SHOW CREATE VIEW {view}")).await;
            assert_eq!(text.problem(), (403, "permission_denied".into()));
            let described = stage.server.get_as(key, &format!("/v1/databases/default/tables/{view}")).await;
            assert!(described.json()["sql"].is_null(), "{}", described.text());
        }
    }
    assert_eq!(stage.rows(&stage.writer, "SELECT count(*) AS n FROM fine").await[0]["n"], 250);
    assert_eq!(stage.rows(&stage.root, "SELECT count(*) AS n FROM peek").await[0]["n"], 250);
}

#[tokio::test]
async fn a_key_with_grants_uses_no_paths() {
    let stage = Stage::set().await;
    let trips = stage.server.lake.file("trips/part-0.parquet").display().to_string();
    let key = &stage.writer;
    let denied = |answer: Answer| assert_eq!(answer.problem(), (403, "permission_denied".into()));
    for sql in [
        format!("SELECT * FROM '{trips}'"),
        format!("SELECT * FROM read_parquet('{trips}')"),
        format!("EXPLAIN SELECT * FROM read_parquet('{trips}')"),
        format!("SELECT id FROM trips WHERE id IN (SELECT id FROM '{trips}')"),
        format!("CREATE VIEW v AS SELECT * FROM '{trips}'"),
        format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{trips}'"),
        format!("COPY (SELECT 1 AS a) TO '{trips}'"),
        format!("CREATE TABLE t WITH (location = '{trips}') AS SELECT 1 AS a"),
    ] {
        let answer = stage.server.sql_as(key, &sql).await;
        assert_eq!(answer.problem(), (403, "permission_denied".into()), "{sql}: {}", answer.text());
    }
    let estimate =
        stage.send(key, Method::POST, "/v1/estimate", Some(json!({"query": format!("SELECT * FROM '{trips}'")})));
    denied(estimate.await);
    let body = json!({ "location": trips });
    denied(stage.send(key, Method::PUT, "/v1/databases/default/tables/t", Some(body.clone())).await);
    denied(stage.send(key, Method::PUT, "/v1/crawlers/secret", Some(body)).await);
    denied(stage.send(key, Method::POST, "/v1/crawlers/secret/runs", None).await);
    denied(stage.send(key, Method::DELETE, "/v1/crawlers/secret", None).await);
    denied(stage.server.get_as(key, "/query-parquet?statename=tamil%20nadu&dname=chennai").await);
}

#[tokio::test]
async fn the_history_is_ones_own() {
    let stage = Stage::set().await;
    stage.rows(&stage.root, "SELECT 'a secret' AS s FROM hidden.payroll LIMIT 1").await;
    stage.rows(&stage.reader, "SELECT 1 AS mine").await;
    let seen = stage.rows(&stage.reader, "SELECT principal FROM system.queries").await;
    assert!(!seen.is_empty() && column(&seen, "principal").iter().all(|name| name == "reader"), "{seen:?}");
    let history = stage.server.get_as(&stage.reader, "/v1/queries").await.text();
    assert!(!history.contains("a secret"), "{history}");
    let all = stage.rows(&stage.root, "SELECT DISTINCT principal FROM system.queries").await;
    assert!(column(&all, "principal").contains(&"reader".to_owned()));
}
