//! Delta tables in the catalog.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lakebed_tables::Txn;
use lakebed_types::{Clock, ErrorKind};

use super::lake::{Lake, ints, longs, name, texts};
use crate::{CreateDeltaTable, CreateTable, TableKind};

fn schema() -> SchemaRef {
    let columns = [("id", DataType::UInt32), ("name", DataType::Utf8), ("date", DataType::Date32)];
    Arc::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
}

fn request(lake: &Lake, table: &str) -> CreateDeltaTable {
    CreateDeltaTable {
        name: name(table),
        lake: lake.managed(),
        existing: None,
        schema: schema(),
        partition_column: Some("date".to_owned()),
        sort_columns: vec!["id".to_owned()],
        rules: r#"{"unknown":"reject"}"#.to_owned(),
        comment: Some("events".to_owned()),
        if_not_exists: false,
    }
}

async fn append(lake: &Lake, table: &str, ids: &[i64], version: i64) {
    let delta = lake.catalog.delta(&name(table)).await.unwrap();
    let names = texts(&vec!["x"; ids.len()]);
    let batch = arrow::record_batch::RecordBatch::try_from_iter([("id", longs(ids)), ("name", names)]).unwrap();
    let adds = delta.write_data_files(vec![batch], &format!("p{version}")).await.unwrap();
    let txn = Txn { app_id: "a".to_owned(), version };
    let deadline = lake.clock.instant() + Duration::from_secs(10);
    delta.append(txn, delta.state().transaction("a"), adds, deadline).await.unwrap();
}

#[tokio::test]
async fn a_delta_table_is_described_and_survives_a_restart() {
    let lake = Lake::new().await;
    let made = lake.catalog.create_delta_table(request(&lake, "events")).await.unwrap();
    assert_eq!((made.partition_columns(), made.comment.as_deref()), (&["date".to_owned()][..], Some("events")));
    assert_eq!(made.schema.field(0).data_type(), &DataType::Int64);
    append(&lake, "events", &[3, 1, 2], 1).await;
    let table = lake.catalog.table(&name("events")).await.unwrap();
    assert_eq!((table.files, table.rows), (1, Some(3)));
    let snapshot = lake.catalog.snapshot(&name("events")).await.unwrap();
    assert_eq!(snapshot.rows(), Some(3));
    assert_eq!(lake.catalog.partitions(&name("events")).await.unwrap().len(), 1);
    let delta = lake.catalog.delta(&name("events")).await.unwrap();
    let deadline = lake.clock.instant() + Duration::from_secs(10);
    delta.add_columns(vec![Field::new("more", DataType::Utf8, true)], deadline).await.unwrap();
    lake.catalog.set_table_rules(&name("events"), r#"{"unknown":"add"}"#, Some("new")).await.unwrap();
    lake.catalog.delta_state(&name("events")).await.unwrap();
    drop(delta);

    let lake = lake.reopen().await;
    let table = lake.catalog.table(&name("events")).await.unwrap();
    let names: Vec<_> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "name", "more", "date"], "before the log is opened");
    assert!(matches!(&table.kind, TableKind::Delta { rules, .. } if rules == r#"{"unknown":"add"}"#));
    assert_eq!(lake.catalog.snapshot(&name("events")).await.unwrap().version(), snapshot_of(&lake).await);
    assert_eq!(lake.catalog.tables(name("events").database()).await.unwrap()[0].rows, Some(3));
}

async fn snapshot_of(lake: &Lake) -> String {
    lake.catalog.refresh(&name("events")).await.unwrap().version().to_owned()
}

#[tokio::test]
async fn names_are_taken_once_and_nothing_else_replaces_a_delta_table() {
    let lake = Lake::new().await;
    lake.catalog.create_delta_table(request(&lake, "t")).await.unwrap();
    let again = lake.catalog.create_delta_table(request(&lake, "t")).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let quiet = CreateDeltaTable { if_not_exists: true, ..request(&lake, "t") };
    lake.catalog.create_delta_table(quiet).await.unwrap();
    let view = lake.catalog.create_view(&name("t"), "SELECT 1", schema(), true).await.unwrap_err();
    assert_eq!(view.kind(), ErrorKind::AlreadyExists);
    lake.parquet("files/1.parquet", &[("x", ints(&[1]))]);
    let external = CreateTable {
        name: name("t"),
        location: lake.location("files"),
        schema: None,
        partition_columns: None,
        written: None,
        kind: None,
        text: None,
        freshness: None,
        comment: None,
        if_not_exists: false,
        or_replace: true,
    };
    let replaced = lake.catalog.create_external_table(external).await.unwrap_err();
    assert_eq!(replaced.kind(), ErrorKind::AlreadyExists);
    let not_a_view = lake.catalog.drop_table(&name("t"), false, true).await.unwrap_err();
    assert_eq!(not_a_view.kind(), ErrorKind::InvalidRequest);
    let first = lake.catalog.delta(&name("t")).await.unwrap();
    append(&lake, "t", &[1], 1).await;
    assert!(lake.catalog.drop_table(&name("t"), false, false).await.unwrap());
    assert_eq!(lake.catalog.delta(&name("t")).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    lake.catalog.create_delta_table(request(&lake, "t")).await.unwrap();
    let second = lake.catalog.delta(&name("t")).await.unwrap();
    assert_ne!(first.state().id(), second.state().id());
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(0), "the old rows do not come back");
}

#[tokio::test]
async fn a_table_of_another_node_is_taken_in() {
    let lake = Lake::new().await;
    let made = lake.catalog.create_delta_table(request(&lake, "t")).await.unwrap();
    append(&lake, "t", &[1, 2], 1).await;
    let there = CreateDeltaTable {
        existing: made.location().cloned(),
        schema: Arc::new(Schema::empty()),
        partition_column: None,
        sort_columns: Vec::new(),
        ..request(&lake, "same")
    };
    let same = lake.catalog.create_delta_table(there.clone()).await.unwrap();
    assert_eq!((same.schema, same.rows), (lake.catalog.table(&name("t")).await.unwrap().schema, Some(2)));
    let nowhere = lake.managed().child("nowhere/").unwrap();
    let missing = CreateDeltaTable { name: name("other"), existing: Some(nowhere), ..there };
    assert_eq!(lake.catalog.create_delta_table(missing).await.unwrap_err().kind(), ErrorKind::TableNotFound);
}
