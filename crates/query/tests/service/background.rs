//! Queries without a client: states, pages, limits.

use std::time::Duration;

use arrow::array::{Array, Int64Array};
use futures::StreamExt;
use lakebed_access::{Principal, Role};
use lakebed_query::{QueryRecord, ResultPage};
use lakebed_types::{ErrorKind, QueryId, QueryState};

use crate::lake::{Lake, Setup, options};

async fn finished(lake: &Lake, id: QueryId) -> QueryRecord {
    let wait = async {
        loop {
            let record = lake.service.record(&lake.who, id).unwrap();
            if record.ended.is_some() {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it ends")
}

fn ids(page: &ResultPage) -> Vec<i64> {
    let column = |batch: &arrow::array::RecordBatch| {
        batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
    };
    page.batches.iter().flat_map(column).collect()
}

#[tokio::test]
async fn a_result_is_read_by_pages() {
    let lake = Lake::new().await;
    let sql = "SELECT vendorid FROM trips ORDER BY vendorid";
    let id = lake.service.submit(&lake.who, sql, &options(), None).await.unwrap();
    let record = finished(&lake, id).await;
    assert_eq!((record.state, record.statistics.rows_returned), (QueryState::Succeeded, 3000));
    let mut all = Vec::new();
    while all.len() < 3000 {
        let page = lake.service.results(&lake.who, id, all.len() as u64, 700).await.unwrap();
        assert_eq!((page.total_rows, page.offset), (3000, all.len() as u64));
        all.extend(ids(&page));
    }
    assert_eq!(all, (0..3000).collect::<Vec<i64>>());
    let (_, mut batches) = lake.service.result_stream(&lake.who, id).await.unwrap();
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows, 3000);
}

#[tokio::test]
async fn a_running_query_has_no_result_yet_and_can_be_stopped() {
    let lake = Lake::new().await;
    let sql = "SELECT count(*) FROM trips a, trips b, trips c, trips d WHERE a.fare + b.fare + c.fare > d.fare";
    let id = lake.service.submit(&lake.who, sql, &options(), None).await.unwrap();
    let early = lake.service.results(&lake.who, id, 0, 10).await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Conflict);
    lake.service.cancel(&lake.who, id).unwrap();
    assert_eq!(finished(&lake, id).await.state, QueryState::Cancelled);
    assert_eq!(lake.service.results(&lake.who, id, 0, 10).await.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_failed_query_gives_its_own_error() {
    let lake = Lake::new().await;
    let sql = "SELECT CAST(note AS BIGINT) FROM trips";
    let id = lake.service.submit(&lake.who, sql, &options(), None).await.unwrap();
    assert_eq!(finished(&lake, id).await.state, QueryState::Failed);
    assert_eq!(lake.service.results(&lake.who, id, 0, 10).await.unwrap_err().kind(), ErrorKind::InvalidValue);
}

#[tokio::test]
async fn a_result_over_the_quota_fails_and_says_why() {
    let lake = Lake::with(Setup { spool_bytes: 4096, ..Setup::default() }).await;
    let id = lake.service.submit(&lake.who, "SELECT * FROM trips", &options(), None).await.unwrap();
    let record = finished(&lake, id).await;
    assert_eq!(record.state, QueryState::Failed);
    assert_eq!(record.error.unwrap().0, ErrorKind::ResultTooLarge);
}

#[tokio::test]
async fn results_expire() {
    let lake = Lake::with(Setup { spool_lifetime: Duration::ZERO, ..Setup::default() }).await;
    let id = lake.service.submit(&lake.who, "SELECT 1", &options(), None).await.unwrap();
    finished(&lake, id).await;
    assert_eq!(lake.service.results(&lake.who, id, 0, 1).await.unwrap_err().kind(), ErrorKind::Expired);
    lake.service.sweep();
    assert_eq!(lake.service.results(&lake.who, id, 0, 1).await.unwrap_err().kind(), ErrorKind::Expired);
}

#[tokio::test]
async fn unknown_ids_are_not_found() {
    let lake = Lake::new().await;
    let id = QueryId::random();
    assert_eq!(lake.service.record(&lake.who, id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(lake.service.cancel(&lake.who, id).unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_kept_result_is_there_also_when_the_history_has_forgotten_its_query() {
    let lake = Lake::new().await;
    let id = lake.service.submit(&lake.who, "SELECT vendorid FROM trips LIMIT 5", &options(), None).await.unwrap();
    let told = finished(&lake, id).await;
    for _ in 0..150 {
        lake.rows("SELECT 1").await;
    }
    assert!(lake.service.history(&lake.who, 1000, None).iter().all(|record| record.id != id));
    let record = lake.service.record(&lake.who, id).unwrap();
    assert_eq!((record.state, record.ended, record.sql), (QueryState::Succeeded, told.ended, told.sql));
    assert_eq!(lake.service.results(&lake.who, id, 0, 10).await.unwrap().total_rows, 5);
    assert_eq!(lake.service.cancel(&lake.who, id).unwrap().state, QueryState::Succeeded);
    let other = Principal::anonymous(Role::Write);
    assert_eq!(lake.service.record(&other, id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(lake.service.results(&other, id, 0, 10).await.unwrap_err().kind(), ErrorKind::NotFound);
}
