//! Random batches, written by the encoders and read back by readers that are not ours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may fail too")]

use std::sync::Arc;

use arrow::{
    array::*,
    compute::concat_batches,
    csv,
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit},
    ipc::reader::StreamReader,
};
use lakebed_formats::{EncodeOptions, Encoder, Format, Numbers, json_rows};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value};

/// A row of a batch, in the types of the standard library.
#[derive(Debug, Clone)]
struct Row {
    integer: Option<i64>,
    unsigned: Option<u64>,
    double: Option<f64>,
    flag: Option<bool>,
    text: Option<String>,
    word: Option<String>,
    decimal: Option<i128>,
    date: Option<i32>,
    instant: Option<i64>,
    bytes: Option<Vec<u8>>,
    list: Option<Vec<Option<i64>>>,
}

fn row() -> impl Strategy<Value = Row> {
    let integer = prop_oneof![any::<i64>(), -(1_i64 << 54)..(1_i64 << 54), -10_i64..10];
    let numbers = (option::of(integer.clone()), option::of(any::<u64>()), option::of(any::<f64>()));
    let texts =
        (option::of(any::<bool>()), option::of(text()), option::of("[a-c]"), option::of(vec(any::<u8>(), 0..9)));
    let decimal = prop_oneof![-(10_i128.pow(37))..10_i128.pow(37), -(10_i128.pow(16))..10_i128.pow(16)];
    let others = (
        option::of(decimal),
        option::of(-700_000..2_900_000_i32),
        option::of(-60_000_000_000_000_000..250_000_000_000_000_000_i64),
        option::of(vec(option::of(integer), 0..4)),
    );
    (numbers, texts, others).prop_map(
        |((integer, unsigned, double), (flag, text, word, bytes), (decimal, date, instant, list))| Row {
            integer,
            unsigned,
            double,
            flag,
            text,
            word,
            decimal,
            date,
            instant,
            bytes,
            list,
        },
    )
}

/// Text with everything that JSON and CSV have to escape.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\x00-\\x1f\",\\\\\r\n a-cé😀\u{2028}]{0,12}"]
}

fn schema() -> SchemaRef {
    let word = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("integer", DataType::Int64, true),
        Field::new("unsigned", DataType::UInt64, true),
        Field::new("double", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("text, \"quoted\"", DataType::Utf8View, true),
        Field::new("word", word, true),
        Field::new("decimal", DataType::Decimal128(38, 6), true),
        Field::new("date", DataType::Date32, true),
        Field::new("instant", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("list", DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))), true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let mut list = ListBuilder::new(Int64Builder::new());
    rows.iter().for_each(|row| list.append_option(row.list.clone()));
    let decimal: Decimal128Array = rows.iter().map(|row| row.decimal).collect();
    let instant: TimestampMicrosecondArray = rows.iter().map(|row| row.instant).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.integer).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.unsigned).collect::<UInt64Array>()),
        Arc::new(rows.iter().map(|row| row.double).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.text.as_deref()).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|row| row.word.as_deref()).collect::<DictionaryArray<Int32Type>>()),
        Arc::new(decimal.with_precision_and_scale(38, 6).unwrap()),
        Arc::new(rows.iter().map(|row| row.date).collect::<Date32Array>()),
        Arc::new(instant.with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.bytes.as_deref()).collect::<BinaryArray>()),
        Arc::new(list.finish()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The whole result of some batches.
fn encode(format: Format, options: EncodeOptions, batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = Encoder::new(format, schema(), options).unwrap();
    let mut bytes = encoder.begin().unwrap().to_vec();
    for batch in batches {
        bytes.extend_from_slice(&encoder.batch(batch).unwrap());
    }
    bytes.extend_from_slice(&encoder.finish(&Map::new()).unwrap());
    bytes
}

/// Holds one row of JSON against its source.
fn check_json(row: &Row, json: &Value, numbers: Numbers) {
    let exact = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => {
            assert_eq!(numbers, Numbers::Auto);
            assert!(number.as_i64().unwrap().unsigned_abs() < 1 << 53);
            Some(number.to_string())
        }
        other => panic!("{other}"),
    };
    assert_eq!(exact(&json["integer"]), row.integer.map(|value| value.to_string()));
    assert_eq!(exact(&json["unsigned"]), row.unsigned.map(|value| value.to_string()));
    check_double(row.double, &json["double"]);
    assert_eq!(json["flag"].as_bool(), row.flag);
    assert_eq!(json["text, \"quoted\""].as_str(), row.text.as_deref());
    assert_eq!(json["word"].as_str(), row.word.as_deref());
    check_decimal(row.decimal, &json["decimal"]);
    let day = |days: i32| chrono::NaiveDate::from_num_days_from_ce_opt(days + 719_163).unwrap();
    assert_eq!(json["date"].as_str().map(|text| text.parse().unwrap()), row.date.map(day));
    let instant = json["instant"].as_str().map(|text| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert_eq!(instant.map(|instant| instant.timestamp_micros()), row.instant);
    let decode = |text: &str| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    assert_eq!(json["bytes"].as_str().map(decode), row.bytes);
    let list = json["list"].as_array().map(|items| items.iter().map(exact).collect::<Vec<_>>());
    let text = |items: &Vec<Option<i64>>| items.iter().map(|item| item.map(|value| value.to_string())).collect();
    assert_eq!(list, row.list.as_ref().map(text));
}

fn check_double(source: Option<f64>, json: &Value) {
    match source {
        None => assert!(json.is_null()),
        Some(value) if value.is_nan() => assert_eq!(json, "NaN"),
        Some(value) if value.is_infinite() => assert_eq!(json, if value > 0.0 { "Infinity" } else { "-Infinity" }),
        // The JSON reader may miss the nearest double by a little.
        Some(value) => assert!(json.as_f64().unwrap().to_bits().abs_diff(value.to_bits()) <= 4, "{value}"),
    }
}

/// A number survives the way through a double; a string is the decimal itself.
fn check_decimal(source: Option<i128>, json: &Value) {
    let text = match json {
        Value::Null => return assert_eq!(source, None),
        Value::String(text) => text.clone(),
        number => with_six_decimals(number.as_f64().unwrap()),
    };
    let digits: String = text.chars().filter(|character| *character != '.').collect();
    assert_eq!(Some(digits.parse::<i128>().unwrap()), source, "{json}");
}

/// The shortest text of a double, filled up with zeros: what a reader would show of a DECIMAL(38,6).
fn with_six_decimals(value: f64) -> String {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{fraction:0<6}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_holds_the_values(rows in vec(row(), 0..20), split in 0..20_usize, strings: bool) {
        let numbers = if strings { Numbers::String } else { Numbers::Auto };
        let options = EncodeOptions { numbers, ..EncodeOptions::default() };
        let whole = batch(&rows);
        let split = split.min(rows.len());
        let parts = [whole.slice(0, split), whole.slice(split, rows.len() - split)];
        let document: Value = serde_json::from_slice(&encode(Format::Json, options.clone(), &parts)).unwrap();
        let lines = String::from_utf8(encode(Format::NdJson, options, &parts)).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(document["data"].as_array().unwrap(), &lines);
        prop_assert_eq!(document["columns"].as_array().unwrap().len(), 11);
        prop_assert_eq!(lines.len(), rows.len());
        rows.iter().zip(&lines).for_each(|(row, json)| check_json(row, json, numbers));
        let alone = json_rows(&parts, numbers).unwrap();
        rows.iter().zip(&alone).for_each(|(row, json)| check_json(row, json, numbers));
        for (row, json) in rows.iter().zip(&alone) {
            prop_assert!(json["double"].as_f64().is_none_or(|value| Some(value) == row.double));
        }
    }

    #[test]
    fn csv_holds_the_values(rows in vec(row(), 1..20)) {
        // The reader takes NULL and the empty string for the same, and has no lists.
        let rows: Vec<Row> = rows.into_iter().map(|row| Row {
            text: row.text.filter(|text| !text.is_empty()),
            bytes: None,
            list: None,
            ..row
        }).collect();
        let source = batch(&rows);
        let bytes = encode(Format::Csv, EncodeOptions::default(), std::slice::from_ref(&source));
        let kept: Vec<usize> = (0..9).collect();
        let fields = source.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Dictionary(..) | DataType::List(_) | DataType::Binary => field.as_ref().clone().with_data_type(DataType::Utf8),
            _ => field.as_ref().clone(),
        }).collect::<Vec<_>>();
        let reader = csv::ReaderBuilder::new(Arc::new(Schema::new(fields))).with_header(true);
        let read: Vec<RecordBatch> = reader.build(bytes.as_slice()).unwrap().map(Result::unwrap).collect();
        let read = concat_batches(&read[0].schema(), &read).unwrap();
        for place in kept {
            let expected = arrow::compute::cast(source.column(place), read.column(place).data_type()).unwrap();
            prop_assert_eq!(&without_nan(&expected), &without_nan(read.column(place)), "column {}", place);
        }
    }

    #[test]
    fn arrow_and_parquet_hold_the_values(rows in vec(row(), 0..20), split in 0..20_usize) {
        let whole = batch(&rows);
        let split = split.min(rows.len());
        let parts = [whole.slice(0, split), whole.slice(split, rows.len() - split)];
        let bytes = encode(Format::Arrow, EncodeOptions::default(), &parts);
        let stream = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        check_batches(&whole, &stream.schema(), stream.map(Result::unwrap).collect());
        let bytes = bytes::Bytes::from(encode(Format::Parquet, EncodeOptions::default(), &parts));
        let file = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        check_batches(&whole, &Arc::clone(file.schema()), file.build().unwrap().map(Result::unwrap).collect());
    }
}

/// NaN differs from itself: it becomes NULL on both sides.
fn without_nan(array: &ArrayRef) -> ArrayRef {
    match array.as_any().downcast_ref::<Float64Array>() {
        Some(doubles) => Arc::new(doubles.iter().map(|v| v.filter(|v| !v.is_nan())).collect::<Float64Array>()),
        None => Arc::clone(array),
    }
}

fn check_batches(source: &RecordBatch, schema: &SchemaRef, read: Vec<RecordBatch>) {
    assert_eq!(schema.field(4).data_type(), &DataType::Utf8, "string views are not for older readers");
    assert!(matches!(schema.field(5).data_type(), DataType::Dictionary(..)), "dictionaries are kept");
    let read = concat_batches(schema, &read).unwrap();
    assert_eq!(read.num_rows(), source.num_rows());
    for (place, column) in read.columns().iter().enumerate() {
        // As text, because two dictionaries may number the same words differently.
        let target = match column.data_type() {
            DataType::Dictionary(..) => DataType::Utf8,
            other => other.clone(),
        };
        let [expected, found] =
            [source.column(place), column].map(|array| arrow::compute::cast(array, &target).unwrap());
        assert_eq!(&without_nan(&expected), &without_nan(&found), "column {place}");
    }
}
