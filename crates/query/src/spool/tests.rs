//! Pages, lifetime and quota of kept results.

use arrow::array::Int64Array;
use lakebed_types::SystemClock;
use tempfile::TempDir;

use super::*;

fn spool(dir: &TempDir, quota: u64, lifetime: Duration) -> Spool {
    Spool {
        dir: dir.path().to_owned(),
        quota,
        lifetime: chrono::Duration::from_std(lifetime).unwrap(),
        clock: Arc::new(SystemClock),
        used: Arc::default(),
        slots: Mutex::default(),
    }
}

fn numbers(from: i64, to: i64) -> RecordBatch {
    let column = Arc::new(Int64Array::from_iter_values(from..to));
    RecordBatch::try_from_iter([("n", column as Arc<dyn arrow::array::Array>)]).unwrap()
}

fn values(page: &ResultPage) -> Vec<i64> {
    let column = |batch: &RecordBatch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    page.batches.iter().flat_map(column).collect()
}

#[tokio::test]
async fn any_page_is_the_same_rows_of_the_whole() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20, Duration::from_secs(60));
    let id = QueryId::random();
    spool.reserve(id).unwrap();
    let mut writer = spool.writer(id, &numbers(0, 1).schema()).unwrap();
    for (from, to) in [(0, 7), (7, 8), (8, 100)] {
        writer.write(&numbers(from, to)).unwrap();
    }
    spool.keep(id, writer).unwrap();
    let kept = spool.kept(id).await.unwrap();
    for (offset, limit) in [(0, 3), (5, 5), (7, 1), (6, 94), (99, 10), (100, 10), (0, 1000)] {
        let page = kept.page(offset, limit).unwrap();
        let expected: Vec<i64> = (0..100).skip(offset as usize).take(limit).collect();
        assert_eq!((values(&page), page.total_rows), (expected, 100), "{offset} {limit}");
    }
}

#[tokio::test]
async fn a_result_expires_and_gives_its_space_back() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20, Duration::ZERO);
    let id = QueryId::random();
    spool.reserve(id).unwrap();
    let mut writer = spool.writer(id, &numbers(0, 1).schema()).unwrap();
    writer.write(&numbers(0, 1000)).unwrap();
    spool.keep(id, writer).unwrap();
    assert!(spool.used.load(Ordering::Relaxed) > 8000);
    spool.sweep();
    assert_eq!(spool.kept(id).await.unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(spool.used.load(Ordering::Relaxed), 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_result_over_the_quota_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 4096, Duration::from_secs(60));
    let id = QueryId::random();
    spool.reserve(id).unwrap();
    let mut writer = spool.writer(id, &numbers(0, 1).schema()).unwrap();
    assert_eq!(writer.write(&numbers(0, 10_000)).unwrap_err().kind(), ErrorKind::ResultTooLarge);
    drop(writer);
    spool.give_up(id);
    assert_eq!(spool.used.load(Ordering::Relaxed), 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(spool.kept(id).await.unwrap_err().kind(), ErrorKind::NotFound);
}
