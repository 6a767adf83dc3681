//! Every type: the schema that is promised is the one that is sent, whatever the statement.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array,
        DictionaryArray, FixedSizeBinaryArray, Float16Array, Float32Array, Float64Array, Int8Array, Int16Array,
        Int32Array, Int64Array, LargeBinaryArray, LargeListArray, LargeStringArray, ListArray, MapBuilder, RecordBatch,
        StringArray, StringBuilder, StringViewArray, StructArray, Time32MillisecondArray, Time64NanosecondArray,
        TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array,
        UInt32Array, UInt64Array,
        types::{Int8Type, Int32Type, Int64Type},
    },
    datatypes::{DataType, Field, Schema, i256},
};
use arrow_flight::Criteria;
use futures::TryStreamExt;
use lakebed_api_flight::FlightSettings;
use lakebed_testkit::TestLake;

use crate::server::{SECRET, Server, fetch, promised, statement, trips};

/// A column of each type that a Parquet file can hold, with a NULL in the middle.
fn all_types() -> RecordBatch {
    let columns = [scalars(), times(), texts(), nested()].concat();
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn scalars() -> Vec<(&'static str, ArrayRef)> {
    let wide = Decimal256Array::from(vec![Some(i256::from_i128(5)), None, Some(i256::MAX / i256::from_i128(100))]);
    vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]))),
        ("i16", Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("u8", Arc::new(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)]))),
        ("u16", Arc::new(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)]))),
        ("u32", Arc::new(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)]))),
        ("f16", Arc::new(Float16Array::from(vec![None; 3]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(f32::MIN), None, Some(f32::INFINITY)]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(f64::MAX), None, Some(f64::NEG_INFINITY)]))),
        (
            "money",
            Arc::new(Decimal128Array::from(vec![Some(1), None, Some(-5)]).with_precision_and_scale(12, 2).unwrap()),
        ),
        ("wide", Arc::new(wide.with_precision_and_scale(76, 10).unwrap())),
    ]
}

fn times() -> Vec<(&'static str, ArrayRef)> {
    let zoned = TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)]);
    vec![
        ("date", Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)]))),
        ("date64", Arc::new(Date64Array::from(vec![Some(0), None, Some(86_400_000)]))),
        ("time32", Arc::new(Time32MillisecondArray::from(vec![Some(0), None, Some(1)]))),
        ("time64", Arc::new(Time64NanosecondArray::from(vec![Some(0), None, Some(1)]))),
        ("second", Arc::new(TimestampSecondArray::from(vec![Some(0), None, Some(1)]))),
        ("micros", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, Some(1)]))),
        ("nanos", Arc::new(TimestampNanosecondArray::from(vec![Some(0), None, Some(1)]))),
        ("zoned", Arc::new(zoned.clone().with_timezone("UTC"))),
        ("vienna", Arc::new(zoned.with_timezone("Europe/Vienna"))),
    ]
}

fn texts() -> Vec<(&'static str, ArrayRef)> {
    let long = "a text that is too long to be inlined in a view";
    let bytes: Vec<Option<&[u8]>> = vec![Some(b""), None, Some(b"\x00\xff")];
    let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None, Some(long)].into_iter().collect();
    let small: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    let fixed =
        FixedSizeBinaryArray::try_from_sparse_iter_with_size(vec![Some([1, 2]), None, Some([3, 4])].into_iter(), 2);
    vec![
        ("text", Arc::new(StringArray::from(vec![Some(""), None, Some(long)]))),
        ("large_text", Arc::new(LargeStringArray::from(vec![Some(""), None, Some(long)]))),
        ("text_view", Arc::new(StringViewArray::from(vec![Some("s"), None, Some(long)]))),
        ("bytes", Arc::new(arrow::array::BinaryArray::from(bytes.clone()))),
        ("large_bytes", Arc::new(LargeBinaryArray::from(bytes.clone()))),
        ("bytes_view", Arc::new(BinaryViewArray::from(bytes))),
        ("fixed", Arc::new(fixed.unwrap())),
        ("dictionary", Arc::new(dictionary)),
        ("small_dictionary", Arc::new(small)),
    ]
}

fn nested() -> Vec<(&'static str, ArrayRef)> {
    let lists = || vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let inner: ArrayRef =
        Arc::new(StringViewArray::from(vec![Some("in a struct, and long enough for a buffer"), None, Some("y")]));
    let field = Arc::new(Field::new("inner", DataType::Utf8View, true));
    let mut map = MapBuilder::new(None, StringBuilder::new(), arrow::array::Int64Builder::new());
    for entries in [Some(1), None, Some(2)] {
        for at in 0..entries.unwrap_or(0) {
            map.keys().append_value(format!("k{at}"));
            map.values().append_value(at);
        }
        map.append(entries.is_some()).unwrap();
    }
    vec![
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists()))),
        ("large_list", Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(lists()))),
        ("struct", Arc::new(StructArray::from(vec![(field, inner)]))),
        ("map", Arc::new(map.finish())),
    ]
}

async fn server() -> Server {
    let lake = TestLake::new().unwrap();
    lake.write_parquet("types/part-0.parquet", &[all_types()]).unwrap();
    lake.write_parquet("trips/part-0.parquet", &[trips(0..250)]).unwrap();
    lake.write_partitions("sales", "year", &[("2023", trips(0..3)), ("2024", trips(3..5))]).unwrap();
    Server::over(lake, FlightSettings::new(SECRET)).await
}

/// Whether clients of every kind read this type.
fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView | DataType::Dictionary(..) | DataType::RunEndEncoded(..) => false,
        DataType::List(field) | DataType::LargeList(field) | DataType::Map(field, _) => is_plain(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_plain(field.data_type())),
        _ => true,
    }
}

#[tokio::test]
async fn every_type_is_sent_as_it_was_promised() {
    let server = server().await;
    let names: Vec<String> = all_types().schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut statements = vec![
        "SELECT * FROM types".to_owned(),
        "SELECT * FROM types UNION ALL SELECT * FROM types".to_owned(),
        "SELECT t.*, s.year FROM types t LEFT JOIN sales s ON t.i64 = s.id".to_owned(),
    ];
    for name in &names {
        statements.push(format!("SELECT \"{name}\" FROM types"));
    }
    let nested = ["list", "large_list", "struct", "map"];
    for name in names.iter().filter(|name| !nested.contains(&name.as_str())) {
        let sql =
            format!("SELECT count(\"{name}\") AS n, max(\"{name}\") AS m FROM types WHERE \"{name}\" IS NOT NULL");
        // Not every type has a largest value.
        if server.client().await.get_schema(statement(&sql)).await.is_ok() {
            statements.push(sql);
        }
    }
    assert!(statements.len() > names.len() + 25, "{}", statements.len());
    hold(&server, &statements).await;
}

#[tokio::test]
async fn every_statement_is_sent_as_it_was_promised() {
    let server = server().await;
    hold(
        &server,
        &[
            "SELECT 1 AS a, 'x' AS b, NULL AS c, 1.5 AS d, DATE '2024-01-01' AS e, INTERVAL '1' MONTH AS f, true AS g",
            "SELECT 1 AS a UNION ALL SELECT NULL",
            "VALUES (1, 'a'), (2, NULL)",
            "SELECT a.id, b.name FROM trips a LEFT JOIN trips b ON a.id = b.id + 1 WHERE b.name IS NOT NULL",
            "SELECT a.id, b.id AS other FROM trips a FULL JOIN sales b ON a.id = b.id",
            "SELECT count(*) AS n, sum(price) AS s, min(name) AS m FROM trips WHERE id < 0",
            "SELECT name, row_number() OVER (ORDER BY id) AS r, lag(id) OVER (ORDER BY id) AS l FROM trips",
            "SELECT coalesce(price, 0) AS p, price IS NULL AS n, CASE WHEN id > 3 THEN id END AS c FROM trips",
            "SELECT array_agg(id) AS ids, count(DISTINCT name) AS d FROM trips GROUP BY id % 3",
            "SELECT year, count(*) AS n FROM sales GROUP BY ROLLUP (year)",
            "SELECT * FROM trips WHERE false",
            "SELECT id, id, id AS x FROM trips",
            "SHOW TABLES",
            "DESCRIBE trips",
            "EXPLAIN SELECT * FROM trips",
            "EXPLAIN ANALYZE SELECT * FROM trips",
            "SELECT * FROM information_schema.columns",
            "SELECT * FROM system.queries",
            "SELECT now() AS n, uuid() AS u",
        ]
        .map(str::to_owned),
    )
    .await;
}

async fn hold(server: &Server, statements: &[String]) {
    let mut client = server.client().await;
    for sql in statements {
        let info = client.get_flight_info(statement(sql)).await.unwrap_or_else(|s| panic!("{sql}: {s}")).into_inner();
        let asked = client.get_schema(statement(sql)).await.unwrap().into_inner();
        let (sent, _) = fetch(&mut client, &info).await.unwrap_or_else(|status| panic!("{sql}: {status}"));
        assert_eq!(promised(&info), *sent, "{sql}");
        assert_eq!(Schema::try_from(&asked).unwrap(), *sent, "{sql}");
        assert!(sent.fields().iter().all(|field| is_plain(field.data_type())), "{sql}: {sent}");
    }
}

#[tokio::test]
async fn values_are_those_of_the_file() {
    let server = server().await;
    let mut client = server.client().await;
    let info = client.get_flight_info(statement("SELECT * FROM types")).await.unwrap().into_inner();
    let (schema, batches) = fetch(&mut client, &info).await.unwrap();
    let rows = arrow::compute::concat_batches(&schema, &batches).unwrap();
    let wanted = all_types();
    for (at, field) in schema.fields().iter().enumerate() {
        let same = arrow::compute::cast(wanted.column(at), field.data_type()).unwrap();
        assert_eq!(rows.column(at), &same, "{}", field.name());
    }
}

#[tokio::test]
async fn a_list_of_flights_promises_the_same() {
    let server = server().await;
    let mut client = server.client().await;
    let flights: Vec<_> =
        client.list_flights(Criteria::default()).await.unwrap().into_inner().try_collect().await.unwrap();
    for info in &flights {
        let (sent, _) = fetch(&mut client, info).await.unwrap();
        assert_eq!(promised(info), *sent);
    }
}

/// Also what is unusual in a message: many columns, rows of very different sizes, buffers that are shared.
#[tokio::test]
async fn odd_batches_arrive_whole() {
    let server = server().await;
    let wide = (0..500).map(|i| format!("id + {i} AS c{i}")).collect::<Vec<_>>().join(", ");
    let rows = server.rows(&format!("SELECT {wide} FROM trips")).await;
    assert_eq!((rows.num_rows(), rows.num_columns()), (250, 500));
    let rows = server.rows("SELECT repeat('x', CASE WHEN id % 50 = 0 THEN 1000000 ELSE 1 END) AS t FROM trips").await;
    assert_eq!(rows.num_rows(), 250);
    let rows = server.rows("SELECT a.name, b.name AS other FROM trips a, trips b WHERE a.id + b.id = 17").await;
    assert_eq!(rows.num_rows(), 18);
}
