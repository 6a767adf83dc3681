//! The same rows in every format and compression, and what each format's damage is called.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use lakebed_testkit::{csv_bytes, gzip, json_array_bytes, ndjson_bytes, parquet_bytes};
use lakebed_types::ErrorKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Compression, RowsFormat, TableRules,
    decode::inflate::inflate,
    harmonize::Plan,
    prepare::{Prepared, prepare},
};

pub(super) fn plan(schema: &SchemaRef, rules: &TableRules) -> Plan {
    Plan::new(schema.clone(), rules, 1_000_000).unwrap()
}

pub(super) fn prepared(format: RowsFormat, bytes: impl Into<Bytes>, plan: &Plan) -> Prepared {
    prepare(format, &bytes.into(), plan).unwrap()
}

fn sample() -> RecordBatch {
    let time = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values).with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("small", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(0), None]))),
        ("large", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MIN), Some(9_007_199_254_740_993)]))),
        ("real", Arc::new(Float64Array::from(vec![Some(0.1), Some(-1.5e300), None]))),
        ("text", Arc::new(StringArray::from(vec![Some("a,\"b\"\nc"), Some("grün 雪"), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(19_723), None]))),
        ("at", Arc::new(time(vec![Some(1_704_067_200_123_456), Some(-1), None]))),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![Some(12_345), Some(-1), None]).with_precision_and_scale(12, 2).unwrap(),
            ),
        ),
    ];
    let fields: Vec<_> =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, values)| values).collect())
        .unwrap()
}

pub(super) fn ipc(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

pub(super) fn in_every_format(batch: &RecordBatch) -> Vec<(RowsFormat, Vec<u8>)> {
    let batches = std::slice::from_ref(batch);
    vec![
        (RowsFormat::NdJson, ndjson_bytes(batches).unwrap()),
        (RowsFormat::Json, json_array_bytes(batches).unwrap()),
        (RowsFormat::Csv, csv_bytes(batches).unwrap()),
        (RowsFormat::Arrow, ipc(batch)),
        (RowsFormat::Parquet, parquet_bytes(batches, None).unwrap()),
    ]
}

#[test]
fn every_format_brings_the_same_rows() {
    let batch = sample();
    let plan = plan(&batch.schema(), &TableRules::default());
    for (format, bytes) in in_every_format(&batch) {
        let prepared = prepared(format, bytes, &plan);
        assert_eq!(prepared.bad, [], "{format:?}");
        assert_eq!(prepared.batch, batch, "{format:?}");
    }
}

#[test]
fn bytes_come_as_base64_in_text() {
    let schema = Arc::new(Schema::new(vec![Field::new("b", DataType::Binary, true)]));
    let prepared = prepared(
        RowsFormat::NdJson,
        r#"{"b":"AP9hYg=="}
{"b":""}
{"b":null}"#,
        &plan(&schema, &TableRules::default()),
    );
    let expected: ArrayRef = Arc::new(BinaryArray::from(vec![Some(b"\0\xffab".as_ref()), Some(b""), None]));
    assert_eq!(prepared.batch.column(0), &expected);
}

#[test]
fn compressed_bodies_are_bounded_and_complete() {
    let text = vec![b'a'; 3_000_000];
    let zstd = zstd::encode_all(text.as_slice(), 3).unwrap();
    for (compression, bytes) in [(Compression::Gzip, gzip(&text).unwrap()), (Compression::Zstd, zstd)] {
        let all = |bytes: &[u8], limit| inflate(Bytes::copy_from_slice(bytes), compression, limit, |_| Ok(()));
        assert_eq!(all(&bytes, 3_000_000).unwrap(), text);
        assert_eq!(all(&bytes, 2_999_999).unwrap_err().kind(), ErrorKind::RequestTooLarge);
        assert_eq!(all(&bytes[..bytes.len() - 1], u64::MAX).unwrap_err().kind(), ErrorKind::InvalidRequest);
        assert_eq!(all(b"not compressed at all", u64::MAX).unwrap_err().kind(), ErrorKind::InvalidRequest);
        let twice = [bytes.as_slice(), bytes.as_slice()].concat();
        assert_eq!(all(&twice, u64::MAX).unwrap().len(), 6_000_000, "{compression:?} of two members");
    }
}

#[test]
fn a_body_that_is_not_of_its_format_is_refused_as_a_whole() {
    let batch = sample();
    let plan = plan(&batch.schema(), &TableRules::default());
    let parquet = parquet_bytes(std::slice::from_ref(&batch), None).unwrap();
    let arrow = ipc(&batch);
    let cases: Vec<(RowsFormat, &[u8])> = vec![
        (RowsFormat::Json, b"{\"flag\":true}{"),
        (RowsFormat::Json, b"[{\"flag\":true},]"),
        (RowsFormat::Json, b"[{\"flag\":true}"),
        (RowsFormat::Json, b"[{\"flag\":true}] x"),
        (RowsFormat::Json, b"12"),
        (RowsFormat::Csv, b""),
        (RowsFormat::Csv, b"flag,nobody\n1,2\n"),
        (RowsFormat::Csv, b"flag,flag\n1,1\n"),
        (RowsFormat::Arrow, b"no arrow"),
        (RowsFormat::Arrow, &arrow[..arrow.len() / 2]),
        (RowsFormat::Parquet, b"PAR1 no parquet PAR1"),
        (RowsFormat::Parquet, &parquet[..parquet.len() - 20]),
    ];
    for (format, bytes) in cases {
        if format == RowsFormat::Json && bytes.starts_with(b"{") {
            // One object that is damaged is a bad row.
            assert_eq!(prepared(format, bytes.to_vec(), &plan).bad.len(), 1);
            continue;
        }
        let error = prepare(format, &Bytes::copy_from_slice(bytes), &plan).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{format:?} {error:?}");
    }
}

#[test]
fn empty_bodies_bring_no_rows() {
    let batch = sample();
    let plan = plan(&batch.schema(), &TableRules::default());
    for (format, bytes) in [(RowsFormat::NdJson, "\n\n"), (RowsFormat::Json, " [ ] "), (RowsFormat::Csv, "flag\n")] {
        let prepared = prepared(format, bytes, &plan);
        assert_eq!((prepared.batch.num_rows(), prepared.bad.len()), (0, 0), "{format:?}");
    }
}

#[test]
fn too_many_rows_are_refused() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let plan = Plan::new(schema, &TableRules::default(), 2).unwrap();
    for (format, two, three) in [
        (RowsFormat::NdJson, "{\"id\":1}\n{\"id\":2}", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}"),
        (RowsFormat::Json, "[{\"id\":1},{\"id\":2}]", "[{\"id\":1},{\"id\":2},{\"id\":3}]"),
        (RowsFormat::Csv, "id\n1\n2", "id\n1\n2\n3"),
    ] {
        assert_eq!(prepare(format, &two.into(), &plan).unwrap().batch.num_rows(), 2);
        assert_eq!(prepare(format, &three.into(), &plan).unwrap_err().kind(), ErrorKind::RequestTooLarge);
    }
}

#[test]
fn rows_of_many_chunks_keep_their_numbers() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let plan = plan(&schema, &TableRules::default());
    let value = |row: usize| if row % 20_000 == 7 { "\"x\"".to_owned() } else { row.to_string() };
    let lines: String = (1..=100_000).map(|row| format!("{{\"id\":{}}}\n", value(row))).collect();
    let array = format!("[{}]", lines.trim_end().replace('\n', ",\n "));
    let csv: String =
        std::iter::once("id\n".to_owned()).chain((1..=100_000).map(|row| format!("{}\n", value(row)))).collect();
    for (format, text) in [(RowsFormat::NdJson, lines), (RowsFormat::Json, array), (RowsFormat::Csv, csv)] {
        let prepared = prepared(format, text, &plan);
        assert_eq!(prepared.batch.num_rows(), 99_995, "{format:?}");
        let numbers: Vec<u64> = prepared.bad.iter().map(|bad| bad.row).collect();
        assert_eq!(numbers, [7, 20_007, 40_007, 60_007, 80_007], "{format:?}");
        assert!(
            prepared
                .bad
                .iter()
                .all(|bad| bad.raw.as_ref().is_some_and(|raw| raw.ends_with(b"\"x\"") || raw.ends_with(b"}")))
        );
    }
}

/// One random field value and what it must become as a BIGINT, by serde's reading of the line.
fn json_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| json!(number)),
        any::<bool>().prop_map(|flag| json!(flag)),
        "[ -~äß\\\\\"\\n]{0,12}".prop_map(|text| json!(text)),
        (-1000_i64..1000).prop_map(|number| json!(number.to_string())),
        Just(json!([1])),
        Just(json!({"a": 1})),
    ]
}

/// What a value is as a whole number; Err where it is none.
fn as_integer(value: &Value) -> Result<Option<i64>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Ok(Some(number)),
            // Written out, without an exponent.
            None => number.as_f64().and_then(|number| number.to_string().parse().ok()).map(Some).ok_or(()),
        },
        Value::String(text) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                as_integer(&json!(text.trim().parse::<f64>().map_err(|_| ())?)).and_then(|n| n.map(Some).ok_or(()))
            }
        },
        _ => Err(()),
    }
}

proptest! {
    #[test]
    fn lines_say_what_serde_says(values in proptest::collection::vec(json_value(), 1..40)) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
        ]));
        let lines: String = values.iter().map(|value| format!("{}\n", json!({"n": value, "t": "x"}))).collect();
        let prepared = prepared(RowsFormat::NdJson, lines, &plan(&schema, &TableRules::default()));
        let expected: Vec<_> = values.iter().map(as_integer).collect();
        let good: Int64Array = expected.iter().filter_map(|value| value.ok()).collect();
        let bad: Vec<u64> = (1..).zip(&expected).filter(|(_, value)| value.is_err()).map(|(row, _)| row).collect();
        let good: ArrayRef = Arc::new(good);
        prop_assert_eq!(prepared.batch.column(0), &good);
        prop_assert_eq!(prepared.bad.iter().map(|bad| bad.row).collect::<Vec<_>>(), bad);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let batch = sample();
        let plan = plan(&batch.schema(), &TableRules::default());
        for format in [RowsFormat::NdJson, RowsFormat::Json, RowsFormat::Csv] {
            if let Ok(prepared) = prepare(format, &bytes.clone().into(), &plan) {
                prop_assert!(prepared.bad.iter().all(|bad| bad.raw.is_some()));
            }
        }
    }

    #[test]
    fn csv_fields_of_any_text_come_back(texts in proptest::collection::vec("[ -~\\n\r\"ä]{1,10}", 1..30)) {
        let texts: Vec<String> = texts.into_iter().map(|text| format!("x{text}x")).collect();
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("b", DataType::Utf8, true),
        ]));
        let column: ArrayRef = Arc::new(StringArray::from(texts));
        let batch = RecordBatch::try_new(schema.clone(), vec![column.clone(), column]).unwrap();
        let bytes = csv_bytes(std::slice::from_ref(&batch)).unwrap();
        let prepared = prepared(RowsFormat::Csv, bytes, &plan(&schema, &TableRules::default()));
        prop_assert_eq!(prepared.batch, batch);
    }
}

#[test]
fn arrow_values_are_never_changed_on_the_way() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]));
    let naive = TimestampMicrosecondArray::from(vec![0, 0, 0, 0]);
    let sent = RecordBatch::try_from_iter([
        ("n", Arc::new(Float64Array::from(vec![1.0, 1.5, 3e9, -0.0])) as ArrayRef),
        ("at", Arc::new(naive) as ArrayRef),
    ])
    .unwrap();
    let rules: TableRules = serde_json::from_value(json!({"columns": {"at": {"time_zone": "Europe/Berlin"}}})).unwrap();
    let prepared = prepared(RowsFormat::Arrow, ipc(&sent), &plan(&schema, &rules));
    let bad: Vec<_> = prepared.bad.iter().map(|bad| (bad.row, bad.reason.as_str())).collect();
    assert_eq!(
        bad,
        [(2, "`1.5` is not a value of the type INTEGER"), (3, "`3000000000.0` is not a value of the type INTEGER"),]
    );
    assert_eq!(prepared.bad[0].raw.as_deref(), Some(br#"{"n":1.5,"at":"1970-01-01T00:00:00"}"#.as_ref()));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-3_600_000_000; 2]).with_timezone("UTC"));
    assert_eq!(prepared.batch.column(1), &times);
}

#[test]
fn days_that_other_readers_do_not_know_are_named() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("date", DataType::Date32, true),
    ]));
    let rules: TableRules = serde_json::from_value(json!({"day": {"from": "at"}})).unwrap();
    let days = Date32Array::from(vec![2_932_896, i32::MAX, 0, -719_163, 0]);
    let times = TimestampMicrosecondArray::from(vec![0, 0, i64::MAX, 0, i64::MIN]).with_timezone("UTC");
    let sent =
        RecordBatch::try_from_iter([("day", Arc::new(days) as ArrayRef), ("at", Arc::new(times) as ArrayRef)]).unwrap();
    let prepared = prepared(RowsFormat::Arrow, ipc(&sent), &plan(&schema, &rules));
    let bad: Vec<_> = prepared.bad.iter().map(|bad| (bad.row, bad.field.as_deref())).collect();
    assert_eq!(bad, [(2, Some("day")), (3, Some("at")), (4, Some("day")), (5, Some("at"))]);
    assert!(prepared.bad.iter().all(|bad| bad.reason == "is not in the years 1 to 9999"));
    assert_eq!(prepared.batch.num_rows(), 1);
}
