//! `SHOW`, `DESCRIBE`, `information_schema` and `system`.

use lakebed_types::ErrorKind;

use crate::lake::Lake;

#[tokio::test]
async fn the_catalog_can_be_asked_in_sql() {
    let lake = Lake::new().await;
    let sql = "SELECT table_name, table_type FROM information_schema.tables ORDER BY table_name";
    assert_eq!(lake.rows(sql).await, ["events|BASE TABLE", "trips|BASE TABLE", "zones|BASE TABLE"]);
    let sql = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'trips' ORDER BY ordinal_position";
    assert_eq!(lake.rows(sql).await, ["VendorID|BIGINT", "zone|BIGINT", "fare|DOUBLE", "note|VARCHAR"]);
    assert_eq!(lake.rows("SELECT schema_name FROM information_schema.schemata").await, ["default"]);
    assert_eq!(lake.rows("SELECT files, rows FROM system.tables WHERE name = 'trips'").await, ["3|3000"]);
    assert_eq!(
        lake.rows("SELECT partition FROM system.partitions ORDER BY 1").await,
        ["day=2024-01-01", "day=2024-01-02"]
    );
    assert_eq!(lake.rows("SELECT sum(rows) FROM system.files WHERE \"table\" = 'trips'").await, ["3000"]);
    assert_eq!(lake.rows("SELECT count(*) FROM system.crawl_runs").await, ["1"]);
    let error = lake.fails("SELECT * FROM system.tablez").await;
    assert!(error.kind() == ErrorKind::TableNotFound && error.hint().unwrap().contains("system.tables"));
}

#[tokio::test]
async fn the_history_knows_what_ran() {
    let lake = Lake::new().await;
    lake.rows("SELECT 41 + 1").await;
    lake.fails("SELECT nothing FROM trips").await;
    let sql = "SELECT state, kind, error_code FROM system.queries WHERE sql LIKE 'SELECT 41%' OR sql LIKE '%nothing%' ORDER BY state";
    assert_eq!(lake.rows(sql).await, ["FAILED||unknown_column", "SUCCEEDED|SELECT|"]);
    let newest = lake.service.history(&lake.who, 1, None);
    assert!(newest[0].sql.contains("system.queries"));
    let older = lake.service.history(&lake.who, 10, Some(newest[0].id));
    assert_eq!(older.len(), 2);
}

#[tokio::test]
async fn show_and_describe() {
    let lake = Lake::new().await;
    assert_eq!(lake.rows("SHOW TABLES LIKE 't%'").await, ["trips|table|default"]);
    assert_eq!(lake.rows("SHOW DATABASES").await.len(), 1);
    assert_eq!(lake.rows("DESCRIBE events").await[4], "day|DATE|YES|true");
    assert_eq!(
        lake.rows("SHOW PARTITIONS events").await,
        ["day=2024-01-01|1|10|".to_owned() + &size(&lake), "day=2024-01-02|1|10|".to_owned() + &size(&lake)]
    );
    assert_eq!(lake.rows("DESCRIBE SELECT 1 AS a").await[0].split('|').next(), Some("a"));
    assert!(lake.rows("SHOW CREATE TABLE trips").await[0].contains("STORED AS PARQUET"));
    assert!(lake.rows("SHOW FUNCTIONS LIKE 'date_tr%'").await.contains(&"date_trunc|scalar".to_owned()));
    assert_eq!(lake.fails("SHOW TABLES IN nowhere").await.kind(), ErrorKind::DatabaseNotFound);
}

fn size(lake: &Lake) -> String {
    std::fs::metadata(lake.path("data/events/day=2024-01-01/part.parquet")).unwrap().len().to_string()
}
