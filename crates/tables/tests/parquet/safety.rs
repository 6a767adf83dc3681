//! Files that are not what they were, or what they claim to be.

use lakebed_tables::{Rejected, inspect};
use lakebed_types::{Error, ErrorKind};

use crate::lake::{Lake, ints};

/// Our own error in an engine's error.
fn ours<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a Error {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref()).unwrap()
}

#[tokio::test]
async fn a_file_cut_after_it_was_listed_is_named() {
    let lake = Lake::new();
    lake.file("t/a.parquet", vec![("id", ints(0..1000))]);
    lake.file("t/b.parquet", vec![("id", ints(0..1000))]);
    let snapshot = lake.open("t/").await;
    let whole = std::fs::read(lake.path("t/b.parquet")).unwrap();
    std::fs::write(lake.path("t/b.parquet"), &whole[..whole.len() / 2]).unwrap();
    let error = lake.table(&snapshot).try_query("select sum(id) from t").await.unwrap_err();
    let error = ours(&error);
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("t/b.parquet was changed while it was being read"), "{error}");
}

#[tokio::test]
async fn a_file_removed_after_it_was_listed_is_named() {
    let lake = Lake::new();
    lake.file("t/a.parquet", vec![("id", ints(0..1000))]);
    let snapshot = lake.open("t/").await;
    std::fs::remove_file(lake.path("t/a.parquet")).unwrap();
    let error = lake.table(&snapshot).try_query("select sum(id) from t").await.unwrap_err();
    let error = ours(&error);
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("t/a.parquet was removed"), "{error}");
}

#[tokio::test]
async fn damage_inside_a_file_is_named() {
    let lake = Lake::new();
    let noise = (0..5000).map(|n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64));
    lake.file("t/a.parquet", vec![("id", ints(noise))]);
    let mut bytes = std::fs::read(lake.path("t/a.parquet")).unwrap();
    bytes[4..400].fill(0xFF);
    std::fs::write(lake.path("t/a.parquet"), bytes).unwrap();
    let snapshot = lake.open("t/").await;
    let error = lake.table(&snapshot).try_query("select sum(id) from t").await.unwrap_err();
    let error = ours(&error);
    assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
    assert!(error.message().contains("t/a.parquet is damaged"), "{error}");
}

#[tokio::test]
async fn looking_into_bad_files_says_why() {
    let lake = Lake::new();
    lake.file("good.parquet", vec![("id", ints(0..1000))]);
    let good = std::fs::read(lake.path("good.parquet")).unwrap();
    std::fs::write(lake.path("cut.parquet"), &good[..good.len() - 100]).unwrap();
    std::fs::write(lake.path("empty.parquet"), b"").unwrap();
    std::fs::write(lake.path("tiny.parquet"), b"PAR1").unwrap();
    std::fs::write(lake.path("secret.parquet"), b"PARE----PARE").unwrap();
    let mut wrong = good.clone();
    let footer = wrong.len() - 60;
    wrong[footer..footer + 40].fill(0xEE);
    std::fs::write(lake.path("wrong.parquet"), wrong).unwrap();
    let without_length = &good[..good.len() - 8];
    for (name, length) in [("long", i32::MAX as u32), ("negative", u32::MAX), ("longer", good.len() as u32 - 7)] {
        let bytes = [without_length, &length.to_le_bytes(), b"PAR1"].concat();
        std::fs::write(lake.path(&format!("{name}.parquet")), bytes).unwrap();
    }
    for (name, expected) in [
        ("cut", "Damaged"),
        ("empty", "Empty"),
        ("tiny", "Damaged"),
        ("secret", "Unsupported"),
        ("wrong", "Damaged"),
        ("long", "Damaged"),
        ("negative", "Damaged"),
        ("longer", "Damaged"),
    ] {
        let location = lake.location(&format!("{name}.parquet"));
        let meta = lake.storage.head(&location).await.unwrap();
        let rejected: Rejected = inspect(&lake.storage, &location, &meta).await.unwrap().unwrap_err();
        assert!(format!("{rejected:?}").starts_with(expected), "{name}: {rejected:?}");
    }
}

#[tokio::test]
async fn parquet_is_known_by_its_content() {
    let lake = Lake::new();
    lake.file("data.csv", vec![("id", ints(0..1000))]);
    let location = lake.location("data.csv");
    let meta = lake.storage.head(&location).await.unwrap();
    let found = inspect(&lake.storage, &location, &meta).await.unwrap().unwrap();
    assert_eq!(found.kind, lakebed_tables::FileKind::Parquet);
    assert_eq!(found.summary.rows(), Some(1000));
}
