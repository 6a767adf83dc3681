//! Readers that want the same blocks at the same time, and stores that fail them.

use tokio::task::JoinHandle;

use super::*;

/// Starts a reader; when it returns the reader waits for the store.
async fn waiting(
    lake: &Lake,
    version: &ObjectVersion,
    range: std::ops::Range<u64>,
) -> (Reader, JoinHandle<Result<Bytes>>) {
    let reader = lake.reader();
    let (task_reader, version) = (reader.clone(), version.clone());
    let task = tokio::spawn(async move { task_reader.read(&version, range).await });
    // On this one thread the others run until all of them wait.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!task.is_finished());
    (reader, task)
}

#[tokio::test]
async fn a_block_is_asked_for_once() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(6, 0, 1);
    let version = lake.put("t", &bytes).await;
    lake.store.shut();
    let (first, first_task) = waiting(&lake, &version, 0..4 * BLOCK_BYTES).await;
    let (second, second_task) = waiting(&lake, &version, 0..4 * BLOCK_BYTES).await;
    let (third, third_task) = waiting(&lake, &version, 2 * BLOCK_BYTES..6 * BLOCK_BYTES).await;
    assert_eq!(lake.store.requests(), [0..4 * BLOCK_BYTES, 4 * BLOCK_BYTES..6 * BLOCK_BYTES]);
    lake.store.open();
    for (task, range) in [(first_task, 0..4), (second_task, 0..4), (third_task, 2..6)] {
        let range = (range.start * BLOCK_BYTES) as usize..(range.end * BLOCK_BYTES) as usize;
        assert!(task.await.unwrap().unwrap() == bytes[range]);
    }
    assert_eq!(lake.store.requests(), []);
    // Each query's own numbers: who asked the store, and who was spared it.
    assert_eq!(first.counted(), [1, 4 * BLOCK_BYTES, 0, 0, 4]);
    assert_eq!(second.counted(), [0, 0, 4 * BLOCK_BYTES, 4, 0]);
    assert_eq!(third.counted(), [1, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES, 2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_at_once_ask_for_each_block_once() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(20, 77, 2);
    let version = lake.put("t", &bytes).await;
    let readers: Vec<_> = (0..24).map(|_| lake.reader()).collect();
    let tasks = readers.iter().cloned().enumerate().map(|(at, reader)| {
        let (version, start) = (version.clone(), at as u64 % 7 * BLOCK_BYTES + 3);
        tokio::spawn(async move { (start, reader.read(&version, start..version.meta().size).await.unwrap()) })
    });
    for task in tasks.collect::<Vec<_>>() {
        let (start, read) = task.await.unwrap();
        assert!(read == bytes[start as usize..]);
    }
    let fetched: u64 = readers.iter().map(|reader| reader.counters.bytes_read()).sum();
    let missed: u64 = readers.iter().map(|reader| reader.counters.cache_misses()).sum();
    assert_eq!((fetched, missed), (bytes.len() as u64, 21));
}

#[tokio::test]
async fn a_reader_that_goes_away_takes_nothing_from_the_others() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(2, 0, 3);
    let version = lake.put("t", &bytes).await;
    lake.store.shut();
    let (_, first) = waiting(&lake, &version, 0..2 * BLOCK_BYTES).await;
    let (second, stays) = waiting(&lake, &version, 0..2 * BLOCK_BYTES).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    lake.store.open();
    assert!(stays.await.unwrap().unwrap() == bytes[..]);
    assert_eq!(lake.store.requests().len(), 1);
    assert_eq!(second.counted(), [0, 0, 2 * BLOCK_BYTES, 2, 0]);
}

#[tokio::test]
async fn a_fetch_that_nobody_waits_for_ends_and_can_begin_anew() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(2, 0, 4);
    let version = lake.put("t", &bytes).await;
    lake.store.shut();
    for _ in 0..2 {
        let (_, task) = waiting(&lake, &version, 0..2 * BLOCK_BYTES).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(lake.store.requests().len(), 1);
    }
    assert_eq!(format!("{:?}", lake.blocks.cache.flights()), "Flights(0 blocks)");
    lake.store.open();
    assert!(lake.reader().read_all(&version).await.unwrap() == bytes[..]);
}

#[tokio::test]
async fn a_failure_is_told_and_not_kept() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(40, 0, 5);
    let version = lake.put("t", &bytes).await;
    let reader = lake.reader();
    lake.store.fail(2);
    let error = reader.read_all(&version).await.unwrap_err();
    assert!(error.to_string().contains("as the test wants it"), "{error}");
    assert_eq!(kind_of(error), ErrorKind::StoreFailed);
    lake.store.fail(0);
    assert!(reader.read_all(&version).await.unwrap() == bytes[..]);

    lake.store.inner.delete(&version.meta().location).await.unwrap();
    let gone = lake.put("gone", b"x").await;
    lake.store.inner.delete(&gone.meta().location).await.unwrap();
    assert_eq!(kind_of(reader.read_all(&gone).await.unwrap_err()), ErrorKind::ObjectNotFound);
}

#[tokio::test]
async fn what_failed_for_one_reader_the_others_try_for_themselves() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(2, 0, 6);
    let version = lake.put("t", &bytes).await;
    lake.store.shut();
    lake.store.fail(1);
    let (_, first) = waiting(&lake, &version, 0..2 * BLOCK_BYTES).await;
    let (_, second) = waiting(&lake, &version, 0..2 * BLOCK_BYTES).await;
    let (_, third) = waiting(&lake, &version, 0..2 * BLOCK_BYTES).await;
    lake.store.open();
    assert_eq!(kind_of(first.await.unwrap().unwrap_err()), ErrorKind::StoreFailed);
    assert!(second.await.unwrap().unwrap() == bytes[..] && third.await.unwrap().unwrap() == bytes[..]);
    assert_eq!(lake.store.requests().len(), 2);
}

/// Several readers get the same error, each with its kind and its words.
#[tokio::test]
async fn a_shared_error_keeps_its_kind() {
    let lake = Lake::new(ENOUGH_BYTES);
    let version = lake.put("t", &content(1, 0, 7)).await;
    lake.put("t", &content(1, 0, 8)).await;
    lake.store.shut();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(waiting(&lake, &version, 0..BLOCK_BYTES).await.1);
    }
    lake.store.open();
    for task in tasks {
        assert_eq!(kind_of(task.await.unwrap().unwrap_err()), ErrorKind::Conflict);
    }
}
