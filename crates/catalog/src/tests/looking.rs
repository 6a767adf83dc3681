//! Freshness: when a table's location is looked at again, and what a look finds.

use std::time::Duration;

use lakebed_types::ErrorKind;

use super::lake::{Lake, ints, longs, name, texts};
use crate::{CatalogSettings, Freshness, TableKind};

#[tokio::test]
async fn a_query_looks_when_the_last_look_is_old_enough() {
    let lake = Lake::new().await;
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    let first = lake.catalog.snapshot(&name("t")).await.unwrap();
    let before = lake.requests();

    lake.parquet("t/2.parquet", &[("x", ints(&[2]))]);
    lake.later(4);
    let same = lake.catalog.snapshot(&name("t")).await.unwrap();
    assert_eq!((same.version(), lake.requests()), (first.version(), before), "too early for a look: no request");

    lake.later(1);
    let next = lake.catalog.snapshot(&name("t")).await.unwrap();
    assert_eq!(next.rows(), Some(2));
    assert_ne!(next.version(), first.version());
    let table = lake.catalog.table(&name("t")).await.unwrap();
    assert_eq!(
        (table.files, table.rows, table.last_listed),
        (2, Some(2), Some(lakebed_types::Clock::now(&*lake.clock)))
    );

    lake.later(5);
    let read = lake.bytes_read();
    let same = lake.catalog.snapshot(&name("t")).await.unwrap();
    assert_eq!(
        (same.version(), lake.bytes_read()),
        (next.version(), read),
        "a look that finds nothing new reads nothing"
    );

    lake.remove("t/1.parquet");
    lake.later(5);
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(1));
}

#[tokio::test]
async fn concurrent_queries_share_a_look() {
    let lake = Lake::new().await;
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    lake.catalog.snapshot(&name("t")).await.unwrap();
    lake.parquet("t/2.parquet", &[("x", ints(&[2]))]);
    lake.later(60);
    let one = {
        let before = lake.requests();
        lake.catalog.refresh(&name("t")).await.unwrap();
        lake.requests() - before
    };
    lake.parquet("t/3.parquet", &[("x", ints(&[2]))]);
    lake.later(60);
    let (before, table) = (lake.requests(), name("t"));
    let all = futures::future::join_all((0..32).map(|_| lake.catalog.snapshot(&table))).await;
    assert!(all.iter().all(|snapshot| snapshot.as_ref().is_ok_and(|snapshot| snapshot.rows() == Some(3))));
    assert_eq!(lake.requests() - before, one, "32 queries cost the requests of one look at one new file");
}

#[tokio::test]
async fn a_look_adds_columns_and_leaves_out_what_contradicts() {
    let lake = Lake::new().await;
    lake.parquet("t/a1.parquet", &[("id", ints(&[1])), ("v", ints(&[1]))]);
    lake.crawl().await;
    lake.parquet("t/a2.parquet", &[("id", longs(&[2])), ("v", ints(&[1])), ("New", texts(&["x"]))]);
    lake.parquet("t/a3.parquet", &[("id", texts(&["?"])), ("v", ints(&[1]))]);
    lake.parquet("t/other.parquet", &[("temperature", ints(&[1])), ("wind", ints(&[1]))]);
    lake.write("t/note.csv", "a,b\n1,2\n");
    let snapshot = lake.catalog.refresh(&name("t")).await.unwrap();
    let columns: Vec<&str> = snapshot.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!((columns, snapshot.files().len()), (vec!["id", "v", "New"], 2));
    let table = lake.catalog.table(&name("t")).await.unwrap();
    assert_eq!(table.schema.fields().len(), 3);
    let warned = |text: &str| table.warnings.iter().any(|warning| warning.contains(text));
    assert!(warned("`a3.parquet` is left out: column `id` is VARCHAR here"), "{:?}", table.warnings);
    assert!(warned("`other.parquet` is left out: it shares less than half of its columns"), "{:?}", table.warnings);
    assert!(warned("`note.csv` is left out: it is CSV"), "{:?}", table.warnings);
}

#[tokio::test]
async fn policies_are_kept_and_followed() {
    let manual = CatalogSettings { default_freshness: Freshness::Manual, ..CatalogSettings::default() };
    let lake = Lake::with(manual).await;
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    lake.parquet("t/2.parquet", &[("x", ints(&[1]))]);
    lake.later(1_000_000);
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(1));

    lake.catalog.set_freshness(&name("t"), Freshness::Interval { every: Duration::from_secs(60) }).await.unwrap();
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(1), "a query does not look");
    lake.catalog.refresh_due().await.unwrap();
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(2));
    let before = lake.requests();
    lake.later(59);
    lake.catalog.refresh_due().await.unwrap();
    assert_eq!(lake.requests(), before, "not due yet");

    let lake = lake.reopen().await;
    let table = lake.catalog.table(&name("t")).await.unwrap();
    assert!(matches!(table.kind, TableKind::Files { freshness: Freshness::Interval { .. }, .. }));
}

#[tokio::test]
async fn a_file_that_was_just_written_is_added_without_a_listing() {
    let lake = Lake::new().await;
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    lake.catalog.set_freshness(&name("t"), Freshness::Manual).await.unwrap();
    lake.parquet("t/2.parquet", &[("x", ints(&[2]))]);
    lake.parquet("t/3.parquet", &[("x", ints(&[3]))]);

    let written = lake.catalog.storage().head(&lake.location("t/3.parquet")).await.unwrap();
    let snapshot = lake.catalog.add_file(&name("t"), &written).await.unwrap();
    let files: Vec<_> = snapshot.files().iter().filter_map(|file| file.meta.location.filename()).collect();
    assert_eq!(files, ["1.parquet", "3.parquet"], "nobody has looked at the folder");
    assert_eq!(lake.catalog.refresh(&name("t")).await.unwrap().rows(), Some(3));

    lake.parquet("t/4.parquet", &[("x", texts(&["four"]))]);
    let other = lake.catalog.storage().head(&lake.location("t/4.parquet")).await.unwrap();
    let error = lake.catalog.add_file(&name("t"), &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaConflict, "{error}");
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(3), "the table is as it was");
}

#[tokio::test]
async fn a_folder_that_is_gone_is_a_table_without_files() {
    let lake = Lake::new().await;
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    std::fs::remove_dir_all(lake.path("t/1.parquet").parent().unwrap()).unwrap();
    let snapshot = lake.catalog.refresh(&name("t")).await.unwrap();
    assert_eq!((snapshot.files().len(), snapshot.schema().field(0).name().as_str()), (0, "x"));
}

#[tokio::test]
async fn a_store_that_fails_is_told_and_no_old_snapshot_served() {
    let lake = Lake::new().await;
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    lake.catalog.snapshot(&name("t")).await.unwrap();
    let (root, away) =
        (lake.path("x").parent().unwrap().to_owned(), lake.path("x").parent().unwrap().with_extension("away"));
    // As a disk that is not mounted.
    std::fs::rename(&root, &away).unwrap();
    lake.later(60);
    // The table's folder is missing as well: with its root, which is a fault and no empty table.
    let result = lake.catalog.snapshot(&name("t")).await;
    std::fs::rename(&away, &root).unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::BucketNotFound);
    assert_eq!(lake.catalog.snapshot(&name("t")).await.unwrap().rows(), Some(1));
}
