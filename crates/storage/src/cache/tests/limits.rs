//! The bound in bytes, and what is let go first.

use super::*;

#[tokio::test]
async fn the_bound_is_kept() {
    let bound = 10 * BLOCK_BYTES;
    let lake = Lake::new(bound);
    let reader = lake.reader();
    for file in 0..8 {
        let bytes = content(7, 11, file);
        let version = lake.put(&format!("t/{file}"), &bytes).await;
        for _ in 0..2 {
            assert!(reader.read_all(&version).await.unwrap() == bytes[..]);
            assert!(lake.blocks.cache.size_bytes().await <= bound);
        }
    }
    assert!(lake.blocks.cache.size_bytes().await > bound / 2);
}

#[tokio::test]
async fn a_large_scan_leaves_what_is_used_often() {
    let lake = Lake::new(20 * BLOCK_BYTES);
    // Uses are counted once the cache is half full.
    let often = lake.put("often", &content(12, 0, 1)).await;
    let scanned = lake.put("scanned", &content(200, 0, 2)).await;
    for _ in 0..10 {
        lake.reader().read_all(&often).await.unwrap();
    }
    lake.reader().read_all(&scanned).await.unwrap();
    let reader = lake.reader();
    reader.read_all(&often).await.unwrap();
    assert_eq!(reader.counted(), [0, 0, 12 * BLOCK_BYTES, 12, 0]);
}

#[test]
fn no_room_is_no_cache() {
    assert!(BlockCache::new(0).is_none());
}

#[tokio::test]
async fn a_cache_smaller_than_a_block_still_reads() {
    let lake = Lake::new(1000);
    let bytes = content(3, 5, 1);
    let version = lake.put("t", &bytes).await;
    for _ in 0..2 {
        assert!(lake.reader().read_all(&version).await.unwrap() == bytes[..]);
    }
    // Only the last block is short enough to stay.
    assert_eq!(lake.store.requests(), [0..3 * BLOCK_BYTES + 5, 0..3 * BLOCK_BYTES]);
}
