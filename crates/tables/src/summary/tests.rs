//! Tests of file summaries.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, ListArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit},
};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use parquet::{
    arrow::ArrowWriter,
    file::{metadata::ParquetMetaDataReader, properties::WriterProperties},
};
use proptest::prelude::*;

use super::{ColumnSummary, FileSummary, summarize};

fn summary_of(columns: Vec<(&str, ArrayRef)>, rows_per_group: usize) -> (FileSummary, SchemaRef) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows_per_group)).build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(file)).unwrap();
    (summarize(&footer, &batch.schema(), 100).unwrap(), batch.schema())
}

#[test]
fn a_footer_gives_rows_bounds_and_bytes() {
    let long = "z".repeat(200);
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(-5), None, None, Some(9)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "c", "a", "a", long.as_str()]));
    let nans: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0, 3.0, 4.0, 5.0]));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..6).map(|n| Some(vec![Some(n)])));
    let columns = vec![("n", numbers), ("s", names), ("f", nans), ("l", Arc::new(lists) as ArrayRef)];
    let (summary, _) = summary_of(columns, 2);
    assert_eq!((summary.rows(), summary.row_groups()), (Some(6), Some(3)));
    let [n, s, f, l] = summary.columns() else { panic!("four columns") };
    assert_eq!((n.null_count, &n.min, &n.max), (Some(3), &Some(ScalarValue::from(-5)), &Some(ScalarValue::from(9))));
    assert!(n.min_exact && n.max_exact && n.compressed_bytes > 0);
    assert_eq!(s.min, Some(ScalarValue::from("a")));
    let Some(ScalarValue::Utf8(Some(max))) = &s.max else { panic!("a bound") };
    assert!(s.min_exact && !s.max_exact && *max >= long, "a cut bound is still a bound: {max}");
    assert!(!f.max_exact, "NaN is above every bound");
    assert_eq!((&l.min, &l.max), (&None, &None));
    assert!(l.compressed_bytes > 0);
}

#[test]
fn a_summary_survives_its_encoding() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(-5)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["ü", "", "c"]));
    let (summary, schema) = summary_of(vec![("n", numbers), ("s", names)], 10);
    let bytes = summary.encode();
    assert_eq!(FileSummary::decode(&bytes, &schema).unwrap(), summary);
    for cut in 0..bytes.len() {
        assert!(FileSummary::decode(&bytes[..cut], &schema).is_err(), "cut at {cut}");
    }
    let fewer = Arc::new(Schema::new(vec![schema.field(0).clone()]));
    assert!(FileSummary::decode(&bytes, &fewer).is_err());
    assert!(FileSummary::decode(&[99], &schema).is_err());
}

#[test]
fn a_text_file_says_nothing_in_few_bytes() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
    let bytes = FileSummary::unknown().encode();
    assert!(bytes.len() < 8);
    assert_eq!(FileSummary::decode(&bytes, &schema).unwrap(), FileSummary::unknown());
}

fn bounds() -> impl Strategy<Value = ScalarValue> {
    let zone = Some(Arc::<str>::from("Europe/Berlin"));
    prop_oneof![
        any::<bool>().prop_map(ScalarValue::from),
        any::<i8>().prop_map(ScalarValue::from),
        any::<u64>().prop_map(ScalarValue::from),
        any::<f32>().prop_filter("NaN is never a bound", |v| !v.is_nan()).prop_map(ScalarValue::from),
        any::<i32>().prop_map(|v| ScalarValue::Date32(Some(v))),
        any::<i64>().prop_map(|v| ScalarValue::Time64Microsecond(Some(v))),
        any::<i64>().prop_map(move |v| ScalarValue::new_timestamp::<arrow::datatypes::TimestampMillisecondType>(
            Some(v),
            zone.clone()
        )),
        any::<i128>().prop_map(|v| ScalarValue::Decimal128(Some(v), 38, 10)),
        any::<String>().prop_map(ScalarValue::from),
        any::<Vec<u8>>().prop_map(|v| ScalarValue::Binary(Some(v))),
    ]
}

proptest! {
    #[test]
    fn every_bound_survives_its_encoding(min in bounds(), nulls in any::<Option<u32>>(), bytes in any::<u64>()) {
        let schema = Arc::new(Schema::new(vec![Field::new("a", min.data_type(), true)]));
        let column = ColumnSummary {
            null_count: nulls.map(u64::from),
            max: Some(min.clone()),
            min: Some(min),
            min_exact: true,
            max_exact: false,
            compressed_bytes: bytes,
        };
        let summary = FileSummary { rows: Some(7), row_groups: Some(1), tail_bytes: None, columns: vec![column] };
        prop_assert_eq!(FileSummary::decode(&summary.encode(), &schema).unwrap(), summary);
    }

    #[test]
    fn no_bytes_make_decoding_fail_badly(bytes in any::<Vec<u8>>()) {
        let types = [DataType::Utf8, DataType::Timestamp(TimeUnit::Second, None), DataType::Int8];
        let fields = types.into_iter().enumerate().map(|(n, t)| Field::new(n.to_string(), t, true));
        let _ = FileSummary::decode(&bytes, &Arc::new(Schema::new(fields.collect::<Vec<_>>())));
    }
}
