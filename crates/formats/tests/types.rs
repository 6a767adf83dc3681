//! The reference page shows what the encoders write, for every type.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail too")]

use std::sync::Arc;

use arrow::{
    array::*,
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::cast,
    datatypes::{
        DataType, Field, Fields, Float16Type, Int32Type, IntervalDayTime, IntervalMonthDayNano, Schema, UnionFields,
        i256,
    },
};
use lakebed_formats::{EncodeOptions, Encoder, Format, Numbers, json_value};
use lakebed_types::sql_type_name;

const PAGE: &str = include_str!("../../../docs/reference/json-types.md");

/// What a row of the page is about, and an array with that one value.
fn cases() -> Vec<(&'static str, &'static str, ArrayRef)> {
    let mut cases = numbers();
    cases.extend(texts());
    cases.extend(times());
    cases.extend(nested());
    cases.extend(encodings());
    cases
}

fn numbers() -> Vec<(&'static str, &'static str, ArrayRef)> {
    let decimal = |value: i128, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
    };
    let small = |data_type: DataType| cast(&Int32Array::from(vec![7]), &data_type).unwrap();
    vec![
        ("Null", "NULL", Arc::new(NullArray::new(1))),
        ("any", "NULL", Arc::new(Int64Array::from(vec![None::<i64>]))),
        ("Boolean", "true", Arc::new(BooleanArray::from(vec![true]))),
        ("Int8", "7", small(DataType::Int8)),
        ("Int16", "7", small(DataType::Int16)),
        ("Int32", "7", small(DataType::Int32)),
        ("UInt8", "7", small(DataType::UInt8)),
        ("UInt16", "7", small(DataType::UInt16)),
        ("UInt32", "7", small(DataType::UInt32)),
        ("Int64", "2^53 - 1", Arc::new(Int64Array::from(vec![9_007_199_254_740_991]))),
        ("Int64", "2^53", Arc::new(Int64Array::from(vec![9_007_199_254_740_992]))),
        ("Int64", "-2^63", Arc::new(Int64Array::from(vec![i64::MIN]))),
        ("UInt64", "2^64 - 1", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ("Float16", "1.5", Arc::new([1.5_f32].into_iter().map(half).collect::<PrimitiveArray<Float16Type>>())),
        ("Float32", "0.1", Arc::new(Float32Array::from(vec![0.1]))),
        ("Float64", "1", Arc::new(Float64Array::from(vec![1.0]))),
        ("Float64", "0.1 + 0.2", Arc::new(Float64Array::from(vec![0.1 + 0.2]))),
        ("Float64", "10^300", Arc::new(Float64Array::from(vec![1e300]))),
        ("Float64", "not a number", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("Float64", "minus infinity", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY]))),
        ("Decimal32", "12.50", decimal_as(DataType::Decimal32(9, 2))),
        ("Decimal64", "12.50", decimal_as(DataType::Decimal64(18, 2))),
        ("Decimal128", "12.50", decimal(1250, 12, 2)),
        ("Decimal128", "15 significant digits", decimal(12_345_678_901_234_500, 20, 4)),
        ("Decimal128", "16 significant digits", decimal(12_345_678_901_234_560, 20, 5)),
        ("Decimal256", "-10^40", Arc::new(wide_decimal())),
    ]
}

fn half(value: f32) -> Option<<Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native> {
    let array = cast(&Float32Array::from(vec![value]), &DataType::Float16).unwrap();
    Some(array.as_primitive::<Float16Type>().value(0))
}

fn decimal_as(data_type: DataType) -> ArrayRef {
    let wide = Decimal128Array::from(vec![1250]).with_precision_and_scale(9, 2).unwrap();
    cast(&wide, &data_type).unwrap()
}

fn wide_decimal() -> Decimal256Array {
    let value = i256::from_string("-10000000000000000000000000000000000000000").unwrap();
    Decimal256Array::from(vec![value]).with_precision_and_scale(50, 0).unwrap()
}

fn texts() -> Vec<(&'static str, &'static str, ArrayRef)> {
    vec![
        ("Utf8", "plain", Arc::new(StringArray::from(vec!["plain"]))),
        ("Utf8", "the empty string", Arc::new(StringArray::from(vec![""]))),
        ("LargeUtf8", "with a comma and quotes", Arc::new(LargeStringArray::from(vec!["a, \"b\""]))),
        ("Utf8View", "Zoë", Arc::new(StringViewArray::from(vec!["Zoë"]))),
        ("Binary", "the bytes 00 ff 10", Arc::new(BinaryArray::from_vec(vec![&[0, 255, 16]]))),
        ("LargeBinary", "the byte ff", Arc::new(LargeBinaryArray::from_vec(vec![&[255]]))),
        ("BinaryView", "the bytes ff ff", Arc::new(BinaryViewArray::from_iter_values([&[255_u8, 255]]))),
        (
            "FixedSizeBinary",
            "the bytes 01 02",
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8, 2]].into_iter()).unwrap()),
        ),
    ]
}

fn times() -> Vec<(&'static str, &'static str, ArrayRef)> {
    let seconds = 1_704_164_645; // 2024-01-02T03:04:05
    let of_day = 11_045; // 03:04:05
    vec![
        ("Date32", "2 January 2024", Arc::new(Date32Array::from(vec![19_724]))),
        ("Date32", "year 12024", Arc::new(Date32Array::from(vec![3_672_149]))),
        ("Date64", "2 January 2024", Arc::new(Date64Array::from(vec![19_724 * 86_400_000]))),
        ("Time32(s)", "03:04:05", Arc::new(Time32SecondArray::from(vec![of_day]))),
        ("Time32(ms)", "03:04:05.12", Arc::new(Time32MillisecondArray::from(vec![of_day * 1000 + 120]))),
        ("Time64(us)", "03:04:05.000006", Arc::new(Time64MicrosecondArray::from(vec![11_045_000_006]))),
        ("Time64(ns)", "03:04:05.000000007", Arc::new(Time64NanosecondArray::from(vec![11_045_000_000_007]))),
        ("Timestamp(s)", "no zone", Arc::new(TimestampSecondArray::from(vec![seconds]))),
        ("Timestamp(ms)", "no zone", Arc::new(TimestampMillisecondArray::from(vec![seconds * 1000 + 120]))),
        ("Timestamp(us)", "no zone", Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000 + 123_456]))),
        ("Timestamp(ns)", "no zone", Arc::new(TimestampNanosecondArray::from(vec![seconds * 1_000_000_000 + 1]))),
        (
            "Timestamp(us, UTC)",
            "with a zone",
            Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000 + 123_456]).with_timezone("UTC")),
        ),
        (
            "Timestamp(s, +01:00)",
            "with a zone",
            Arc::new(TimestampSecondArray::from(vec![seconds]).with_timezone("+01:00")),
        ),
        ("Duration(s)", "26 hours", Arc::new(DurationSecondArray::from(vec![26 * 3600]))),
        ("Duration(ms)", "1.5 s", Arc::new(DurationMillisecondArray::from(vec![1500]))),
        ("Duration(us)", "0", Arc::new(DurationMicrosecondArray::from(vec![0]))),
        ("Duration(ns)", "minus 1 min 1 ns", Arc::new(DurationNanosecondArray::from(vec![-60_000_000_001]))),
        ("Interval(YearMonth)", "14 months", Arc::new(IntervalYearMonthArray::from(vec![14]))),
        (
            "Interval(DayTime)",
            "1 day and minus 250 ms",
            Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, -250)])),
        ),
        (
            "Interval(MonthDayNano)",
            "14 months, 3 days, 4.5 hours",
            Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(14, 3, 16_200_000_000_000)])),
        ),
    ]
}

fn nested() -> Vec<(&'static str, &'static str, ArrayRef)> {
    let numbers = || Some(vec![Some(1), None, Some(3)]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![numbers()]);
    let item = || Arc::new(Field::new_list_field(DataType::Int32, true));
    let record = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Int64, true)), Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        (Arc::new(Field::new("b", DataType::Utf8, true)), Arc::new(StringArray::from(vec![None::<&str>]))),
    ]);
    vec![
        ("LargeList", "1, NULL, 3", cast(&list, &DataType::LargeList(item())).unwrap()),
        ("ListView", "1, NULL, 3", cast(&list, &DataType::ListView(item())).unwrap()),
        ("LargeListView", "1, NULL, 3", cast(&list, &DataType::LargeListView(item())).unwrap()),
        ("FixedSizeList", "1, NULL, 3", cast(&list, &DataType::FixedSizeList(item(), 3)).unwrap()),
        ("List", "1, NULL, 3", Arc::new(list)),
        ("Struct", "a is 1, b is NULL", Arc::new(record)),
        ("Map", "keys that are strings", map(Arc::new(StringArray::from(vec!["x", "y"])))),
        ("Map", "other keys", map(Arc::new(Int32Array::from(vec![1, 2])))),
        ("Union", "the member with 7", union()),
    ]
}

fn map(keys: ArrayRef) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("key", keys.data_type().clone(), false),
        Field::new("value", DataType::Boolean, true),
    ]);
    let values: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
    let entries = StructArray::new(fields.clone(), vec![keys, values], None);
    let entry = Arc::new(Field::new("entries", DataType::Struct(fields), false));
    Arc::new(MapArray::new(entry, OffsetBuffer::from_lengths([2]), entries, None, false))
}

fn union() -> ArrayRef {
    let fields = UnionFields::try_new(
        [3, 5],
        [Field::new("text", DataType::Utf8, true), Field::new("number", DataType::Int32, true)],
    )
    .unwrap();
    let children: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(Vec::<&str>::new())), Arc::new(Int32Array::from(vec![7]))];
    let (ids, offsets) = (ScalarBuffer::from(vec![5_i8]), ScalarBuffer::from(vec![0_i32]));
    Arc::new(UnionArray::try_new(fields, ids, Some(offsets), children).unwrap())
}

fn encodings() -> Vec<(&'static str, &'static str, ArrayRef)> {
    let words = StringArray::from(vec!["plain"]);
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![1]), &words).unwrap();
    let dictionary = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0]), Arc::new(words));
    vec![("Dictionary", "as its values", Arc::new(dictionary)), ("RunEndEncoded", "as its values", Arc::new(runs))]
}

fn encode(format: Format, array: ArrayRef) -> String {
    let schema = Arc::new(Schema::new(vec![Field::new("x", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
    let mut encoder = Encoder::new(format, schema, EncodeOptions::default()).unwrap();
    String::from_utf8(encoder.batch(&batch).unwrap().to_vec()).unwrap()
}

fn json_and_csv(array: &ArrayRef) -> (String, String) {
    let json = encode(Format::NdJson, Arc::clone(array));
    let json = json.strip_prefix("{\"x\":").and_then(|rest| rest.strip_suffix("}\n")).unwrap().to_owned();
    let csv = encode(Format::Csv, Arc::clone(array)).strip_suffix("\r\n").unwrap().to_owned();
    (json, csv)
}

#[test]
fn the_page_shows_what_is_written() {
    let code = |text: &str| if text.is_empty() { "(nothing)".to_owned() } else { format!("`{text}`") };
    let lines: Vec<String> = cases()
        .into_iter()
        .map(|(arrow, value, array)| {
            let (json, csv) = json_and_csv(&array);
            let sql = sql_type_name(array.data_type());
            format!("| {arrow} | {} | {value} | {} | {} |", code(&sql), code(&json), code(&csv))
        })
        .collect();
    let page: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Arrow")).collect();
    assert_eq!(page, lines, "the table of docs/reference/json-types.md should read:\n{}\n", lines.join("\n"));
}

#[test]
fn values_alone_are_those_of_the_encoders() {
    for (name, _, array) in cases() {
        let (json, _) = json_and_csv(&array);
        let alone = json_value(&array, 0, Numbers::Auto).unwrap();
        assert_eq!(alone, serde_json::from_str::<serde_json::Value>(&json).unwrap(), "{name}");
        assert!(json_value(&array, 1, Numbers::Auto).is_err());
    }
}

#[test]
fn a_null_in_any_type_is_null() {
    for (name, _, array) in cases() {
        let Ok(array) = array.to_data().into_builder().nulls(Some(NullBuffer::new_null(1))).build() else { continue };
        let (json, csv) = json_and_csv(&make_array(array));
        assert_eq!((json.as_str(), csv.as_str()), ("null", ""), "{name}");
    }
}

#[test]
fn a_slice_shows_its_own_rows() {
    for (name, _, array) in cases() {
        let twice = arrow::compute::concat(&[array.as_ref(), array.as_ref()]).unwrap();
        assert_eq!(json_and_csv(&twice.slice(1, 1)), json_and_csv(&array), "{name}");
    }
}

#[test]
fn strings_are_asked_for_64_bit_integers_and_decimals_only() {
    for (name, _, array) in cases() {
        let value = json_value(&array, 0, Numbers::String).unwrap();
        let is_wide = matches!(name, "Int64" | "UInt64") || name.starts_with("Decimal");
        assert!(!is_wide || value.is_string(), "{name}");
        if !is_wide && !matches!(name, "Struct") {
            assert_eq!(value, json_value(&array, 0, Numbers::Auto).unwrap(), "{name}");
        }
    }
}
