//! Tables that take rows: files and rows that are in no file yet, as one table.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{Date32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use lakebed_catalog::CreateDeltaTable;
use lakebed_tables::{Buffers, TableBuffer, Txn};
use lakebed_types::{Clock, DatabaseName, ErrorKind, SystemClock, TableName};

use crate::lake::{Lake, location};

const APP: &str = "ingest/test/1";

fn name() -> TableName {
    TableName::new(DatabaseName::default_database(), "visits").unwrap()
}

fn schema() -> SchemaRef {
    let columns = [("id", DataType::Int64), ("Page", DataType::Utf8), ("date", DataType::Date32)];
    Arc::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
}

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let pages = StringArray::from_iter_values(ids.clone().map(|id| format!("page {}", id % 3)));
    let days = Date32Array::from_iter_values(ids.clone().map(|id| 19_723 + (id % 2) as i32));
    let ids = Int64Array::from_iter_values(ids);
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(pages), Arc::new(days)]).unwrap()
}

/// A lake with the table `visits`, and its buffer.
async fn lake() -> (Lake, Buffers, Arc<TableBuffer>) {
    let lake = Lake::new().await;
    make(&lake).await;
    let buffers = Buffers::default();
    lake.service.set_buffers(buffers.clone());
    let id = lake.service.catalog().delta(&name()).await.unwrap().state().id().to_owned();
    let buffer = buffers.open(&name(), APP, &id, schema());
    (lake, buffers, buffer)
}

async fn make(lake: &Lake) {
    let request = CreateDeltaTable {
        name: name(),
        lake: location(&lake.dir.path().join("lake/")),
        existing: None,
        schema: schema(),
        partition_column: Some("date".to_owned()),
        sort_columns: vec!["id".to_owned()],
        rules: "{}".to_owned(),
        comment: None,
        if_not_exists: false,
    };
    lake.service.catalog().create_delta_table(request).await.unwrap();
}

/// Everything up to this position goes into files; the buffer is told last.
async fn flush(lake: &Lake, buffer: &TableBuffer, upto: u64) {
    let table = lake.service.catalog().delta(&name()).await.unwrap();
    let adds = table.write_data_files(buffer.frozen(upto), &format!("flush-{upto}")).await.unwrap();
    let txn = Txn { app_id: APP.to_owned(), version: upto as i64 };
    let deadline = SystemClock.instant() + Duration::from_secs(10);
    table.append(txn, table.state().transaction(APP), adds, deadline).await.unwrap();
    buffer.flushed(upto, SystemClock.instant());
}

#[tokio::test]
async fn rows_are_read_before_and_after_they_are_in_files() {
    let (lake, _buffers, buffer) = lake().await;
    let counts = "SELECT count(*), sum(id), count(DISTINCT page) FROM visits";
    assert_eq!(lake.rows(counts).await, ["0||0"]);
    buffer.push(1, rows(0..100), 1000);
    buffer.push(2, rows(100..200), 1000);
    assert_eq!(lake.rows(counts).await, ["200|19900|3"]);
    let day = "SELECT count(*) FROM visits WHERE date = '2024-01-02' AND id < 150";
    assert_eq!(lake.rows(day).await, ["75"]);
    flush(&lake, &buffer, 1).await;
    assert_eq!(lake.rows(counts).await, ["200|19900|3"]);
    assert_eq!(lake.rows(day).await, ["75"]);
    flush(&lake, &buffer, 2).await;
    assert_eq!(lake.rows(counts).await, ["200|19900|3"]);
    assert_eq!(lake.rows("SELECT Page FROM visits WHERE ID = 7").await, ["page 1"]);
    assert_eq!(
        lake.rows("SELECT v.id FROM visits v JOIN trips t ON v.id = t.vendorid ORDER BY 1 LIMIT 1").await,
        ["0"]
    );
}

#[tokio::test]
async fn an_answer_is_kept_until_a_row_comes() {
    let (lake, _buffers, buffer) = lake().await;
    let tag = async || lake.prepare("SELECT count(*) FROM visits").await.unwrap().etag().unwrap().to_owned();
    let empty = tag().await;
    assert_eq!(empty, tag().await);
    buffer.push(1, rows(0..5), 10);
    let one = tag().await;
    assert_ne!(empty, one);
    buffer.push(2, rows(5..6), 10);
    assert_ne!(one, tag().await);
    assert_eq!(lake.rows("SELECT count(*) FROM visits").await, ["6"]);
    buffer.push(3, rows(6..7), 10);
    assert_eq!(lake.rows("SELECT count(*) FROM visits").await, ["7"]);
}

#[tokio::test]
async fn it_is_described_like_any_table() {
    let (lake, _buffers, buffer) = lake().await;
    buffer.push(1, rows(0..10), 10);
    flush(&lake, &buffer, 1).await;
    assert_eq!(
        lake.rows("DESCRIBE visits").await,
        ["id|BIGINT|YES|false", "Page|VARCHAR|YES|false", "date|DATE|YES|true"]
    );
    let tables = "SELECT type, format, columns, files, rows FROM system.tables WHERE name = 'visits'";
    assert_eq!(lake.rows(tables).await, ["table|delta|3|2|10"]);
    let partitions = "SELECT partition, rows FROM system.partitions WHERE \"table\" = 'visits' ORDER BY 1";
    assert_eq!(lake.rows(partitions).await, ["date=2024-01-01|5", "date=2024-01-02|5"]);
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'visits'";
    assert_eq!(lake.rows(columns).await, ["3"]);
    assert_eq!(lake.rows("SHOW PARTITIONS visits").await.len(), 2);
    let text = lake.rows("SHOW CREATE TABLE visits").await.join("\n");
    assert!(text.contains("-- PUT /v1/databases/default/tables/visits\n-- {\"location\":\""), "{text}");
    assert!(text.ends_with("\"ingest\":{}}") && text.lines().all(|line| line.starts_with("-- ")), "{text}");
    let files = lake.rows("SELECT path FROM system.files WHERE \"table\" = 'visits'").await;
    assert!(files.iter().all(|path| path.contains("/visits/") && path.contains("/date=2024-01-0")), "{files:?}");
}

#[tokio::test]
async fn sql_does_not_write_into_it_and_drops_it_with_its_rows() {
    let (lake, _buffers, buffer) = lake().await;
    buffer.push(1, rows(0..10), 10);
    let refused = lake.fails("INSERT INTO visits VALUES (1, 'x', '2024-01-01')").await;
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.hint().unwrap().contains("POST /v1/databases/default/tables/visits/rows"), "{refused:?}");
    for sql in ["CREATE OR REPLACE TABLE visits AS SELECT 1 AS a", "CREATE VIEW visits AS SELECT 1 AS a"] {
        assert_eq!(lake.fails(sql).await.kind(), ErrorKind::AlreadyExists, "{sql}");
    }
    assert_eq!(lake.fails("DROP VIEW visits").await.kind(), ErrorKind::InvalidRequest);
    lake.rows("DROP TABLE visits").await;
    assert_eq!(lake.fails("SELECT * FROM visits").await.kind(), ErrorKind::TableNotFound);
    // Another one of its name has rows of its own.
    make(&lake).await;
    assert_eq!(lake.rows("SELECT count(*) FROM visits").await, ["0"]);
}
