//! The table `<table>__rejects`: rows that were refused, with the reason and their own bytes.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use chrono::{DateTime, Utc};
use lakebed_types::{Error, Result, TableName};

use crate::{
    decode::BadRow,
    rules::{DayRule, TableRules},
};

/// What the name of a table's rejects ends in.
const SUFFIX: &str = "__rejects";

/// The name of a table's rejects.
///
/// # Errors
/// `invalid_request` where it is too long.
pub(crate) fn name_of(table: &TableName) -> Result<TableName> {
    TableName::new(table.database().clone(), &format!("{}{SUFFIX}", table.table()))
}

/// Its columns.
pub(crate) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("rejected_at", time, true),
        Field::new("request", DataType::Utf8, true),
        Field::new("row", DataType::Int64, true),
        Field::new("field", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("format", DataType::Utf8, true),
        Field::new("raw", DataType::Binary, true),
        Field::new("date", DataType::Date32, true),
    ]))
}

/// Its rules.
pub(crate) fn rules() -> TableRules {
    let day = DayRule { from: "rejected_at".to_owned(), column: "date".to_owned() };
    TableRules { day: Some(day), sort: vec!["rejected_at".to_owned(), "row".to_owned()], ..TableRules::default() }
}

/// The rows of one request. `request` tells them from those of others.
pub(crate) fn batch(bad: &[BadRow], format: &str, request: &str, now: DateTime<Utc>) -> Result<RecordBatch> {
    let rows = bad.len();
    let days = i32::try_from(now.timestamp().div_euclid(86_400)).unwrap_or_default();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![now.timestamp_micros(); rows]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![request; rows])),
        Arc::new(Int64Array::from_iter_values(bad.iter().map(|bad| i64::try_from(bad.row).unwrap_or(i64::MAX)))),
        Arc::new(StringArray::from_iter(bad.iter().map(|bad| bad.field.as_deref()))),
        Arc::new(StringArray::from_iter_values(bad.iter().map(|bad| bad.reason.as_str()))),
        Arc::new(StringArray::from(vec![format; rows])),
        Arc::new(BinaryArray::from_iter(bad.iter().map(|bad| bad.raw.as_deref()))),
        Arc::new(Date32Array::from(vec![days; rows])),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| Error::internal("rejects make no batch").with_source(error))
}
