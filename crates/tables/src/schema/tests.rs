//! Tests of schema merging.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::*;

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn wide(left: DataType, right: DataType) -> Option<DataType> {
    let merge = |l: &DataType, r: &DataType| {
        let merged =
            merge_schemas(&schema(&[("a", l.clone())]), &schema(&[("A", r.clone())]), FileKind::Parquet).ok()?;
        assert_eq!(merged.fields().len(), 1);
        Some(merged.field(0).data_type().clone())
    };
    let (one, other) = (merge(&left, &right), merge(&right, &left));
    assert_eq!(one, other, "{left} and {right}");
    one
}

#[test]
fn types_are_widened_alike_from_both_sides() {
    use DataType::*;
    let zone = |unit, zone: &str| Timestamp(unit, Some(zone.into()));
    for (left, right, expected) in [
        (Int8, Int32, Some(Int32)),
        (UInt8, Int8, Some(Int16)),
        (UInt32, Int64, Some(Int64)),
        (UInt64, Int64, Some(Decimal128(20, 0))),
        (Int32, Float32, Some(Float64)),
        (Int64, Float64, Some(Float64)),
        (Float32, Float64, Some(Float64)),
        (Int64, Decimal128(10, 2), Some(Decimal128(21, 2))),
        (Decimal128(38, 10), Decimal128(38, 0), Some(Decimal256(48, 10))),
        (Decimal128(10, 2), Float64, None),
        (Date32, Timestamp(TimeUnit::Millisecond, None), Some(Timestamp(TimeUnit::Millisecond, None))),
        (zone(TimeUnit::Second, "UTC"), zone(TimeUnit::Nanosecond, "UTC"), Some(zone(TimeUnit::Nanosecond, "UTC"))),
        (zone(TimeUnit::Second, "Asia/Tokyo"), Timestamp(TimeUnit::Second, None), Some(zone(TimeUnit::Second, "UTC"))),
        (Null, Boolean, Some(Boolean)),
        (LargeUtf8, Utf8View, Some(Utf8)),
        (Int64, Utf8, None),
        (Boolean, Int8, None),
    ] {
        assert_eq!(wide(left.clone(), right.clone()), expected, "{left} and {right}");
    }
}

#[test]
fn text_falls_back_to_strings() {
    let (left, right) = (schema(&[("a", DataType::Int64)]), schema(&[("a", DataType::Boolean)]));
    let merged = merge_schemas(&left, &right, FileKind::Csv).unwrap();
    assert_eq!(merged.field(0).data_type(), &DataType::Utf8);
    let conflict = merge_schemas(&left, &right, FileKind::Parquet).unwrap_err();
    assert_eq!(conflict, SchemaConflict { column: "a".to_owned(), left: DataType::Int64, right: DataType::Boolean });
}

#[test]
fn columns_are_united_and_the_first_spelling_wins() {
    let left = schema(&[("VendorID", DataType::Int32), ("x", DataType::Utf8)]);
    let right = schema(&[("y", DataType::Date32), ("vendorid", DataType::Int64)]);
    let merged = merge_schemas(&left, &right, FileKind::Parquet).unwrap();
    let expected = schema(&[("VendorID", DataType::Int64), ("x", DataType::Utf8), ("y", DataType::Date32)]);
    assert_eq!(merged, expected);
}

#[test]
fn structs_gain_members() {
    let shape = |members: &[(&str, DataType)]| DataType::Struct(schema(members).fields().clone());
    let left = shape(&[("a", DataType::Int32)]);
    let right = shape(&[("b", DataType::Utf8), ("a", DataType::Int64)]);
    let merged = merge_schemas(&schema(&[("s", left)]), &schema(&[("s", right)]), FileKind::Parquet).unwrap();
    assert_eq!(merged.field(0).data_type(), &shape(&[("a", DataType::Int64), ("b", DataType::Utf8)]));
}

#[test]
fn partition_types_come_from_all_values() {
    assert_eq!(partition_type([Some("1"), None, Some("02")]), DataType::Int64);
    assert_eq!(partition_type([Some("2024-02-29"), Some("1999-12-31")]), DataType::Date32);
    assert_eq!(partition_type([Some("2024-02-29"), Some("1")]), DataType::Utf8);
    assert_eq!(partition_type([Some("2023-02-29")]), DataType::Utf8);
    assert_eq!(partition_type([Some("99999999999999999999")]), DataType::Utf8);
    assert_eq!(partition_type([None]), DataType::Utf8);
}
