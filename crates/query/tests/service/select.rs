//! Queries, names, parameters, estimates and tags.

use lakebed_query::{Parameters, RowsRequest};
use lakebed_types::{Clock, DatabaseName, ErrorKind, SystemClock, TableName};

use crate::lake::{Lake, collect, options};

#[tokio::test]
async fn joins_and_aggregates_over_formats() {
    let lake = Lake::new().await;
    let sql = "SELECT z.borough, count(*) AS trips, sum(fare) AS total FROM trips t JOIN zones z ON t.zone = z.zone \
               WHERE vendorid < 100 GROUP BY z.borough ORDER BY total";
    // ids 0..100: zone k has k, k+4, …: 25 ids with the sum 1200 + 25 k; a fare is half an id.
    let expected = ["Queens|25|600.0", "Bronx|25|612.5", "Manhattan|25|625.0", "|25|637.5"];
    assert_eq!(lake.rows(sql).await, expected);
}

#[tokio::test]
async fn results_keep_the_spelling_of_file_and_alias() {
    let lake = Lake::new().await;
    let answer = lake.query("SELECT vendorid, \"VENDORID\" AS Again, zone, zone FROM trips LIMIT 1").await.unwrap();
    assert_eq!(answer.columns, ["VendorID", "Again", "zone", "zone_1"]);
    let answer = lake.query("SELECT * FROM trips WHERE \"VendorID\" = 7").await.unwrap();
    assert_eq!(answer.columns, ["VendorID", "zone", "fare", "note"]);
    assert_eq!(answer.rows, [["7", "3", "3.5", "note 7"]]);
}

#[tokio::test]
async fn nulls_come_last_in_both_directions() {
    let lake = Lake::new().await;
    for direction in ["ASC", "DESC"] {
        let rows = lake.rows(&format!("SELECT note FROM trips WHERE vendorid < 12 ORDER BY note {direction}")).await;
        assert_eq!(rows[10..], ["", ""], "{direction}");
    }
}

#[tokio::test]
async fn partitions_are_typed_and_pruned() {
    let lake = Lake::new().await;
    let sql = "SELECT count(*), arrow_typeof(min(day)) FROM events WHERE day = DATE '2024-01-02'";
    let answer = lake.query(sql).await.unwrap();
    assert_eq!(answer.rows, [["10", "Date32"]]);
    let stats = answer.stats.snapshot();
    assert_eq!((stats.files_scanned, stats.files_pruned), (1, 1));
}

#[tokio::test]
async fn parameters_are_typed_by_the_plan() {
    let lake = Lake::new().await;
    let positional = Parameters::Positional(vec![5.into(), "note 3".into()]);
    let sql = "SELECT vendorid FROM trips WHERE vendorid < $1 AND note = $2";
    assert_eq!(lake.query_with(sql, positional).await.unwrap().rows, [["3"]]);
    let named = Parameters::Named(vec![("limit".into(), 2.into())]);
    let sql = "SELECT count(*) FROM trips WHERE vendorid < $limit";
    assert_eq!(lake.query_with(sql, named).await.unwrap().rows, [["2"]]);
    let missing = lake.query_with("SELECT $1 + 1", Parameters::None).await;
    assert!(missing.is_err());
}

#[tokio::test]
async fn locations_in_the_allow_list_are_tables() {
    let lake = Lake::new().await;
    let path = lake.path("data/zones/zones.csv");
    assert_eq!(lake.rows(&format!("SELECT count(*) FROM read_csv('{path}')")).await, ["4"]);
    assert_eq!(lake.rows(&format!("SELECT count(*) FROM '{path}'")).await, ["4"]);
    let parquet = lake.path("data/trips/*.parquet");
    assert_eq!(lake.rows(&format!("SELECT max(vendorid) FROM read_parquet('{parquet}')")).await, ["2999"]);
}

#[tokio::test]
async fn wrong_names_are_told_with_the_nearest() {
    let lake = Lake::new().await;
    let error = lake.fails("SELECT vendor_id FROM trips").await;
    assert_eq!(error.kind(), ErrorKind::UnknownColumn);
    assert!(error.hint().unwrap().contains("vendorid"), "{error:?} {:?}", error.hint());
    let error = lake.fails("SELECT * FROM tripz").await;
    assert_eq!(error.kind(), ErrorKind::TableNotFound);
    assert!(error.hint().unwrap().contains("trips"), "{:?}", error.hint());
    assert_eq!(lake.fails("SELECT 1 / 0").await.kind(), ErrorKind::InvalidValue);
    assert_eq!(lake.fails("SELECT CAST(note AS BIGINT) FROM trips").await.kind(), ErrorKind::InvalidValue);
    assert_eq!(lake.fails("SELEC 1").await.kind(), ErrorKind::SyntaxError);
}

#[tokio::test]
async fn statistics_count_what_was_read() {
    let lake = Lake::new().await;
    let answer = lake.query("SELECT sum(fare) FROM trips WHERE vendorid >= 2000").await.unwrap();
    assert_eq!(answer.rows, [["1249750.0"]]);
    let stats = answer.stats.snapshot();
    assert_eq!((stats.files_scanned, stats.files_pruned), (1, 2), "statistics rule two files out");
    assert_eq!((stats.rows_returned, stats.rows_scanned), (1, 1000));
    assert!(stats.bytes_scanned > 0 && stats.bytes_fetched > 0 && stats.price_usd > 0.0, "{stats:?}");
    assert!(stats.first_row_ms.is_some() && stats.planning_ms > 0.0);
}

#[tokio::test]
async fn an_estimate_reads_nothing_and_knows_the_columns() {
    let lake = Lake::new().await;
    let prepared = lake.prepare("SELECT sum(fare) FROM trips WHERE vendorid >= 2000").await.unwrap();
    let before = lake.service.catalog().storage().counters().requests();
    let estimate = lake.service.estimate(&prepared).await.unwrap();
    assert_eq!(lake.service.catalog().storage().counters().requests(), before);
    assert_eq!((estimate.files, estimate.files_pruned, estimate.rows), (1, 2, 1000));
    assert_eq!(estimate.tables[0].table, "default.trips");
    let wide = lake.prepare("SELECT * FROM trips").await.unwrap();
    assert!(lake.service.estimate(&wide).await.unwrap().bytes > estimate.bytes);
}

#[tokio::test]
async fn a_tag_lasts_as_long_as_the_data() {
    let lake = Lake::new().await;
    let tag = async |sql: &str| lake.prepare(sql).await.unwrap().etag();
    let first = tag("SELECT count(*) FROM trips").await;
    assert!(first.is_some());
    assert_eq!(first, tag("SELECT count(*) FROM trips").await);
    assert_ne!(first, tag("SELECT count(*) FROM zones").await);
    assert_eq!(tag("SELECT now()").await, None);
    assert_eq!(tag("SELECT count(*) FROM system.queries").await, None);
    assert_eq!(tag("SHOW TABLES").await, None);
}

#[tokio::test]
async fn rows_of_a_table_without_sql() {
    let lake = Lake::new().await;
    let table = TableName::new(DatabaseName::default_database(), "trips").unwrap();
    let request = RowsRequest {
        columns: vec!["VendorID".into(), "fare".into()],
        filter: Some("zone = 2 -- only these".into()),
        sort: vec![("vendorid".into(), true)],
        limit: 2,
        offset: 1,
    };
    let prepared = lake.service.prepare_rows(&lake.who, &table, &request, &options()).await.unwrap();
    let answer = collect(lake.service.run(lake.admit().await, prepared).await.unwrap()).await.unwrap();
    assert_eq!(answer.columns, ["VendorID", "fare"]);
    assert_eq!(answer.rows, [["2994", "1497.0"], ["2990", "1495.0"]]);
    for filter in ["zone = 2) OR (1 = 1", "zone IN (SELECT 1)", "zone = 2; DROP TABLE trips", "zone = 2 LIMIT 1"] {
        let request = RowsRequest { filter: Some(filter.into()), limit: 1, ..RowsRequest::default() };
        let refused = lake.service.prepare_rows(&lake.who, &table, &request, &options()).await;
        assert!(refused.is_err(), "{filter}");
    }
}

#[tokio::test]
async fn explain_shows_both_plans_and_analyze_runs() {
    let lake = Lake::new().await;
    let rows = lake.query("EXPLAIN SELECT fare FROM trips WHERE vendorid = 3").await.unwrap().rows;
    assert_eq!((rows[0][0].as_str(), rows[1][0].as_str()), ("logical_plan", "physical_plan"));
    assert!(rows[0][1].contains("TableScan") && rows[1][1].contains("DataSourceExec"), "{rows:?}");
    let rows = lake.query("EXPLAIN ANALYZE SELECT fare FROM trips WHERE vendorid = 3").await.unwrap().rows;
    assert!(rows[0][1].contains("output_rows=1"), "{rows:?}");
}

#[tokio::test]
async fn a_statement_has_one_now() {
    use chrono::Utc;
    let lake = Lake::new().await;
    let before = SystemClock.now();
    let sql = "SELECT now() AS t, now() = CURRENT_TIMESTAMP, current_date = CAST(now() AS DATE), \
               (SELECT count(*) FROM trips WHERE now() > TIMESTAMP '2020-01-01 00:00:00') FROM zones WHERE zone = 0";
    let rows = lake.query(sql).await.unwrap().rows;
    let told: chrono::DateTime<Utc> = rows[0][0].parse().unwrap();
    assert!(before <= told && told <= SystemClock.now(), "{told}");
    assert_eq!(rows[0][1..], ["true", "true", "3000"]);
}
