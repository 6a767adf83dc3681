//! Columns that differ from file to file.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::Int32Type;

use crate::lake::{Lake, cells, ints};

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[tokio::test]
async fn columns_answer_in_lower_case_whatever_each_file_spells() {
    let lake = Lake::new();
    lake.file("t/a.parquet", vec![("VendorID", ints([1, 2])), ("City", strings(&["x", "y"]))]);
    lake.file("t/b.parquet", vec![("city", strings(&["z", "x"])), ("vendorid", ints([3, 4]))]);
    let snapshot = lake.open("t/").await;
    let names: Vec<&str> = snapshot.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["VendorID", "City"]);
    let answer = lake.table(&snapshot).query("select vendorid, city from t where city = 'x' order by vendorid").await;
    assert_eq!(cells(&answer), ["1,x", "4,x"]);
}

#[tokio::test]
async fn columns_that_differ_in_case_only_stay_apart() {
    let lake = Lake::new();
    lake.file("t/a.parquet", vec![("id", ints([1])), ("ID", ints([2])), ("Other", ints([3]))]);
    let answer = lake.query("t/", r#"select "id", "ID", other from t"#).await;
    assert_eq!(cells(&answer), ["1,2,3"]);
}

#[tokio::test]
async fn missing_columns_are_null_and_narrow_types_are_widened() {
    let lake = Lake::new();
    lake.file(
        "t/a.parquet",
        vec![("n", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef), ("s", strings(&["a", "b"]))],
    );
    lake.file("t/b.parquet", vec![("n", ints([3, 9_000_000_000]))]);
    lake.file("t/c.parquet", vec![("n", Arc::new(Float64Array::from(vec![0.5])) as ArrayRef)]);
    let answer = lake.query("t/", "select n, s is null as lost from t order by n").await;
    assert_eq!(cells(&answer), ["0.5,true", "1.0,false", "2.0,false", "3.0,true", "9000000000.0,true"]);
    let answer = lake.query("t/", "select count(*) from t where n > 2").await;
    assert_eq!(cells(&answer), ["2"]);
    let answer = lake.query("t/", "select s from t where s is not null and n < 2").await;
    assert_eq!(cells(&answer), ["a"]);
}

#[tokio::test]
async fn timestamps_of_different_units_compare() {
    let lake = Lake::new();
    let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_000]));
    let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_000_001]));
    lake.file("t/a.parquet", vec![("at", millis)]);
    lake.file("t/b.parquet", vec![("at", micros)]);
    let answer = lake.query("t/", "select count(*) from t where at >= timestamp '2023-11-14T22:13:20'").await;
    assert_eq!(cells(&answer), ["2"]);
    let answer = lake.query("t/", "select max(at) > min(at) as differ from t").await;
    assert_eq!(cells(&answer), ["true"]);
}

#[tokio::test]
async fn dictionaries_are_plain_strings() {
    let lake = Lake::new();
    let coded: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    lake.file("t/a.parquet", vec![("Kind", Arc::new(coded) as ArrayRef)]);
    lake.file("t/b.parquet", vec![("kind", strings(&["c"]))]);
    let answer = lake.query("t/", "select kind, count(*) from t group by kind order by kind").await;
    assert_eq!(cells(&answer), ["a,2", "b,1", "c,1"]);
}

#[tokio::test]
async fn counts_and_bounds_come_from_metadata() {
    let lake = Lake::new();
    lake.file("t/day=2024-01-01/a.parquet", vec![("id", ints([5, 1, 9]))]);
    lake.file("t/day=2024-01-02/a.parquet", vec![("id", ints([7]))]);
    let snapshot = lake.open("t/").await;
    let table = lake.table(&snapshot);
    let answer = table.query("select count(*), min(id), max(id), max(day) from t").await;
    assert_eq!(cells(&answer), ["4,1,9,2024-01-02"]);
    let answer = table.query("select count(*) from t where day = date '2024-01-01'").await;
    assert_eq!(cells(&answer), ["3"]);
    assert_eq!(table.counters.requests(), 0);
}

#[tokio::test]
async fn nan_is_the_greatest_float_although_statistics_leave_it_out() {
    let lake = Lake::new();
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]));
    lake.file("t/a.parquet", vec![("x", floats)]);
    assert_eq!(cells(&lake.query("t/", "select max(x) from t").await), ["NaN"]);
}

#[tokio::test]
async fn a_limit_opens_no_more_files_than_it_needs() {
    let lake = Lake::new();
    for file in 0..20 {
        lake.file(&format!("t/{file:02}.parquet"), vec![("id", ints(0..10))]);
    }
    let snapshot = lake.open("t/").await;
    let table = lake.table(&snapshot);
    let answer = table.query("select id from t limit 15").await;
    assert_eq!(cells(&answer).len(), 15);
    assert_eq!(table.scans.files_scanned(), 2);
}
