//! Flushes, merges, days that end, tables that go, tails, and what the status says.

use std::time::Duration;

use futures::StreamExt;
use lakebed_access::Principal;
use lakebed_tables::Leased;
use lakebed_types::ErrorKind;

use super::world::{World, event_rules, events, ndjson, once, table, wait_for};
use crate::{Ack, AppendOptions, IngestSettings, TableRules};

fn plain() -> AppendOptions {
    AppendOptions::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_seen_once_before_and_after_a_flush() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let receipt = node.append(events(0..5, 1), plain()).await.unwrap();
    assert_eq!((receipt.accepted, receipt.rejected, receipt.durable), (5, 0, "wal"));
    assert_eq!(node.ids().await, once(0..5));
    let flushed = node.flush().await.unwrap();
    assert_eq!((flushed.version, flushed.rows), (1, 5));
    assert_eq!(node.ids().await, once(0..5));
    assert_eq!(node.flush().await.unwrap().rows, 0, "nothing is left to flush");
    let status = node.service.status();
    assert_eq!((status[0].buffered_rows, status[0].accepted_rows, status[0].flushes), (0, 5, 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lake_names_the_version_that_has_the_rows() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let options = AppendOptions { ack: Ack::Lake, ..plain() };
    let receipt = node.append(events(0..5, 1), options).await.unwrap();
    assert_eq!((receipt.durable, receipt.table_version), ("lake", Some(1)));
    assert_eq!(node.service.status()[0].buffered_rows, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_flushed_by_the_clock_and_their_log_goes() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    for number in 0..40 {
        node.append(events(number * 10..(number + 1) * 10, 1), plain()).await.unwrap();
    }
    assert!(node.log_files() > 3, "{} files", node.log_files());
    node.service.tick().await;
    assert_eq!(node.service.status()[0].flushes, 0, "they are not old yet");
    world.clock.advance(Duration::from_secs(31));
    node.service.tick().await;
    wait_for(async || node.service.status()[0].flushes == 1 && node.log_files() == 1).await;
    assert_eq!(node.ids().await, once(0..400));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_merged_into_one_file_each() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    for number in 0..4 {
        node.append(events(number * 10..(number + 1) * 10, 1 + u32::try_from(number % 2).unwrap()), plain())
            .await
            .unwrap();
        node.flush().await.unwrap();
    }
    let merged = node.service.merge(&Principal::local(), &table("events"), None).await.unwrap();
    assert_eq!((merged.files_before, merged.files_after, merged.rows), (4, 2, 40));
    assert_eq!(merged.days, ["2024-01-01", "2024-01-02"]);
    assert_eq!(node.ids().await, once(0..40));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_days_are_merged_and_old_ones_end_by_the_clock() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(TableRules { retention_days: Some(30), ..event_rules() }).await;
    for number in 0..8 {
        node.append(events(number * 10..(number + 1) * 10, 1), plain()).await.unwrap();
        node.flush().await.unwrap();
    }
    let files = async || node.catalog.delta(&table("events")).await.unwrap().state().files().count();
    node.service.tick().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(files().await, 8, "the day is not over");
    world.clock.advance(Duration::from_secs(2 * 24 * 3600));
    node.service.tick().await;
    wait_for(async || files().await == 1).await;
    assert_eq!(node.ids().await, once(0..80));
    world.clock.advance(Duration::from_secs(30 * 24 * 3600));
    node.service.tick().await;
    wait_for(async || files().await == 0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_another_node_merges_is_left_to_it() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    for number in 0..8 {
        node.append(events(number * 10..(number + 1) * 10, 1), plain()).await.unwrap();
        node.flush().await.unwrap();
    }
    world.clock.advance(Duration::from_secs(2 * 24 * 3600));
    let delta = node.catalog.delta(&table("events")).await.unwrap();
    let lease = delta.lease("merge-2024-01-01", "ingest/other/1", Duration::from_secs(60)).await.unwrap();
    assert!(matches!(lease, Leased::Ours(_)));
    let (who, name, day) = (Principal::local(), table("events"), "2024-01-01".parse().ok());
    let error = node.service.merge(&who, &name, day).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("`ingest/other/1`"), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("2024-01-03T00:01:00Z")), "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    let all = node.service.merge(&who, &name, None).await.unwrap();
    assert_eq!((all.days.len(), all.lost), (0, vec!["2024-01-01".to_owned()]));
    node.service.tick().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(delta.refresh().await.unwrap().files().count(), 8);
    // The other one does not come back.
    world.clock.advance(Duration::from_secs(61));
    node.service.tick().await;
    wait_for(async || delta.refresh().await.unwrap().files().count() == 1).await;
    assert_eq!(node.ids().await, once(0..80));
    wait_for(async || node.files_in("_lakebed/").await.is_empty()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_day_that_another_node_merges_are_left_to_it() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    for id in 0..2 {
        node.append(ndjson(format!("{{\"id\":{id}}}")), plain()).await.unwrap();
        node.append(events(10 + id..11 + id, 1), plain()).await.unwrap();
        node.flush().await.unwrap();
    }
    let delta = node.catalog.delta(&table("events")).await.unwrap();
    let lease = delta.lease("merge-all", "ingest/other/1", Duration::from_secs(60)).await.unwrap();
    assert!(matches!(lease, Leased::Ours(_)));
    let merged = node.service.merge(&Principal::local(), &table("events"), None).await.unwrap();
    assert_eq!(
        (merged.days, merged.lost),
        (vec!["2024-01-01".to_owned()], vec!["__HIVE_DEFAULT_PARTITION__".to_owned()])
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_cannot_be_merged_does_not_stop_the_rest() {
    let world = World::new();
    let settings = IngestSettings { checkpoint_every: 2, ..world.settings() };
    let node = world.start_with(settings).await.unwrap();
    node.make_events(event_rules()).await;
    for number in 0..16 {
        node.append(events(number * 10..(number + 1) * 10, 1 + u32::try_from(number % 2).unwrap()), plain())
            .await
            .unwrap();
        node.flush().await.unwrap();
    }
    let delta = node.catalog.delta(&table("events")).await.unwrap();
    let name = node.files_in("date=2024-01-01/").await.remove(0);
    let damaged = delta.location().child("date=2024-01-01/").unwrap().local_path().unwrap().join(name);
    let good = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, vec![0; good.len()]).unwrap();
    let files = || delta.state().files().count();
    world.clock.advance(Duration::from_secs(3 * 24 * 3600));
    node.service.tick().await;
    let has_checkpoint = async || node.files_in("_delta_log/").await.iter().any(|name| name.contains(".checkpoint."));
    wait_for(async || files() == 9 && has_checkpoint().await).await;
    std::fs::write(&damaged, good).unwrap();
    world.clock.advance(Duration::from_secs(61));
    node.service.tick().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(files(), 9, "it is not tried again each minute");
    world.clock.advance(Duration::from_secs(3600));
    wait_for(async || {
        node.service.tick().await;
        files() == 2
    })
    .await;
    assert_eq!(node.ids().await, once(0..160));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_left_the_table_are_deleted_by_the_clock() {
    let world = World::new();
    world.to_machine_time(Duration::from_secs(24 * 3600));
    let settings = IngestSettings {
        vacuum_every: Duration::from_secs(10),
        vacuum_after: Duration::from_secs(60),
        ..world.settings()
    };
    let node = world.start_with(settings).await.unwrap();
    node.make_events(event_rules()).await;
    for number in 0..2 {
        node.append(events(number * 10..(number + 1) * 10, 1), plain()).await.unwrap();
        node.flush().await.unwrap();
    }
    node.service.merge(&Principal::local(), &table("events"), None).await.unwrap();
    let files = async || node.files_in("date=2024-01-01/").await.len();
    world.clock.advance(Duration::from_secs(100));
    node.service.tick().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(files().await, 3, "not before it has run for a while");
    world.clock.advance(Duration::from_secs(11));
    node.service.tick().await;
    wait_for(async || files().await == 1).await;
    assert_eq!(node.ids().await, once(0..20));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_dropped_table_do_not_come_back_in_a_new_one() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    node.append(events(0..10, 1), plain()).await.unwrap();
    node.catalog.drop_table(&table("events"), false, false).await.unwrap();
    assert_eq!(node.append(events(10..20, 1), plain()).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    node.make_events(event_rules()).await;
    node.append(events(20..30, 1), plain()).await.unwrap();
    assert_eq!(node.ids().await, once(20..30));
    super::world::freeze(world.path());
    node.stop().await;
    world.thaw();
    let node = world.start().await;
    assert_eq!(node.ids().await, once(20..30));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_has_each_row_in_order() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    let first = node.append(events(0..3, 1), plain()).await.unwrap().lsn.unwrap();
    let mut tail = node.service.tail(&Principal::local(), &table("events"), Some(0)).await.unwrap();
    let event = tail.next().await.unwrap().unwrap();
    assert_eq!((event.lsn, event.rows.num_rows()), (first, 3));
    node.flush().await.unwrap();
    let second = node.append(events(3..5, 1), plain()).await.unwrap().lsn.unwrap();
    let event = tail.next().await.unwrap().unwrap();
    assert_eq!((event.lsn, event.rows.num_rows()), (second, 2));
    node.stop().await;
}
