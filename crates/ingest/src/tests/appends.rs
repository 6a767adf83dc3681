//! Appends: what is kept of good and bad rows, keys, refusals, and tables that are made on the way.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use futures::stream;
use lakebed_access::{Principal, Role};
use lakebed_catalog::TableKind;
use lakebed_types::{Error, ErrorKind};
use serde_json::json;

use super::world::{World, body, event_columns, event_rules, events, ndjson, once, table, texts};
use crate::{AppendOptions, IngestSettings, OnError, RowsBody, RowsFormat, TableRules, Unknown};

fn plain() -> AppendOptions {
    AppendOptions::default()
}

fn with_key(key: &str) -> AppendOptions {
    AppendOptions { idempotency_key: Some(key.to_owned()), ..plain() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_refuses_its_batch() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let receipt = node.append(ndjson("{\"id\":1}\n{\"id\":\"x\"}\n{\"id\":2}"), plain()).await.unwrap();
    assert_eq!((receipt.lsn, receipt.accepted, receipt.rejected), (None, 0, 1));
    assert_eq!(receipt.errors[0].to_string(), "row 2, field `id`: `x` is not a value of the type BIGINT");
    assert!(node.ids().await.is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_go_to_the_rejects_with_their_bytes() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let options = AppendOptions { on_error: OnError::RejectRows, ..plain() };
    let receipt =
        node.append(ndjson("{\"id\":1}\n{\"id\":\"x\"}\nnonsense\n{\"id\":2}"), options.clone()).await.unwrap();
    assert_eq!((receipt.accepted, receipt.rejected), (2, 2));
    assert_eq!(node.ids().await, once(1..3));
    let rejects = node.rows("events__rejects").await;
    assert_eq!(texts(&rejects, "row"), [Some("2".into()), Some("3".into())]);
    assert_eq!(texts(&rejects, "field"), [Some("id".into()), None]);
    assert_eq!(texts(&rejects, "raw"), [Some("{\"id\":\"x\"}".into()), Some("nonsense".into())]);
    // They are a table like any other: flushed, and there after a restart.
    node.append(ndjson("{\"id\":[]}"), options).await.unwrap();
    node.stop().await;
    let node = world.start().await;
    assert_eq!(texts(&node.rows("events__rejects").await, "row").len(), 3);
    assert_eq!(node.ids().await, once(1..3));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_lists_a_hundred_errors_and_counts_all() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let receipt = node.append(ndjson("{\"id\":\"x\"}\n".repeat(250)), plain()).await.unwrap();
    assert_eq!((receipt.errors.len(), receipt.rejected), (100, 250));
    assert_eq!(receipt.errors[99].row, 100);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_brings_its_rows_once() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let first = node.append(events(0..5, 1), with_key("a")).await.unwrap();
    let again = node.append(events(0..5, 1), with_key("a")).await.unwrap();
    assert_eq!((again.lsn, again.accepted, again.repeated, first.repeated), (first.lsn, 5, true, false));
    assert_eq!(node.append(events(5..9, 1), with_key("a")).await.unwrap_err().kind(), ErrorKind::Conflict);
    node.append(events(5..9, 1), with_key("b")).await.unwrap();
    assert_eq!(node.ids().await, once(0..9));
    node.flush().await.unwrap();
    node.stop().await;
    // Also where the rows are in files, and their log is gone.
    let node = world.start().await;
    for number in 0..30 {
        node.append(events(100 + number * 10..110 + number * 10, 1), plain()).await.unwrap();
    }
    node.flush().await.unwrap();
    node.stop().await;
    let node = world.start().await;
    assert!(node.append(events(0..5, 1), with_key("a")).await.unwrap().repeated);
    world.clock.advance(std::time::Duration::from_secs(3601));
    assert!(!node.append(events(0..5, 1), with_key("a")).await.unwrap().repeated, "it is forgotten in time");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_does_not_use_up_its_key() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    assert_eq!(node.append(ndjson("{\"id\":\"x\"}"), with_key("a")).await.unwrap().accepted, 0);
    assert_eq!(node.append(ndjson("{\"id\":1}"), with_key("a")).await.unwrap().accepted, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_key_bring_the_rows_once() {
    let world = World::new();
    let node = Arc::new(world.start().await);
    node.make_events(event_rules()).await;
    let send = |node: Arc<super::world::Node>| async move {
        loop {
            match node.append(events(0..50, 1), with_key("a")).await {
                Err(error) if error.kind() == ErrorKind::IngestBusy => tokio::task::yield_now().await,
                outcome => return outcome.unwrap().lsn,
            }
        }
    };
    let all: Vec<_> = (0..16).map(|_| tokio::spawn(send(node.clone()))).collect();
    let mut lsns = Vec::new();
    for one in all {
        lsns.push(one.await.unwrap());
    }
    lsns.dedup();
    assert_eq!(lsns.len(), 1, "all name the same position");
    assert_eq!(node.ids().await, once(0..50));
    node.service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_and_free_again_after_a_flush() {
    let world = World::new();
    let settings = IngestSettings { buffer_bytes: 20_000, ..world.settings() };
    let node = world.start_with(settings).await.unwrap();
    node.make_events(event_rules()).await;
    let mut number = 0;
    let error = loop {
        match node.append(events(number * 100..(number + 1) * 100, 1), plain()).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
        assert!(number < 1000, "nothing was ever refused");
    };
    assert_eq!(error.kind(), ErrorKind::IngestBusy);
    assert!(error.retry_after().is_some() && error.hint().is_some());
    node.flush().await.unwrap();
    node.append(events(number * 100..(number + 1) * 100, 1), plain()).await.unwrap();
    assert_eq!(node.ids().await, once(0..(number + 1) * 100));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded() {
    let world = World::new();
    let settings = IngestSettings { body_bytes: 100, ..world.settings() };
    let node = world.start_with(settings).await.unwrap();
    node.make_events(event_rules()).await;
    let error = node.append(events(0..100, 1), plain()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_added_and_earlier_rows_have_none() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(TableRules { unknown: Unknown::Add, ..event_rules() }).await;
    node.append(ndjson("{\"id\":1}"), plain()).await.unwrap();
    node.append(ndjson("{\"id\":2,\"color\":\"red\"}"), plain()).await.unwrap();
    node.append(ndjson("{\"id\":3}"), plain()).await.unwrap();
    node.flush().await.unwrap();
    let rows = node.rows("events").await;
    let mut pairs: Vec<_> = texts(&rows, "id").into_iter().zip(texts(&rows, "color")).collect();
    pairs.sort();
    let expected = [("1", None), ("2", Some("red")), ("3", None)];
    assert_eq!(pairs, expected.map(|(id, color)| (Some(id.to_owned()), color.map(str::to_owned))));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_of_the_first_rows_where_that_is_wanted() {
    let world = World::new();
    let node = world.start().await;
    let csv = || body(RowsFormat::Csv, "id,name,at\n1,a,2024-01-01T00:00:00\n");
    assert_eq!(node.append(csv(), plain()).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    let options = AppendOptions { create: true, ..plain() };
    let receipt = node.append(csv(), options.clone()).await.unwrap();
    assert_eq!((receipt.accepted, receipt.created), (1, true));
    assert!(!node.append(csv(), options).await.unwrap().created);
    let schema = node.catalog.table(&table("events")).await.unwrap().schema;
    let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(columns, ["id", "name", "at"]);
    assert_eq!(schema.field(0).data_type(), &DataType::Int64);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_rows_leave_the_rules_of_a_table_that_was_made_while_they_came_in() {
    let world = World::new();
    let node = world.start().await;
    let service = node.service.clone();
    let sent = stream::once(async move {
        let (who, name) = (Principal::local(), table("events"));
        let rules = TableRules { retention_days: Some(7), ..event_rules() };
        service.create_table(&who, &name, Some(event_columns()), rules, None, None).await.unwrap();
        Ok::<_, Error>(Bytes::from("{\"id\":0,\"at\":\"2024-01-01T12:00:00Z\"}\n"))
    });
    let options = AppendOptions { create: true, ..plain() };
    let receipt = node.append(RowsBody { bytes: Box::pin(sent), ..ndjson("") }, options).await.unwrap();
    assert_eq!((receipt.accepted, receipt.created), (1, false));
    let TableKind::Delta { rules, .. } = node.catalog.table(&table("events")).await.unwrap().kind else {
        panic!("no Delta table");
    };
    assert!(rules.contains("\"retention_days\":7") && rules.contains("\"sort\":[\"id\"]"), "{rules}");
    assert_eq!(node.ids().await, once(0..1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_declared_by_columns_or_rules() {
    let world = World::new();
    let node = world.start().await;
    let make = async |name: &str, schema: Option<Schema>, rules: serde_json::Value| {
        let rules = serde_json::from_value(rules).unwrap();
        node.service.create_table(&Principal::local(), &table(name), schema.map(Arc::new), rules, None, None).await
    };
    let columns = json!({"id": {"type": "BIGINT"}, "at": {"type": "TIMESTAMP"}});
    assert!(make("one", None, json!({"columns": columns, "day": {"from": "at"}})).await.unwrap());
    assert!(!make("one", None, json!({"columns": columns, "day": {"from": "at"}, "retention_days": 7})).await.unwrap());
    assert_eq!(make("two", None, json!({})).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert_eq!(make("two", None, json!({"sort": ["x"]})).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let time = Schema::new(vec![Field::new("t", DataType::Time64(arrow::datatypes::TimeUnit::Microsecond), true)]);
    assert_eq!(make("two", Some(time), json!({})).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let other = Schema::new(vec![Field::new("id", DataType::Utf8, true)]);
    assert_eq!(make("one", Some(other), json!({})).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_does_not() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let reader = Principal::anonymous(Role::Read);
    let error = node.service.append(&reader, &table("events"), events(0..1, 1), plain()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(node.service.flush(&reader, &table("events")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let made = node.service.create_table(&reader, &table("x"), None, TableRules::default(), None, None).await;
    assert_eq!(made.unwrap_err().kind(), ErrorKind::PermissionDenied);
    node.stop().await;
}
