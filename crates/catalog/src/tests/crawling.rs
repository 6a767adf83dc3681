//! Crawls: what becomes of what, and what is said about it.

use std::collections::BTreeSet;

use lakebed_types::{DatabaseName, ErrorKind};

use super::lake::{Lake, ints, lines, longs, name, parquet_bytes, reason, texts};
use crate::{Change, CrawlRequest, Outcome, RunState};

#[tokio::test]
async fn files_and_folders_become_tables() {
    let lake = Lake::new().await;
    lake.parquet("orders.parquet", &[("Id", ints(&[1, 2])), ("Amount", longs(&[10, 20]))]);
    lake.write("customers.csv", "id,name\n1,Ada\n2,Grace\n");
    lake.parquet("sales/year=2024/month=1/a.parquet", &[("price", longs(&[1]))]);
    lake.parquet("sales/year=2024/month=2/a.parquet", &[("price", longs(&[2, 3]))]);
    lake.parquet("sales/year=2025/month=1/a.parquet", &[("price", longs(&[4]))]);

    let report = lake.crawl().await;
    assert_eq!(report.state, RunState::Succeeded);
    assert_eq!(
        lines(&report),
        [
            r#""customers.csv" table customers 1 new"#,
            r#""orders.parquet" table orders 1 new"#,
            r#""sales/" table sales 3 new"#,
        ]
    );
    let tables = lake.catalog.tables(&DatabaseName::default_database()).await.unwrap();
    assert_eq!(tables.iter().map(|table| table.name.table()).collect::<Vec<_>>(), ["customers", "orders", "sales"]);
    let orders = &tables[1];
    assert_eq!((orders.files, orders.rows), (1, Some(2)));
    assert_eq!(orders.schema.field(0).name(), "Id");

    let sales = lake.catalog.snapshot(&name("sales")).await.unwrap();
    assert_eq!(sales.rows(), Some(4));
    let columns: Vec<&str> = sales.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(columns, ["price", "year", "month"]);
    let partitions = lake.catalog.partitions(&name("sales")).await.unwrap();
    let values: Vec<String> = partitions
        .iter()
        .map(|partition| {
            let values: Vec<&str> = partition.values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
            format!("{} {} {:?}", values.join("/"), partition.files, partition.rows)
        })
        .collect();
    assert_eq!(values, ["2024/1 1 Some(1)", "2024/2 1 Some(2)", "2025/1 1 Some(1)"]);
}

#[tokio::test]
async fn a_hostile_folder_is_reported_and_the_rest_works() {
    let lake = Lake::new().await;
    let rows = [("id", ints(&[1])), ("qty", ints(&[1]))];
    lake.parquet("mixed/a.parquet", &rows);
    lake.parquet("mixed/b.parquet", &[("id", longs(&[1 << 40])), ("qty", ints(&[1]))]);
    lake.parquet("mixed/c.parquet", &[("id", texts(&["x"])), ("qty", ints(&[1]))]);
    lake.write("mixed/empty.parquet", "");
    lake.write("mixed/_SUCCESS", "");
    lake.write("mixed/_temporary/0/part-0.parquet", "half");
    lake.write("mixed/_temporary/1/part-0.parquet", "half");
    lake.write("mixed/manifest.json", r#"{"entries": [{"url": "s3://b/a.parquet", "mandatory": true}]}"#);
    let whole = parquet_bytes(&rows);
    std::fs::write(lake.path("mixed/cut.parquet"), &whole[..whole.len() - 20]).unwrap();
    std::fs::write(lake.path("named/really_parquet.csv"), &whole).unwrap();
    lake.parquet("Käse und Brot/preise 2024.parquet", &[("preis", longs(&[3]))]);
    lake.parquet("hive/y=1/a.parquet", &rows);
    lake.parquet("hive/y=2/a.parquet", &rows);
    lake.parquet("hive/loose.parquet", &rows);

    let report = lake.crawl().await;
    assert_eq!(
        lines(&report),
        [
            r#""Käse und Brot/" table käse_und_brot 1 new"#,
            r#""hive/" table hive 2 new"#,
            r#""hive/" table hive_unpartitioned 1 new"#,
            r#""mixed/" table mixed 2 new"#,
            r#""mixed/_SUCCESS" skipped - 1 new"#,
            r#""mixed/_temporary/" skipped - 2 new"#,
            r#""mixed/c.parquet" conflict mixed 1 new"#,
            r#""mixed/cut.parquet" skipped - 1 new"#,
            r#""mixed/empty.parquet" skipped - 1 new"#,
            r#""mixed/manifest.json" skipped - 1 new"#,
            r#""named/" table named 1 new"#,
        ]
    );
    let conflict = reason(&report, "mixed/c.parquet", Outcome::Conflict);
    assert_eq!(conflict, "column `id` is VARCHAR here and INTEGER in `mixed/a.parquet`");
    assert!(reason(&report, "mixed/manifest.json", Outcome::Skipped).contains("manifest"));

    let mixed = lake.catalog.table(&name("mixed")).await.unwrap();
    assert_eq!(mixed.rows, Some(2));
    assert_eq!(lakebed_types::sql_type_name(mixed.schema.field(0).data_type()), "BIGINT");
    for left_out in ["c.parquet", "cut.parquet", "empty.parquet", "manifest.json"] {
        assert!(mixed.warnings.iter().any(|warning| warning.contains(left_out)), "{left_out}: {:?}", mixed.warnings);
    }
    assert_eq!(lake.catalog.snapshot(&name("mixed")).await.unwrap().files().len(), 2);
    assert_eq!(lake.catalog.snapshot(&name("käse_und_brot")).await.unwrap().rows(), Some(1));

    // The same again: everything is as it was, and nothing is read a second time.
    let (again, before) = (lake.crawl().await, lake.bytes_read());
    assert!(again.entries.iter().all(|entry| entry.change == Change::Unchanged), "{:?}", lines(&again));
    assert_eq!((again.inspected, lake.bytes_read()), (0, before));
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let lake = Lake::new().await;
    lake.parquet("a.parquet", &[("x", ints(&[1]))]);
    lake.write("_hidden", "");
    let dry = lake.dry_run().await;
    assert!(dry.dry_run);
    assert!(lake.catalog.tables(&DatabaseName::default_database()).await.unwrap().is_empty());
    assert!(lake.catalog.runs(None, 10).await.unwrap().is_empty());
    assert!(lake.catalog.crawlers().await.unwrap().is_empty());

    let real = lake.crawl().await;
    assert_eq!(real.inspected, 1, "the dry run kept nothing");
    assert_eq!(real.entries, dry.entries);
    assert_eq!(lake.catalog.run(&real.id).await.unwrap().entries, real.entries);
}

#[tokio::test]
async fn changes_are_told_from_run_to_run() {
    let lake = Lake::new().await;
    lake.parquet("a/1.parquet", &[("x", ints(&[1]))]);
    lake.parquet("b/1.parquet", &[("y", ints(&[1]))]);
    lake.parquet("c/1.parquet", &[("z", ints(&[1]))]);
    lake.crawl().await;
    lake.parquet("a/2.parquet", &[("x", ints(&[2])), ("more", ints(&[2]))]);
    lake.remove("b/1.parquet");
    lake.parquet("d/1.parquet", &[("q", ints(&[1]))]);
    let report = lake.crawl().await;
    assert_eq!(
        lines(&report),
        [r#""a/" table a 2 changed"#, r#""b/" table b 0 gone"#, r#""c/" table c 1 unchanged"#, r#""d/" table d 1 new"#,]
    );
    assert_eq!((report.inspected, report.reused), (2, 2));
    let gone = lake.catalog.table(&name("b")).await.unwrap();
    assert_eq!((gone.files, gone.schema.field(0).name().as_str()), (0, "y"));
    assert_eq!(lake.catalog.table(&name("a")).await.unwrap().schema.fields().len(), 2);
    assert_eq!(lines(&lake.crawl().await)[1], r#""b/" table b 0 unchanged"#);

    // It comes back under its name.
    lake.parquet("b/2.parquet", &[("y", ints(&[1]))]);
    assert_eq!(lines(&lake.crawl().await)[1], r#""b/" table b 1 changed"#);
}

#[tokio::test]
async fn a_taken_name_is_numbered_and_explained() {
    let lake = Lake::new().await;
    lake.parquet("x/data.parquet", &[("a", ints(&[1]))]);
    lake.parquet("X.parquet", &[("b", ints(&[1])), ("c", ints(&[1]))]);
    let report = lake.crawl().await;
    assert_eq!(lines(&report), [r#""X.parquet" table x 1 new"#, r#""x/" table x_2 1 new"#]);
    assert!(reason(&report, "x/", Outcome::Table).contains("`x` was taken"));
    assert_eq!(lines(&lake.crawl().await), [r#""X.parquet" table x 1 unchanged"#, r#""x/" table x_2 1 unchanged"#]);
}

#[tokio::test]
async fn a_named_location_is_one_table() {
    let lake = Lake::new().await;
    lake.parquet("a/1.parquet", &[("x", ints(&[1]))]);
    lake.parquet("b/1.parquet", &[("y", ints(&[1]))]);
    let request = CrawlRequest { table: Some("Everything".to_owned()), ..lake.request(false) };
    let report = lake.catalog.crawl(&request, &|_| {}).await.unwrap();
    assert_eq!(lines(&report), [r#""" table everything 2 new"#]);
    assert_eq!(lake.catalog.snapshot(&name("everything")).await.unwrap().rows(), Some(2));
}

#[tokio::test]
async fn a_pattern_of_files_is_one_table_and_stays_one() {
    let lake = Lake::new().await;
    for (path, x) in [("sales/1.parquet", 1), ("sales/2.parquet", 2), ("sales/old/3.parquet", 3)] {
        lake.parquet(path, &[("x", ints(&[x]))]);
    }
    lake.write("sales/notes.csv", "a\n1\n");
    let request = CrawlRequest {
        location: lake.location("sales/"),
        table: Some("sales".to_owned()),
        files: Some("*.parquet".to_owned()),
        ..lake.request(false)
    };
    let report = lake.catalog.crawl(&request, &|_| {}).await.unwrap();
    assert_eq!(lines(&report), [r#""" table sales 2 new"#]);

    lake.parquet("sales/4.parquet", &[("x", ints(&[4]))]);
    lake.parquet("sales/old/5.parquet", &[("x", ints(&[5]))]);
    let lake = lake.reopen().await;
    assert_eq!(lake.catalog.refresh(&name("sales")).await.unwrap().rows(), Some(3), "the next look asks the same");
    let narrower = CrawlRequest { files: Some("[12].parquet".to_owned()), ..request.clone() };
    let report = lake.catalog.crawl(&narrower, &|_| {}).await.unwrap();
    assert_eq!(lines(&report), [r#""" table sales 2 changed"#]);

    let nameless = CrawlRequest { table: None, ..request };
    assert_eq!(lake.catalog.crawl(&nameless, &|_| {}).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn one_file_is_one_table() {
    let lake = Lake::new().await;
    lake.write("Daily Report.csv", "a,b\n1,2\n");
    let request = CrawlRequest { location: lake.location("Daily Report.csv"), ..lake.request(false) };
    lake.catalog.crawl(&request, &|_| {}).await.unwrap();
    assert_eq!(lake.catalog.snapshot(&name("daily_report")).await.unwrap().files().len(), 1);
}

#[tokio::test]
async fn failures_are_recorded_and_change_nothing() {
    let lake = Lake::new().await;
    lake.parquet("a/1.parquet", &[("x", ints(&[1]))]);
    lake.crawl().await;
    let missing = CrawlRequest { location: lake.location("nowhere/"), ..lake.request(false) };
    let error = lake.catalog.crawl(&missing, &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ObjectNotFound);
    let runs = lake.catalog.runs(Some("lake"), 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.state).collect::<Vec<_>>(), [RunState::Failed, RunState::Succeeded]);
    assert_eq!(runs[0].error.as_deref(), Some(error.message()));

    let outside = CrawlRequest { location: lakebed_storage::Location::parse("/etc/").unwrap(), ..lake.request(false) };
    let error = lake.catalog.crawl(&outside, &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocationNotAllowed);
    let other = CrawlRequest { database: DatabaseName::new("defualt").unwrap(), ..lake.request(false) };
    let error = lake.catalog.crawl(&other, &|_| {}).await.unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::DatabaseNotFound, Some("Did you mean `default`?")));
}

#[tokio::test]
async fn ten_thousand_files_in_two_hundred_partitions() {
    let lake = Lake::new().await;
    let bytes = parquet_bytes(&[("id", longs(&[1, 2])), ("name", texts(&["a", "b"]))]);
    for day in 0..200 {
        for part in 0..50 {
            std::fs::write(lake.path(&format!("events/day={day}/part-{part:05}.parquet")), &bytes).unwrap();
        }
    }
    let seen = parking_lot::Mutex::new(BTreeSet::new());
    let report = lake
        .catalog
        .crawl(&lake.request(false), &|progress| {
            seen.lock().insert((progress.to_inspect, progress.inspected));
        })
        .await
        .unwrap();
    assert_eq!(lines(&report), [r#""events/" table events 10000 new"#]);
    assert_eq!((report.listed, report.inspected, report.reused), (10_000, 10_000, 0));
    assert_eq!(seen.lock().last(), Some(&(10_000, 10_000)));
    assert_eq!(lake.catalog.partitions(&name("events")).await.unwrap().len(), 200);

    let before = lake.bytes_read();
    let again = lake.crawl().await;
    assert_eq!((again.inspected, again.reused, lake.bytes_read()), (0, 10_000, before));

    // Read from the catalog file alone, in another process.
    let lake = lake.reopen().await;
    let snapshot = lake.catalog.snapshot(&name("events")).await.unwrap();
    assert_eq!((snapshot.files().len(), snapshot.rows()), (10_000, Some(20_000)));
    assert_eq!((lake.requests(), lake.bytes_read()), (0, 0));
}
