//! Pages, lifetime and quota of kept results.

use arrow::array::{Int64Array, RecordBatch};
use lakebed_types::{DatabaseName, QueryState, QueryStatistics, StatementKind, SystemClock};
use tempfile::TempDir;

use super::*;

fn spool(dir: &TempDir, quota: u64, lifetime: Duration) -> Spool {
    Spool::empty(dir.path().to_owned(), quota, lifetime, Arc::new(SystemClock))
}

/// The spool as the next start of the server finds it, and what it knows of.
fn restarted(dir: &TempDir, lifetime: Duration) -> (Spool, Vec<QueryRecord>) {
    let spool = spool(dir, 1 << 20, lifetime);
    let records = recover::recover(&spool).unwrap();
    (spool, records)
}

fn record(state: QueryState) -> QueryRecord {
    QueryRecord {
        id: QueryId::random(),
        principal: "ann".into(),
        workgroup: "default".to_owned(),
        queue_position: None,
        source: "rest".into(),
        database: DatabaseName::default_database(),
        sql: "SELECT n FROM t".into(),
        kind: Some(StatementKind::Select),
        state,
        submitted: SystemClock.now(),
        ended: None,
        statistics: QueryStatistics { rows_returned: 7, ..QueryStatistics::default() },
        error: None,
    }
}

/// An execution that has ended well with these rows.
fn finished(spool: &Spool, batches: &[RecordBatch]) -> QueryRecord {
    let mut record = record(QueryState::Queued);
    spool.reserve(&record).unwrap();
    let mut writer = spool.writer(record.id, &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    record.state = QueryState::Succeeded;
    record.ended = Some(SystemClock.now());
    spool.close(&record, Some(writer.finish().unwrap())).unwrap();
    record
}

fn files(dir: &TempDir) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(dir.path()).unwrap().map(name).collect();
    names.sort();
    names
}

fn used(spool: &Spool) -> u64 {
    spool.used.load(Ordering::Relaxed)
}

fn on_disk(dir: &TempDir) -> u64 {
    std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn numbers(from: i64, to: i64) -> RecordBatch {
    let column = Arc::new(Int64Array::from_iter_values(from..to));
    RecordBatch::try_from_iter([("n", column as Arc<dyn arrow::array::Array>)]).unwrap()
}

fn values(page: &ResultPage) -> Vec<i64> {
    let column = |batch: &RecordBatch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    page.batches.iter().flat_map(column).collect()
}

#[test]
fn any_page_is_the_same_rows_of_the_whole() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20, Duration::from_secs(60));
    let record = finished(&spool, &[numbers(0, 7), numbers(7, 8), numbers(8, 100)]);
    let kept = spool.kept(record.id).unwrap();
    for (offset, limit) in [(0, 3), (5, 5), (7, 1), (6, 94), (99, 10), (100, 10), (0, 1000)] {
        let page = kept.page(offset, limit).unwrap();
        let expected: Vec<i64> = (0..100).skip(offset as usize).take(limit).collect();
        assert_eq!((values(&page), page.total_rows), (expected, 100), "{offset} {limit}");
    }
}

#[test]
fn a_result_expires_and_gives_its_space_back() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20, Duration::ZERO);
    let record = finished(&spool, &[numbers(0, 1000)]);
    assert!(used(&spool) > 8000);
    assert_eq!(used(&spool), on_disk(&dir));
    spool.sweep();
    assert_eq!(spool.kept(record.id).unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!((used(&spool), files(&dir)), (0, vec![]));
}

#[test]
fn a_result_over_the_quota_leaves_no_rows() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 4096, Duration::from_secs(60));
    let mut record = record(QueryState::Queued);
    spool.reserve(&record).unwrap();
    let mut writer = spool.writer(record.id, &numbers(0, 1).schema()).unwrap();
    let error = writer.write(&numbers(0, 10_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResultTooLarge);
    drop(writer);
    record.state = QueryState::Failed;
    record.error = Some((error.kind(), error.message().to_owned()));
    spool.close(&record, None).unwrap();
    assert_eq!(files(&dir), [format!("{}.json", record.id)]);
    assert_eq!(used(&spool), on_disk(&dir));
}

#[test]
fn a_restart_keeps_what_ended_and_tells_what_did_not() {
    let dir = TempDir::new().unwrap();
    let (good, failed, running) = {
        let spool = spool(&dir, 1 << 20, Duration::from_secs(60));
        let good = finished(&spool, &[numbers(0, 10), numbers(10, 30)]);
        let mut failed = record(QueryState::Queued);
        spool.reserve(&failed).unwrap();
        failed.state = QueryState::Failed;
        failed.error = Some((ErrorKind::InvalidValue, "division by zero".into()));
        failed.ended = Some(SystemClock.now());
        spool.close(&failed, None).unwrap();
        let running = record(QueryState::Queued);
        spool.reserve(&running).unwrap();
        // As after a kill: nothing is dropped in order.
        std::mem::forget(spool.writer(running.id, &numbers(0, 1).schema()).unwrap());
        (good, failed, running)
    };
    for _ in 0..2 {
        let (spool, records) = restarted(&dir, Duration::from_secs(60));
        let told = |id| records.iter().find(|record| record.id == id).unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!(
            (told(good.id).state, &told(good.id).principal, &told(good.id).statistics, told(good.id).ended),
            (QueryState::Succeeded, &good.principal, &good.statistics, good.ended)
        );
        assert_eq!(told(failed.id).error, failed.error);
        assert_eq!(told(running.id).state, QueryState::Failed);
        assert_eq!(told(running.id).error.as_ref().unwrap().0, ErrorKind::Interrupted);
        let page = spool.kept(good.id).unwrap().page(5, 20).unwrap();
        assert_eq!((values(&page), page.total_rows), ((5..25).collect(), 30));
        assert_eq!(spool.record(running.id).unwrap().error, told(running.id).error);
        assert_eq!(used(&spool), on_disk(&dir));
        assert_eq!(files(&dir).len(), 4, "three records and one file of rows: {:?}", files(&dir));
    }
}

#[test]
fn a_start_removes_what_no_record_names_and_what_is_over() {
    let dir = TempDir::new().unwrap();
    let over = finished(&spool(&dir, 1 << 20, Duration::ZERO), &[numbers(0, 10)]);
    let strangers =
        [format!("{}.arrow", QueryId::random()), format!("{}.json.part", QueryId::random()), "x.txt".into()];
    for name in &strangers {
        std::fs::write(dir.path().join(name), "rows").unwrap();
    }
    std::fs::write(dir.path().join(format!("{}.json", QueryId::random())), "{\"half\": ").unwrap();
    std::fs::create_dir_all(dir.path().join("folder/inside")).unwrap();
    let (spool, records) = restarted(&dir, Duration::from_secs(60));
    assert_eq!(records.iter().map(|record| record.id).collect::<Vec<_>>(), [over.id]);
    assert_eq!(spool.kept(over.id).unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!((files(&dir), used(&spool)), (vec![], 0));
}

#[test]
fn rows_that_are_lost_or_cut_are_told_of() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20, Duration::from_secs(60));
    let (lost, cut) = (finished(&spool, &[numbers(0, 10)]), finished(&spool, &[numbers(0, 10)]));
    std::fs::remove_file(spool.rows_path(lost.id)).unwrap();
    std::fs::OpenOptions::new().write(true).open(spool.rows_path(cut.id)).unwrap().set_len(100).unwrap();
    let (_, records) = restarted(&dir, Duration::from_secs(60));
    for record in records {
        assert_eq!((record.state, record.error.unwrap().0), (QueryState::Failed, ErrorKind::DiskFailed));
    }
    assert_eq!(files(&dir).len(), 2, "{:?}", files(&dir));
}

#[cfg(unix)]
#[test]
fn files_are_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    finished(&spool(&dir, 1 << 20, Duration::from_secs(60)), &[numbers(0, 10)]);
    for name in files(&dir) {
        let mode = std::fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
