//! Tables that are taken in, dropped and taken in again, and what one of them must not do to others.

use std::{path::Path, time::Duration};

use futures::StreamExt;
use lakebed_access::Principal;
use lakebed_catalog::TableKind;
use lakebed_storage::Location;
use lakebed_types::{ErrorKind, Result};

use super::world::{
    Node, World, body, event_columns, event_rules, events, freeze, ndjson, once, table, texts, wait_for,
};
use crate::{Ack, AppendOptions, IngestSettings, OnError, RowsFormat, TableRules};

fn with_key(key: &str) -> AppendOptions {
    AppendOptions { idempotency_key: Some(key.to_owned()), ..AppendOptions::default() }
}

async fn location(node: &Node, name: &str) -> Location {
    let TableKind::Delta { location, .. } = node.catalog.table(&table(name)).await.unwrap().kind else {
        panic!("no Delta table");
    };
    location
}

async fn take_in(node: &Node, name: &str, rules: TableRules, location: Location) -> Result<bool> {
    node.service.create_table(&Principal::local(), &table(name), None, rules, None, Some(location)).await
}

async fn send(node: &Node, ids: std::ops::Range<i64>) {
    node.append(events(ids, 1), AppendOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_table_has_one_name() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let place = location(&node, "events").await;
    // With and without a slash at its end.
    for same in [place.clone(), place.sibling(place.path())] {
        let error = take_in(&node, "other", event_rules(), same.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(error.message(), format!("`default.events` is the table at {place}"));
        assert!(!take_in(&node, "events", event_rules(), same).await.unwrap());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_and_taken_in_again_has_all_its_rows() {
    let world = World::new();
    for name in ["events", "moved"] {
        let node = world.start().await;
        if name == "events" {
            node.make_events(event_rules()).await;
            send(&node, 0..10).await;
        }
        let place = location(&node, "events").await;
        node.catalog.drop_table(&table("events"), false, false).await.unwrap();
        assert!(take_in(&node, name, event_rules(), place).await.unwrap());
        let ids = if name == "events" { 10..20 } else { 20..30 };
        let sent = events(ids.clone(), 1);
        node.service.append(&Principal::local(), &table(name), sent, AppendOptions::default()).await.unwrap();
        assert_eq!(node.ids_of(name).await, once(0..ids.end), "{name}");
        node.service.flush(&Principal::local(), &table(name)).await.unwrap();
        assert_eq!(node.ids_of(name).await, once(0..ids.end), "{name}");
        node.stop().await;
        let node = world.start().await;
        assert_eq!(node.ids_of(name).await, once(0..ids.end), "{name}");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_leaves_its_rows_in_its_folder() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    send(&node, 0..10).await;
    let place = location(&node, "events").await;
    node.catalog.drop_table(&table("events"), false, false).await.unwrap();
    node.service.tick().await;
    wait_for(async || node.buffers.table(&table("events")).is_none()).await;
    take_in(&node, "again", event_rules(), place).await.unwrap();
    assert_eq!(node.ids_of("again").await, once(0..10));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_late_to_forget_a_dropped_table_leaves_the_new_one_its_log() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    send(&node, 0..10).await;
    let inner = node.service.inner.clone();
    let dropped = inner.tables.get(&table("events")).unwrap();
    node.catalog.drop_table(&table("events"), false, false).await.unwrap();
    node.make_events(event_rules()).await;
    for number in 1..40 {
        send(&node, number * 10..(number + 1) * 10).await;
    }
    assert!(node.log_files() > 3, "{} files", node.log_files());
    inner.forget(&dropped).await;
    drop((inner, dropped));
    // When the second of these is acknowledged, the log has done what it was told before the first.
    send(&node, 400..410).await;
    send(&node, 410..420).await;
    freeze(world.path());
    node.stop().await;
    world.thaw();
    let node = world.start().await;
    assert_eq!(node.ids().await, once(10..420));
    node.stop().await;
}

/// Takes a table's folder away, as a disk does that is not mounted; with `damaged`, something else is in its place.
fn take_away(folder: &Path, away: &Path, damaged: bool) {
    std::fs::rename(folder, away).unwrap();
    if damaged {
        std::fs::create_dir_all(folder.join("_delta_log")).unwrap();
        std::fs::write(folder.join("_delta_log").join(format!("{:020}.json", 0)), "no JSON").unwrap();
    }
}

fn bring_back(folder: &Path, away: &Path, damaged: bool) {
    if damaged {
        std::fs::remove_dir_all(folder).unwrap();
    }
    std::fs::rename(away, folder).unwrap();
}

async fn send_to_other(node: &Node, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let sent = events(number * 10..(number + 1) * 10, 1);
        node.service.append(&Principal::local(), &table("other"), sent, AppendOptions::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_table_that_cannot_be_opened_stay_in_the_log_and_the_others_go_on() {
    for damaged in [false, true] {
        let (world, who, other) = (World::new(), Principal::local(), table("other"));
        let node = world.start().await;
        node.make_events(event_rules()).await;
        node.service.create_table(&who, &other, Some(event_columns()), event_rules(), None, None).await.unwrap();
        send(&node, 0..10).await;
        send_to_other(&node, 0..1).await;
        let folder = location(&node, "events").await.local_path().unwrap();
        let away = world.path().join("away");
        freeze(world.path());
        node.stop().await;
        world.thaw();
        take_away(&folder, &away, damaged);
        let node = world.start().await;
        assert!(node.service.failure().is_none());
        assert_eq!(node.ids_of("other").await, once(0..10), "{damaged}");
        // So many that the log gets rid of files.
        send_to_other(&node, 1..40).await;
        node.service.flush(&who, &other).await.unwrap();
        let refused = async || node.append(events(10..20, 1), AppendOptions::default()).await.unwrap_err();
        assert_eq!(refused().await.kind(), ErrorKind::Unavailable);
        bring_back(&folder, &away, damaged);
        // New rows would be taken for all that came before them.
        let error = refused().await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.hint().is_some_and(|hint| hint.contains("restart")), "{error:?}");
        assert_eq!(node.flush().await.unwrap_err().kind(), ErrorKind::Unavailable);
        node.stop().await;
        let node = world.start().await;
        assert_eq!(node.ids().await, once(0..10), "{damaged}");
        send(&node, 10..20).await;
        node.flush().await.unwrap();
        assert_eq!(node.ids().await, once(0..20), "{damaged}");
        assert_eq!(node.ids_of("other").await, once(0..400), "{damaged}");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_that_fit_no_table_are_refused_before_they_are_kept() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let (who, name) = (Principal::local(), table("events__rejects"));
    node.service.create_table(&who, &name, Some(event_columns()), TableRules::default(), None, None).await.unwrap();
    let options = AppendOptions { on_error: OnError::RejectRows, ..AppendOptions::default() };
    let error = node.append(ndjson("{\"id\":1}\n{\"id\":\"x\"}"), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaConflict);
    send(&node, 0..3).await;
    node.flush().await.unwrap();
    assert_eq!(node.ids().await, once(0..3));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fixed_when_a_table_is_made_is_not_changed_without_a_word() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let who = Principal::local();
    let change = async |rules, place| {
        node.service.create_table(&who, &table("events"), None, rules, Some("new".to_owned()), place).await
    };
    let no_day = TableRules { day: None, ..event_rules() };
    assert_eq!(change(no_day, None).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let sorted = TableRules { sort: vec!["at".to_owned()], ..event_rules() };
    assert_eq!(change(sorted, None).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let elsewhere = world.place("elsewhere/");
    assert_eq!(change(event_rules(), Some(elsewhere)).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let same = location(&node, "events").await;
    let unsaid = TableRules { sort: Vec::new(), retention_days: Some(7), ..event_rules() };
    assert!(!change(unsaid, Some(same)).await.unwrap());
    let changed = node.catalog.table(&table("events")).await.unwrap();
    assert_eq!(changed.comment.as_deref(), Some("new"));
    let TableKind::Delta { rules, .. } = changed.kind else { panic!("no Delta table") };
    assert!(rules.contains("\"sort\":[\"id\"]") && rules.contains("\"retention_days\":7"), "{rules}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_one_group_outlive_the_file_they_are_in() {
    let world = World::new();
    let node = world.start_with(IngestSettings { wal_file_bytes: 600, ..world.settings() }).await.unwrap();
    node.make_events(event_rules()).await;
    let keys: Vec<String> = (0..60).map(|number| format!("key {number}")).collect();
    let sent = keys.iter().enumerate().map(|(number, key)| {
        let id = number as i64;
        node.append(events(id..id + 1, 1), AppendOptions { ack: Ack::Wal, ..with_key(key) })
    });
    for receipt in futures::future::join_all(sent).await {
        assert!(!receipt.unwrap().repeated);
    }
    // Files that are flushed go, and the keys in them are in a later one.
    node.flush().await.unwrap();
    send(&node, 1000..1001).await;
    node.flush().await.unwrap();
    node.stop().await;
    let node = world.start().await;
    for (number, key) in keys.iter().enumerate() {
        let id = number as i64;
        let again = node.append(events(id..id + 1, 1), with_key(key)).await.unwrap();
        assert!(again.repeated, "{key}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_full_of_what_is_in_files_takes_rows() {
    let world = World::new();
    let settings = IngestSettings { wal_bytes: 3000, wal_file_bytes: 1 << 20, ..world.settings() };
    let node = world.start_with(settings).await.unwrap();
    node.make_events(event_rules()).await;
    let mut sent = 0;
    let refused = loop {
        match node.append(events(sent..sent + 10, 1), AppendOptions::default()).await {
            Ok(_) => sent += 10,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::IngestBusy);
    for _ in 0..6000 {
        match node.append(events(sent..sent + 10, 1), AppendOptions::default()).await {
            Ok(_) => {
                assert_eq!(node.ids().await, once(0..sent + 10));
                node.stop().await;
                return;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::IngestBusy),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no rows are taken though all are in files");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_fits_is_not_told_to_come_back() {
    let world = World::new();
    let node = world.start_with(IngestSettings { buffer_bytes: 1000, ..world.settings() }).await.unwrap();
    node.make_events(event_rules()).await;
    let error = node.append(events(0..1000, 1), AppendOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge, "{error:?}");
    send(&node, 0..5).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_beyond_one_flush_go_by_several() {
    let world = World::new();
    let node = world.start_with(IngestSettings { flush_bytes: 200, ..world.settings() }).await.unwrap();
    node.make_events(event_rules()).await;
    for start in (0..200).step_by(20) {
        node.append(events(start..start + 20, 1), AppendOptions { ack: Ack::Memory, ..AppendOptions::default() })
            .await
            .unwrap();
    }
    node.flush().await.unwrap();
    assert_eq!(node.service.status()[0].buffered_rows, 0);
    assert_eq!(node.ids().await, once(0..200));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_first_rows_make_no_table() {
    let world = World::new();
    let node = world.start().await;
    let options = AppendOptions { create: true, ..AppendOptions::default() };
    let refused = node.append(body(RowsFormat::Csv, "id,b\n1,x\n2\n"), options.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
    assert_eq!(node.catalog.table(&table("events")).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    let receipt = node.append(ndjson("{\"id\":1}\n{\"id\":2,\"ID\":3}"), options.clone()).await.unwrap();
    assert_eq!((receipt.accepted, receipt.rejected), (0, 1));
    assert_eq!(node.catalog.table(&table("events")).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    assert_eq!(node.append(ndjson("{\"id\":1}"), options).await.unwrap().accepted, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_waits_for_what_it_asks_for() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let rows = || ndjson("{\"id\":1}\n{\"id\":\"x\"}");
    let options = |ack| AppendOptions { ack, on_error: OnError::RejectRows, ..with_key("one") };
    let first = node.append(rows(), options(Ack::Memory)).await.unwrap();
    let again = node.append(rows(), options(Ack::Wal)).await.unwrap();
    assert_eq!((again.lsn, again.durable, again.repeated), (first.lsn, "wal", true));
    let again = node.append(rows(), options(Ack::Lake)).await.unwrap();
    assert!(again.table_version.is_some());
    assert!(node.service.status().iter().all(|table| table.buffered_rows == 0), "{:?}", node.service.status());
    assert_eq!(texts(&node.rows("events__rejects").await, "field"), [Some("id".into())]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_says_that_rows_are_gone_and_ends_with_its_table() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    send(&node, 0..10).await;
    node.stop().await;
    let node = world.start().await;
    let who = Principal::local();
    let error = node.service.tail(&who, &table("events"), Some(0)).await.err().expect("rows are gone");
    assert_eq!(error.kind(), ErrorKind::Expired);
    let mut tail = node.service.tail(&who, &table("events"), None).await.unwrap();
    send(&node, 10..10_010).await;
    let mut rows = Vec::new();
    loop {
        let event = tail.next().await.unwrap().unwrap();
        rows.push(event.rows.num_rows());
        if event.is_last {
            break;
        }
    }
    assert!(rows.len() > 1, "one event has all rows of a large request");
    assert_eq!(rows.iter().sum::<usize>(), 10_000);
    node.catalog.drop_table(&table("events"), false, false).await.unwrap();
    world.clock.advance(Duration::from_secs(61));
    node.service.tick().await;
    assert!(tail.next().await.is_none());
    node.stop().await;
}
