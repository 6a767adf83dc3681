//! The frame around the rows: openings, endings, failures.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail too")]

use std::sync::Arc;

use arrow::{
    array::*,
    datatypes::{DataType, Field, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit},
};
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_types::ErrorKind;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("s", DataType::Utf8, true)]))
}

fn batch() -> RecordBatch {
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![None, Some("")]))];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn text(format: Format, options: EncodeOptions, batches: &[RecordBatch], trailer: Value) -> String {
    let mut encoder = Encoder::new(format, schema(), options).unwrap();
    let mut bytes = encoder.begin().unwrap().to_vec();
    batches.iter().for_each(|batch| bytes.extend_from_slice(&encoder.batch(batch).unwrap()));
    bytes.extend_from_slice(&encoder.finish(&members(trailer)).unwrap());
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_json_document_has_its_members_in_order() {
    let options = EncodeOptions { preamble: members(json!({"query_id": "q"})), ..EncodeOptions::default() };
    let document = text(Format::Json, options, &[batch(), batch().slice(0, 0), batch()], json!({"row_count": 4}));
    assert_eq!(
        document,
        "{\"query_id\":\"q\",\"columns\":[{\"name\":\"n\",\"type\":\"BIGINT\",\"nullable\":false},\
         {\"name\":\"s\",\"type\":\"VARCHAR\",\"nullable\":true}],\"data\":[\n\
         {\"n\":1,\"s\":null},\n{\"n\":2,\"s\":\"\"},\n{\"n\":1,\"s\":null},\n{\"n\":2,\"s\":\"\"}\n],\"row_count\":4}\n"
    );
}

#[test]
fn a_json_document_can_be_bare() {
    let options = EncodeOptions { rows_member: Some("results"), without_columns: true, ..EncodeOptions::default() };
    assert_eq!(text(Format::Json, options, &[], json!({})), "{\"results\":[]}\n");
}

#[test]
fn csv_tells_null_from_the_empty_string() {
    let lines = text(Format::Csv, EncodeOptions::default(), &[batch()], json!({"ignored": true}));
    assert_eq!(lines, "n,s\r\n1,\r\n2,\"\"\r\n");
}

#[test]
fn names_are_those_of_the_result() {
    let other = Schema::new(vec![Field::new("0", DataType::Int64, true), Field::new("1", DataType::Utf8, true)]);
    let batch = RecordBatch::try_new(Arc::new(other), batch().columns().to_vec()).unwrap();
    let lines = text(Format::NdJson, EncodeOptions::default(), &[batch.slice(0, 1)], json!({}));
    assert_eq!(lines, "{\"n\":1,\"s\":null}\n");
    let narrow = batch.project(&[0]).unwrap();
    for format in Format::ALL.iter().copied() {
        let mut encoder = Encoder::new(format, schema(), EncodeOptions::default()).unwrap();
        assert!(encoder.batch(&batch).is_ok(), "{format:?}");
        assert_eq!(encoder.batch(&narrow).unwrap_err().kind(), ErrorKind::Internal, "{format:?}");
    }
}

#[test]
fn a_failure_shows_where_there_is_a_place_for_it() {
    let error = json!({"code": "internal"});
    for format in Format::ALL.iter().copied() {
        let mut encoder = Encoder::new(format, schema(), EncodeOptions::default()).unwrap();
        let mut bytes = encoder.begin().unwrap().to_vec();
        bytes.extend_from_slice(&encoder.batch(&batch()).unwrap());
        let Some(end) = encoder.fail(&error) else {
            assert!(matches!(format, Format::Csv | Format::Arrow | Format::Parquet));
            continue;
        };
        bytes.extend_from_slice(&end);
        let last = match format {
            Format::Json => serde_json::from_slice::<Value>(&bytes).unwrap(),
            _ => serde_json::from_str(String::from_utf8(bytes).unwrap().lines().last().unwrap()).unwrap(),
        };
        assert_eq!(last["error"], error);
    }
}

#[test]
fn what_parquet_cannot_hold_is_refused_before_the_first_byte() {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let nested = DataType::List(Arc::new(Field::new_list_field(interval.clone(), true)));
    for data_type in [interval, nested, DataType::Struct(Fields::empty())] {
        let schema = Arc::new(Schema::new(vec![Field::new("when", data_type, true)]));
        let error = Encoder::new(Format::Parquet, schema, EncodeOptions::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().starts_with("column `when`: "), "{error}");
    }
}

#[test]
fn parquet_has_no_seconds() {
    let zone = || Some("UTC".into());
    let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Timestamp(TimeUnit::Second, zone()), true)]));
    let of = |seconds: i64| -> RecordBatch {
        let array = TimestampSecondArray::from(vec![seconds]).with_timezone("UTC");
        RecordBatch::try_new(schema.clone(), vec![Arc::new(array)]).unwrap()
    };
    let mut encoder = Encoder::new(Format::Parquet, schema.clone(), EncodeOptions::default()).unwrap();
    let mut bytes = encoder.batch(&of(1_704_164_645)).unwrap().to_vec();
    assert_eq!(encoder.batch(&of(i64::MAX)).unwrap_err().kind(), ErrorKind::InvalidValue);
    bytes.extend_from_slice(&encoder.finish(&Map::new()).unwrap());
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap().build().unwrap();
    let read = reader.next().unwrap().unwrap();
    assert_eq!(read.schema().field(0).data_type(), &DataType::Timestamp(TimeUnit::Millisecond, zone()));
    let column = read.column(0).as_primitive::<arrow::datatypes::TimestampMillisecondType>();
    assert_eq!(column.value(0), 1_704_164_645_000);
}

#[test]
fn parquet_hands_out_row_groups_as_they_fill() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from_iter_values(0..600_000))]).unwrap();
    let mut encoder = Encoder::new(Format::Parquet, schema, EncodeOptions::default()).unwrap();
    let mut sizes = vec![encoder.begin().unwrap().len()];
    sizes.extend((0..4).map(|_| encoder.batch(&rows).unwrap().len()));
    assert!(sizes[2] > 100_000 && sizes[4] > 100_000, "{sizes:?}");
    assert!(sizes[1] < 10_000 && sizes[3] < 10_000, "{sizes:?}");
}

#[test]
fn encoders_can_move_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Encoder>();
}
