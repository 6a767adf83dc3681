//! Kept columns: the same answers as without them, and nothing read again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use lakebed_tables::ReadCaches;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::lake::{Lake, cells, ints, text};

const ROWS: i64 = 50_000;

fn names(rows: std::ops::Range<i64>) -> ArrayRef {
    let name = |n: i64| (n % 7 != 0).then(|| format!("the name of customer number {}", n % 1_000));
    Arc::new(rows.map(name).collect::<StringArray>())
}

fn pairs(rows: std::ops::Range<i64>) -> ArrayRef {
    let left = Arc::new(Field::new("left", DataType::Int64, true));
    let right = Arc::new(Field::new("right", DataType::Utf8, true));
    Arc::new(StructArray::from(vec![(left, ints(rows.clone())), (right, names(rows))]))
}

/// Row groups of 20,000 rows, with pages of 1,000 that have an index.
fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(20_000))
        .set_data_page_row_count_limit(1_000)
        .set_write_batch_size(500)
        .set_statistics_enabled(EnabledStatistics::Page)
        .build()
}

/// Two days whose files differ in types, case, order and columns.
fn two_days(lake: &Lake) {
    let day = |first: i64| first..first + ROWS;
    lake.file_with(
        "t/day=1/a.parquet",
        vec![
            ("Id", ints(day(0))),
            ("name", names(day(0))),
            ("price", Arc::new(Int32Array::from_iter_values(0..ROWS as i32))),
        ],
        properties(),
    );
    let price: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(|n| n as f64 / 4.0)));
    lake.file_with(
        "t/day=2/a.parquet",
        vec![("pair", pairs(day(ROWS))), ("NAME", names(day(ROWS))), ("id", ints(day(ROWS))), ("price", price)],
        properties(),
    );
}

const QUERIES: [&str; 12] = [
    "select count(name), sum(id), min(price), max(day) from t",
    "select name, count(*), sum(price) from t group by name order by name nulls last",
    "select day, sum(id * 2 + day) from t group by day order by day",
    "select id, name from t where id between 19990 and 20010 or id > 99995 order by id",
    "select id + 1 as next, day from t where name = 'the name of customer number 15' and day = 2 order by id",
    "select sum(pair['left']), count(pair['right']), count(*) from t",
    "select id, price from t order by price desc, id limit 20",
    "select count(*) from t a join t b on a.id = b.id + 50000 where b.price < 100",
    "select count(distinct name) from t where price is not null and id % 3 = 1",
    "select sum(price) from t where name is null",
    "select id from t where id < 0",
    "select max(length(name)), count(day) from t where id >= 40000",
];

#[tokio::test]
async fn every_query_answers_the_same_whether_columns_are_decoded_kept_or_here() {
    let lake = Lake::new();
    two_days(&lake);
    let snapshot = lake.open("t/").await;
    let without = ReadCaches::new(64 << 20, 0);
    for sql in QUERIES {
        let expected = lake.table_with(&snapshot, &without).query(sql).await;
        for time in 1..=3 {
            assert_eq!(lake.table(&snapshot).query(sql).await, expected, "run {time} of {sql}");
        }
    }
}

#[tokio::test]
async fn the_third_time_nothing_is_read() {
    let lake = Lake::new();
    two_days(&lake);
    let snapshot = lake.open("t/").await;
    let sql = "select sum(id), max(name), sum(price) from t";
    let mut read = Vec::new();
    for _ in 0..3 {
        let table = lake.table(&snapshot);
        table.query(sql).await;
        read.push((table.counters.bytes_read(), table.counters.bytes_cached()));
    }
    assert!(read[0].0 > 0 && read[1].0 > 0, "{read:?}");
    assert!(read[2].0 == 0 && read[2].1 > 0, "{read:?}");
    // Another query over some of these columns finds them too.
    let table = lake.table(&snapshot);
    assert_eq!(cells(&table.query("select count(*) from t where name is null and id < 50000").await), ["7143"]);
    assert_eq!(table.counters.bytes_read(), 0);
}

#[tokio::test]
async fn wide_rows_come_in_halves_of_what_is_kept() {
    let lake = Lake::new();
    two_days(&lake);
    let snapshot = lake.open("t/").await;
    let sql = "select * from t order by id";
    let expected = lake.table_with(&snapshot, &ReadCaches::new(64 << 20, 0)).query(sql).await;
    for (time, read_nothing) in [(1, false), (2, false), (3, true)] {
        let table = lake.table(&snapshot);
        table.query("set datafusion.execution.batch_size = 8192").await;
        let batches = table.try_query("select * from t").await.unwrap();
        assert!(batches.iter().all(|batch| batch.num_rows() <= 8_192));
        assert_eq!(table.counters.bytes_read() == 0, read_nothing, "run {time}");
        assert_eq!(table.query(sql).await, expected, "run {time}");
    }
}

#[tokio::test]
async fn a_filter_that_leaves_few_rows_reads_their_pages_and_moves_nothing_in() {
    let lake = Lake::new();
    two_days(&lake);
    let snapshot = lake.open("t/").await;
    for _ in 0..4 {
        let table = lake.table(&snapshot);
        let answer = table.query("select name from t where id = 70001").await;
        assert_eq!(cells(&answer), ["the name of customer number 1"]);
        assert!(table.counters.bytes_read() > 0);
    }
}

#[tokio::test]
async fn row_groups_are_pruned_and_counted_as_the_engine_does() {
    let lake = Lake::new();
    two_days(&lake);
    let snapshot = lake.open("t/").await;
    let sql = "explain analyze select sum(id), max(price) from t where id < 30000";
    let mut shown = Vec::new();
    for _ in 0..3 {
        let answer = text(&lake.table(&snapshot).try_query(sql).await.unwrap());
        let metric = |name: &str| {
            let from = answer.split(&format!("{name}=")).nth(1).unwrap();
            from.split([',', ']']).next().unwrap().to_owned()
        };
        shown.push(metric("row_groups_pruned_statistics"));
    }
    assert!(shown.iter().all(|groups| groups.starts_with("3 total → 2 matched")), "{shown:?}");
}

#[tokio::test]
async fn a_file_that_is_replaced_is_another_file() {
    let lake = Lake::new();
    lake.file("t/a.parquet", vec![("id", ints(0..1_000))]);
    for round in 0..3 {
        let rows = round * 1_000..(round + 1) * 1_000;
        lake.file("t/a.parquet", vec![("id", ints(rows.clone()))]);
        let snapshot = lake.open("t/").await;
        for _ in 0..3 {
            let answer = lake.table(&snapshot).query("select min(id + 0), max(id + 0) from t").await;
            assert_eq!(cells(&answer), [format!("{},{}", rows.start, rows.end - 1)]);
        }
    }
}
