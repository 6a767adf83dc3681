//! One reader after the other: what is asked of the store, and that the bytes are the object's.

use object_store::ObjectMeta;
use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_second_read_asks_nothing() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(40, 1000, 1);
    let (size, version) = (bytes.len() as u64, lake.put("t", &bytes).await);

    let cold = lake.reader();
    assert_eq!(cold.read_all(&version).await.unwrap(), bytes);
    let mut requests = lake.store.requests();
    requests.sort_by_key(|range| range.start);
    assert_eq!(requests, [0..8 * MIB, 8 * MIB..size], "neighbours come together, up to 8 MiB of them");
    assert_eq!(cold.counted(), [2, size, 0, 0, 41]);

    let warm = lake.reader();
    assert_eq!(warm.read_all(&version).await.unwrap(), bytes);
    assert_eq!(warm.counted(), [0, 0, size, 41, 0]);
    assert_eq!(warm.read(&version, 300_000..300_007).await.unwrap(), bytes[300_000..300_007]);
    assert_eq!(warm.counted(), [0, 0, size + 7, 42, 0]);
    assert_eq!((lake.store.requests(), cold.counted()), (vec![], [2, size, 0, 0, 41]));
}

#[tokio::test]
async fn only_what_is_missing_is_fetched() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(6, 0, 2);
    let version = lake.put("t", &bytes).await;
    let reader = lake.reader();
    reader.read(&version, 2 * BLOCK_BYTES + 5..2 * BLOCK_BYTES + 6).await.unwrap();
    let missing = 2 * BLOCK_BYTES..3 * BLOCK_BYTES;
    assert_eq!(lake.store.requests(), [missing]);

    let range = BLOCK_BYTES - 1..4 * BLOCK_BYTES + 1;
    assert_eq!(reader.read(&version, range.clone()).await.unwrap(), bytes[range.start as usize..range.end as usize]);
    assert_eq!(lake.store.requests(), [0..2 * BLOCK_BYTES, 3 * BLOCK_BYTES..5 * BLOCK_BYTES]);
    assert_eq!(reader.counted(), [3, 5 * BLOCK_BYTES, BLOCK_BYTES, 1, 5]);
}

#[tokio::test]
async fn a_replaced_object_is_never_answered_from_its_old_blocks() {
    let lake = Lake::new(ENOUGH_BYTES);
    let (old, new) = (content(2, 9, 3), content(2, 9, 4));
    let reader = lake.reader();
    let before = lake.put("t", &old).await;
    reader.read(&before, 0..BLOCK_BYTES).await.unwrap();

    let after = lake.put("t", &new).await;
    assert_eq!(reader.read_all(&after).await.unwrap(), new);
    // Who still wants the old version gets it or an error, and no mixture.
    assert_eq!(reader.read(&before, 0..BLOCK_BYTES).await.unwrap(), old[..BLOCK_BYTES as usize]);
    assert_eq!(kind_of(reader.read_all(&before).await.unwrap_err()), ErrorKind::Conflict);

    lake.store.forget_conditions();
    assert_eq!(kind_of(reader.read_all(&before).await.unwrap_err()), ErrorKind::Conflict);
    assert_eq!(reader.read_all(&after).await.unwrap(), new);
}

#[tokio::test]
async fn objects_of_the_same_facts_are_told_apart() {
    let lake = Lake::new(ENOUGH_BYTES);
    let reader = lake.reader();
    let mut versions = Vec::new();
    for name in ["a", "b"] {
        let listed = lake.put(name, name.as_bytes()).await.meta().clone();
        let same_time = chrono::DateTime::UNIX_EPOCH;
        versions.push(ObjectVersion::new(ObjectMeta { e_tag: None, last_modified: same_time, ..listed }));
    }
    lake.store.forget_conditions();
    for version in &versions {
        // Without a tag the time must be the object's.
        assert_eq!(kind_of(reader.read_all(version).await.unwrap_err()), ErrorKind::Conflict);
    }
    for name in ["a", "b", "a"] {
        let listed = lake.store.inner.head(&name.into()).await.unwrap();
        let version = ObjectVersion::new(ObjectMeta { e_tag: None, ..listed });
        assert_eq!(reader.read_all(&version).await.unwrap(), name);
    }
    assert_eq!(reader.counters.cache_hits(), 1);
}

#[tokio::test]
async fn what_has_no_version_goes_past_the_cache() {
    let lake = Lake::new(ENOUGH_BYTES);
    let bytes = content(1, 1, 5);
    let version = lake.put("t", &bytes).await;
    let path = version.meta().location.clone();
    let weak = ObjectVersion::new(ObjectMeta { e_tag: Some("W/\"1\"".to_owned()), ..version.meta().clone() });
    let reader = lake.reader();
    for _ in 0..2 {
        assert_eq!(reader.store.get(&path).await.unwrap().bytes().await.unwrap(), bytes);
        assert_eq!(reader.store.get_range(&path, 5..9).await.unwrap(), bytes[5..9]);
        assert_eq!(reader.store.get_ranges(&path, std::slice::from_ref(&(5..9))).await.unwrap(), [&bytes[5..9]]);
        assert_eq!(reader.read(&weak, 5..9).await.unwrap(), bytes[5..9]);
        // Ends after the object's end: the store says what that means.
        assert_eq!(reader.read(&version, 5..u64::MAX).await.unwrap(), bytes[5..]);
        assert_eq!(lake.store.requests().len(), 5);
    }
    assert_eq!(lake.blocks.cache.size_bytes().await, 0);
    // The store past the cache takes nothing from it.
    reader.read_all(&version).await.unwrap();
    lake.store.requests();
    let answer = lake.bucket.store().get_opts(&path, version.range(5..9)).await.unwrap();
    let part = 5..9;
    assert_eq!(answer.bytes().await.unwrap(), bytes[5..9]);
    assert_eq!(lake.store.requests(), [part]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// With room for everything, and with room for less than the object.
    #[test]
    fn any_range_is_the_objects_bytes(
        size in 1..5 * BLOCK_BYTES,
        ranges in prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 1..12),
        cache_blocks in 1..8u64,
    ) {
        let bytes = content(0, size, size);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let lake = Lake::new(cache_blocks * (BLOCK_BYTES + 512));
            let version = lake.put("t", &bytes).await;
            let reader = lake.reader();
            for (from, to) in ranges {
                let start = (from * size as f64) as u64;
                let end = (start + 1 + (to * (size - start) as f64) as u64).min(size);
                let read = reader.read(&version, start..end).await.unwrap();
                assert!(read == bytes[start as usize..end as usize], "{start}..{end} of {size}");
            }
        });
    }
}
