//! Files that are never opened.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use datafusion::logical_expr::{col, lit};
use lakebed_tables::{DataFile, Snapshot, SnapshotParts, estimate};

use crate::lake::{Lake, cells, ints};

fn twelve_months(lake: &Lake) {
    for month in 1..=12 {
        for part in 0..2 {
            let first = month * 1000 + part * 100;
            let rows = vec![("id", ints(first..first + 100)), ("half", ints(vec![part; 100]))];
            lake.file(&format!("t/year=2024/month={month:02}/{part}.parquet"), rows);
        }
    }
}

#[tokio::test]
async fn partitions_are_typed_and_rule_files_out() {
    let lake = Lake::new();
    twelve_months(&lake);
    let snapshot = lake.open("t/").await;
    let types: Vec<String> = snapshot.partition_columns().iter().map(|(name, t)| format!("{name} {t}")).collect();
    assert_eq!(types, ["year Int64", "month Int64"]);

    let table = lake.table(&snapshot);
    let answer = table.query("select count(*), sum(id - id) from t where month between 3 and 4 and year = 2024").await;
    assert_eq!(cells(&answer), ["400,0"]);
    assert_eq!((table.scans.files_scanned(), table.scans.files_pruned()), (4, 20));
}

#[tokio::test]
async fn any_expression_over_partitions_decides() {
    let lake = Lake::new();
    twelve_months(&lake);
    let table = lake.table(&lake.open("t/").await);
    let answer = table.query("select distinct month from t where month % 5 = 0 order by month").await;
    assert_eq!(cells(&answer), ["5", "10"]);
    assert_eq!(table.scans.files_scanned(), 4);
}

#[tokio::test]
async fn statistics_rule_files_out_and_change_no_answer() {
    let lake = Lake::new();
    twelve_months(&lake);
    let snapshot = lake.open("t/").await;
    for (filter, rows, files) in [
        ("id = 5050", 1, 1),
        ("id in (5050, 7001, 99)", 2, 2),
        ("id > 12150", 49, 1),
        ("id < 0", 0, 0),
        ("id is null", 0, 0),
        ("id % 2 = 0", 1200, 24),
        ("half = 1 and month = 2", 100, 1),
        ("month = 2 or id = 1000", 201, 3),
    ] {
        let table = lake.table(&snapshot);
        let answer = table.query(&format!("select count(id) from t where {filter}")).await;
        assert_eq!(cells(&answer), [rows.to_string()], "{filter}");
        assert_eq!(table.scans.files_scanned(), files, "{filter}");
    }
}

#[tokio::test]
async fn the_path_wins_over_a_column_of_the_same_name() {
    let lake = Lake::new();
    lake.file("t/Day=1/a.parquet", vec![("day", ints([7, 7])), ("id", ints([1, 2]))]);
    let answer = lake.query("t/", "select day, id from t where day = 1 order by id").await;
    assert_eq!(cells(&answer), ["1,1", "1,2"]);
}

#[tokio::test]
async fn null_partitions_are_null() {
    let lake = Lake::new();
    lake.file("t/c=__HIVE_DEFAULT_PARTITION__/a.parquet", vec![("id", ints([1]))]);
    lake.file("t/c=x y/a.parquet", vec![("id", ints([2]))]);
    let answer = lake.query("t/", "select id from t where c is null").await;
    assert_eq!(cells(&answer), ["1"]);
    let answer = lake.query("t/", "select id, c from t where c = 'x y'").await;
    assert_eq!(cells(&answer), ["2,x y"]);
}

/// A file as the catalog would give it back, times `count`, none of which exists.
fn imagined(snapshot: &Snapshot, count: usize) -> Arc<Snapshot> {
    let model = &snapshot.files()[0];
    let files = (0..count).map(|number| {
        let mut file: DataFile = model.clone();
        file.meta.location = format!("lake/day={}/{number:06}.parquet", number % 200).into();
        file.partition_values = vec![Some((number % 200).to_string())];
        file
    });
    let parts = SnapshotParts {
        location: snapshot.location().clone(),
        kind: snapshot.kind(),
        file_schema: Arc::clone(snapshot.file_schema()),
        partition_columns: vec![("day".to_owned(), arrow::datatypes::DataType::Int64)],
        files: files.collect(),
    };
    Arc::new(Snapshot::new(parts).unwrap())
}

#[tokio::test]
async fn planning_over_ten_thousand_files_asks_the_store_nothing() {
    let lake = Lake::new();
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    lake.file("model/a.parquet", vec![("id", ints([1, 2, 3])), ("name", names)]);
    let snapshot = imagined(&*lake.open("model/").await, 10_000);
    let before = lake.storage.counters().requests();
    let table = lake.table(&snapshot);
    table.plan("select name, count(*) from t where id > 2 group by name order by 2 limit 10").await;
    assert_eq!((table.scans.files_scanned(), table.scans.files_pruned()), (10_000, 0));
    table.plan("select * from t where day = 17 and id > 2").await;
    assert_eq!((table.scans.files_scanned(), table.scans.files_pruned()), (10_050, 9_950));
    assert_eq!(cells(&table.query("select count(*), max(day) from t").await), ["30000,199"]);
    assert_eq!(lake.storage.counters().requests(), before);
}

#[tokio::test]
async fn an_estimate_counts_what_is_left() {
    let lake = Lake::new();
    twelve_months(&lake);
    let snapshot = lake.open("t/").await;
    let before = lake.storage.counters().requests();
    let whole = estimate(&snapshot, &["id".to_owned(), "half".to_owned()], &[]).unwrap();
    assert_eq!((whole.files, whole.files_pruned, whole.rows, whole.row_groups), (24, 0, 2400, 24));
    let part = estimate(&snapshot, &["id".to_owned()], &[col("t.month").eq(lit(3i64)), col("id").lt(lit(3050i64))]);
    let part = part.unwrap();
    assert_eq!((part.files, part.files_pruned, part.rows), (1, 23, 100));
    assert!(part.bytes > 0 && part.bytes * 24 < whole.bytes, "{} of {}", part.bytes, whole.bytes);
    assert_eq!(lake.storage.counters().requests(), before);
}

#[tokio::test]
async fn a_second_query_reads_no_footer_again() {
    let lake = Lake::new();
    twelve_months(&lake);
    let snapshot = lake.open("t/").await;
    let first = lake.table(&snapshot);
    first.query("select sum(id) from t").await;
    let second = lake.table(&snapshot);
    second.query("select sum(id) from t").await;
    assert!(second.counters.bytes_read() < first.counters.bytes_read());
    assert!(second.counters.requests() < first.counters.requests());
}
