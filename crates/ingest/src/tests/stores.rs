//! Stores that go wrong, and several nodes that write one table in them.

use std::{sync::Arc, time::Duration};

use lakebed_access::Principal;
use lakebed_catalog::TableKind;
use lakebed_testkit::FaultyStore;
use lakebed_types::Result;

use super::world::{Node, World, event_rules, events, once, table};
use crate::AppendOptions;

/// Seeds that are tried.
const SEEDS: u64 = 12;
/// Of 1,000 requests, so many go wrong.
const FAULTS: u32 = 150;
const BATCHES: i64 = 8;

async fn send(node: &Node, number: i64) -> Result<crate::Receipt> {
    let key = Some(format!("batch {number}"));
    let ids = number * 10..(number + 1) * 10;
    node.append(
        events(ids, 1 + u32::try_from(number % 2).unwrap()),
        AppendOptions { idempotency_key: key, ..AppendOptions::default() },
    )
    .await
}

/// Sends batches until each is acknowledged, with flushes and merges that may fail.
async fn produce(node: &Node, batches: std::ops::Range<i64>) {
    for number in batches {
        while send(node, number).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if number % 2 == 1 {
            drop(node.flush().await);
        }
        if number % 3 == 2 {
            drop(node.service.merge(&Principal::local(), &table("events"), None).await);
        }
    }
}

async fn until_done<T>(what: impl AsyncFn() -> Result<T>) -> T {
    loop {
        match what().await {
            Ok(done) => return done,
            Err(error) => tracing::debug!(?error, "again"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_over_a_bad_connection_keep_each_row_once() {
    for seed in 0..SEEDS {
        let bucket = Arc::new(FaultyStore::new(seed));
        let (one, other) = (World::over(bucket.clone()), World::over(bucket.clone()));
        let first = one.start().await;
        first.make_events(event_rules()).await;
        let TableKind::Delta { location, .. } = first.catalog.table(&table("events")).await.unwrap().kind else {
            panic!("no Delta table");
        };
        let second = other.start().await;
        let (who, name) = (Principal::local(), table("events"));
        let attached = second.service.create_table(&who, &name, None, event_rules(), None, Some(location)).await;
        assert!(attached.unwrap());
        bucket.set_faults(FAULTS);
        tokio::join!(produce(&first, 0..BATCHES), produce(&second, BATCHES..2 * BATCHES));
        bucket.set_faults(0);
        until_done(async || first.flush().await).await;
        until_done(async || second.flush().await).await;
        assert_eq!(first.ids().await, once(0..2 * BATCHES * 10), "seed {seed}: {:?}", bucket.happened());
        assert_eq!(second.ids().await, once(0..2 * BATCHES * 10), "seed {seed}");
        first.stop().await;
        second.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stops_for_a_while_loses_nothing() {
    let bucket = Arc::new(FaultyStore::new(7));
    let world = World::over(bucket.clone());
    let settings = crate::IngestSettings { commit_deadline: Duration::ZERO, ..world.settings() };
    let node = world.start_with(settings).await.unwrap();
    node.make_events(event_rules()).await;
    send(&node, 0).await.unwrap();
    bucket.set_stopped(true);
    assert!(node.flush().await.is_err());
    assert!(node.service.status()[0].last_error.is_some());
    // Rows still come in.
    send(&node, 1).await.unwrap();
    node.service.close().await;
    node.catalog.close().await;
    drop(node);
    bucket.set_stopped(false);
    let node = world.start().await;
    assert_eq!(node.ids().await, once(0..20));
    node.flush().await.unwrap();
    assert_eq!(node.ids().await, once(0..20));
    node.stop().await;
}
