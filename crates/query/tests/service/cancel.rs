//! Ends before the end: dropped streams, cancellations, deadlines, slow clients.

use std::time::Duration;

use futures::StreamExt;
use lakebed_access::Limits;
use lakebed_types::{ErrorKind, QueryState};

use crate::lake::{Lake, Setup, collect};

const ENDLESS: &str = "SELECT count(*) FROM trips a, trips b, trips c WHERE a.fare + b.fare > c.fare";
const LONG: &str = "SELECT a.vendorid, b.note, c.fare FROM trips a, trips b, trips c";

fn one_at_a_time() -> Setup {
    let limits = Limits { running_queries: 1, running_queries_per_principal: 1, ..Limits::default() };
    Setup { limits, ..Setup::default() }
}

async fn until_free(lake: &Lake) {
    until(|| lake.service.access().running() == 0).await;
}

/// Waits for what must come, a minute at most.
async fn until(come: impl Fn() -> bool) {
    let coming = async {
        while !come() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), coming).await.expect("it comes");
}

#[tokio::test]
async fn dropping_the_stream_frees_permit_and_memory() {
    let lake = Lake::with(one_at_a_time()).await;
    let mut running = lake.start(LONG).await.unwrap();
    assert!(running.batches.next().await.unwrap().unwrap().num_rows() > 0);
    let id = running.id;
    drop(running);
    until_free(&lake).await;
    assert_eq!(lake.service.record(&lake.who, id).unwrap().state, QueryState::Cancelled);
    assert_eq!(lake.service.memory_reserved(), 0);
    assert_eq!(lake.rows("SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn a_cancelled_query_says_so() {
    let lake = Lake::with(one_at_a_time()).await;
    let running = lake.start(ENDLESS).await.unwrap();
    let id = running.id;
    assert_eq!(lake.service.record(&lake.who, id).unwrap().state, QueryState::Running);
    lake.service.cancel(&lake.who, id).unwrap();
    assert_eq!(collect(running).await.err().unwrap().kind(), ErrorKind::Cancelled);
    until_free(&lake).await;
    assert_eq!(lake.service.cancel(&lake.who, id).unwrap().state, QueryState::Cancelled, "again is no error");
}

/// Each batch of one side is compared with all rows of the other, and few rows come of that.
#[tokio::test]
async fn joins_that_find_little_end_and_let_others_run() {
    let limits = Limits { running_queries: 6, running_queries_per_principal: 6, ..Limits::default() };
    let lake = Lake::with(Setup { limits, ..Setup::default() }).await;
    let (a, b) = ("generate_series(1, 1000000) a", "generate_series(1, 1000000) b");
    for sql in [
        format!("SELECT count(*) FROM {a}, {b} WHERE a.value + b.value = 7"),
        format!("SELECT count(*) FROM {a}, {b} WHERE a.value % 2 = b.value % 2 AND a.value + b.value = 7"),
        format!("SELECT count(*) FROM {a} WHERE a.value % 2 IN (SELECT b.value % 2 FROM {b})"),
        format!("SELECT count(*) FROM {a} WHERE NOT EXISTS (SELECT * FROM {b} WHERE a.value + b.value = 0)"),
    ] {
        let mut running = Vec::new();
        for _ in 0..5 {
            running.push(lake.start(&sql).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(lake.rows("SELECT 1").await, ["1"]);
        drop(running);
        until_free(&lake).await;
        until(|| lake.service.memory_reserved() == 0).await;
    }
}

#[tokio::test]
async fn the_deadline_ends_a_query() {
    let lake = Lake::with(one_at_a_time()).await;
    let prepared = lake.prepare(ENDLESS).await.unwrap();
    let admitted = lake.admit_for(Duration::from_millis(300)).await;
    let running = lake.service.run(admitted, prepared).await.unwrap();
    let id = running.id;
    assert_eq!(collect(running).await.err().unwrap().kind(), ErrorKind::DeadlineExceeded);
    until_free(&lake).await;
    let record = lake.service.record(&lake.who, id).unwrap();
    assert_eq!((record.state, record.error.unwrap().0), (QueryState::Failed, ErrorKind::DeadlineExceeded));
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_place() {
    let mut setup = one_at_a_time();
    setup.limits.idle_client = Duration::from_millis(200);
    let lake = Lake::with(setup).await;
    let mut running = lake.start(LONG).await.unwrap();
    running.batches.next().await.unwrap().unwrap();
    until_free(&lake).await;
    let mut last = None;
    while let Some(batch) = running.batches.next().await {
        last = Some(batch);
    }
    assert_eq!(last.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_result_over_the_row_limit_ends_in_an_error() {
    let limits = Limits { result_rows: Some(1500), ..Limits::default() };
    let lake = Lake::with(Setup { limits, ..Setup::default() }).await;
    assert_eq!(lake.fails("SELECT * FROM trips").await.kind(), ErrorKind::ResultTooLarge);
    assert_eq!(lake.query("SELECT * FROM trips LIMIT 1500").await.unwrap().rows.len(), 1500);
}
