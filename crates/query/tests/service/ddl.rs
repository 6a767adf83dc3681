//! Databases, tables, views, and queries into files.

use lakebed_access::{Principal, Role};
use lakebed_types::ErrorKind;

use crate::lake::{Lake, Setup};

#[tokio::test]
async fn views_are_queries_that_can_be_read() {
    let lake = Lake::new().await;
    lake.rows("CREATE VIEW cheap AS SELECT VendorID AS Id, fare FROM trips WHERE fare < 2").await;
    let answer = lake.query("SELECT * FROM cheap ORDER BY id").await.unwrap();
    assert_eq!(answer.columns, ["Id", "fare"]);
    assert_eq!(answer.rows, [["0", "0.0"], ["1", "0.5"], ["2", "1.0"], ["3", "1.5"]]);
    lake.rows("CREATE VIEW cheaper (number) AS SELECT id FROM cheap WHERE fare < 1").await;
    assert_eq!(lake.rows("SELECT max(number) FROM cheaper").await, ["1"]);
    assert_eq!(lake.fails("CREATE VIEW cheap AS SELECT 1").await.kind(), ErrorKind::AlreadyExists);
    lake.rows("CREATE OR REPLACE VIEW cheap AS SELECT id + 10 AS id, fare FROM cheap").await;
    let cycle = lake.fails("SELECT * FROM cheap").await;
    assert!(cycle.message().contains("reads itself"), "{cycle:?}");
    lake.rows("DROP VIEW cheap").await;
    assert_eq!(lake.fails("SELECT * FROM cheap").await.kind(), ErrorKind::TableNotFound);
}

#[tokio::test]
async fn a_table_from_a_query_lives_in_the_lake() {
    let lake = Lake::new().await;
    let sql = "CREATE TABLE big AS SELECT vendorid, fare * 2 AS Twice FROM trips WHERE vendorid >= 1000";
    assert_eq!(lake.rows(sql).await, ["2000"]);
    let answer = lake.query("SELECT * FROM big ORDER BY vendorid LIMIT 1").await.unwrap();
    assert_eq!(
        (answer.columns, answer.rows),
        (vec!["VendorID".into(), "Twice".into()], vec![vec!["1000".into(), "1000.0".into()]])
    );
    assert_eq!(lake.fails("CREATE TABLE big AS SELECT 1 AS a").await.kind(), ErrorKind::AlreadyExists);
    lake.rows("CREATE TABLE IF NOT EXISTS big AS SELECT 1 AS a").await;
    assert_eq!(lake.rows("INSERT INTO big VALUES (7, 14), (8, 16)").await, ["2"]);
    assert_eq!(lake.rows("INSERT INTO big (twice) SELECT 1").await, ["1"]);
    assert_eq!(
        lake.rows("SELECT count(*), count(vendorid), sum(twice) FROM big WHERE vendorid < 1000 OR vendorid IS NULL")
            .await,
        ["3|2|31.0"]
    );
    lake.rows("DROP TABLE big").await;
    lake.rows("CREATE TABLE big AS SELECT 1 AS a").await;
    assert_eq!(lake.rows("SELECT * FROM big").await, ["1"], "files of the dropped table are not found again");
}

#[tokio::test]
async fn a_failed_table_leaves_nothing_behind() {
    let lake = Lake::new().await;
    let error = lake.fails("CREATE TABLE broken AS SELECT CAST(note AS BIGINT) AS n FROM trips").await;
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    assert_eq!(lake.fails("SELECT * FROM broken").await.kind(), ErrorKind::TableNotFound);
    assert_eq!(files_below(&lake.dir.path().join("lake")), 0);
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn copies_can_be_read_back() {
    let lake = Lake::new().await;
    for ending in ["parquet", "csv", "json", "ndjson"] {
        let file = lake.path(&format!("lake/out.{ending}"));
        assert_eq!(lake.rows(&format!("COPY (SELECT vendorid, note FROM trips) TO '{file}'")).await, ["3000"]);
        let sql = format!("SELECT count(*), sum(vendorid), count(note) FROM '{file}'");
        assert_eq!(lake.rows(&sql).await, ["3000|4498500|2700"], "{ending}");
    }
    let file = lake.path("lake/broken.csv");
    lake.fails(&format!("COPY (SELECT CAST(note AS BIGINT) FROM trips) TO '{file}'")).await;
    assert!(!std::path::Path::new(&file).exists());
    assert_eq!(
        lake.fails(&format!("COPY trips TO '{}'", lake.path("lake/x.doc"))).await.kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn external_tables_are_declared_inside_the_allow_list() {
    let lake = Lake::new().await;
    lake.rows("CREATE DATABASE other").await;
    let folder = lake.path("data/zones/");
    lake.rows(&format!("CREATE EXTERNAL TABLE other.zones STORED AS CSV LOCATION '{folder}'")).await;
    assert_eq!(lake.rows("SELECT count(*) FROM other.zones").await, ["4"]);
    assert_eq!(lake.fails("DROP DATABASE other").await.kind(), ErrorKind::Conflict);
    assert_eq!(lake.rows("DROP DATABASE other CASCADE").await.len(), 1);
    assert!(lake.fails("INSERT INTO trips SELECT * FROM trips").await.hint().is_some());
}

#[tokio::test]
async fn who_may_only_read_changes_nothing() {
    let lake = Lake::with(Setup { who: Principal::anonymous(Role::Read), ..Setup::default() }).await;
    let file = lake.path("lake/x.csv");
    for sql in [
        "CREATE DATABASE d".to_owned(),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        "CREATE TABLE t AS SELECT 1 AS a".to_owned(),
        "DROP TABLE trips".to_owned(),
        "INSERT INTO trips SELECT * FROM trips".to_owned(),
        format!("COPY trips TO '{file}'"),
    ] {
        assert_eq!(lake.fails(&sql).await.kind(), ErrorKind::PermissionDenied, "{sql}");
    }
    assert_eq!(lake.rows("SELECT count(*) FROM trips").await, ["3000"]);
}
