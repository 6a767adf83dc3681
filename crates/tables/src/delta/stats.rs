//! What is known of a data file without opening it: Delta's statistics for other programs, and our own summary as tags.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use lakebed_types::Result;
use serde_json::{Map, Value, json};

use super::action::AddFile;
use crate::{ColumnSummary, FileSummary};

/// The columns of the file, by name, in its order.
const COLUMNS: &str = "lakebed.columns";
/// [`FileSummary::encode`] in hexadecimal digits.
const SUMMARY: &str = "lakebed.summary";
/// What the file is sorted by, by name; absent where it is not.
const SORTED: &str = "lakebed.sorted";
/// Which merge wrote it, a slash, and its place among the files of that merge.
const MERGED: &str = "lakebed.merged";

/// Columns that have bounds in Delta's statistics, as with other writers.
const INDEXED_COLUMNS: usize = 32;

/// The tags of a file that was just written.
pub(super) fn tags(
    schema: &Schema,
    summary: &FileSummary,
    sorted_by: &[String],
    merged: Option<&str>,
) -> BTreeMap<String, Option<String>> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut tags = BTreeMap::from([
        (COLUMNS.to_owned(), Some(names.join(","))),
        (SUMMARY.to_owned(), Some(hex(&summary.encode()))),
    ]);
    if !sorted_by.is_empty() {
        tags.insert(SORTED.to_owned(), Some(sorted_by.join(",")));
    }
    if let Some(merged) = merged {
        tags.insert(MERGED.to_owned(), Some(merged.to_owned()));
    }
    tags
}

/// The file's columns and what is known of them; None where another program wrote it, or another version of this one.
pub(super) fn from_tags(add: &AddFile, table: &Schema) -> Option<(SchemaRef, FileSummary)> {
    let names = add.tag(COLUMNS)?;
    let field = |name: &str| table.column_with_name(name).map(|(_, field)| field.clone());
    let fields = names.split(',').filter(|name| !name.is_empty()).map(field).collect::<Option<Vec<_>>>()?;
    let schema = Arc::new(Schema::new(fields));
    let summary = FileSummary::decode(&unhex(add.tag(SUMMARY)?)?, &schema).ok()?;
    Some((schema, summary))
}

/// Whether a file is sorted by these columns.
pub(super) fn is_sorted(add: &AddFile, by: &[String]) -> bool {
    add.tag(SORTED) == Some(by.join(",").as_str())
}

/// The merge that wrote a file, and the file's place in it.
pub(super) fn merged(add: &AddFile) -> Option<(&str, u32)> {
    let (merge, place) = add.tag(MERGED)?.split_once('/')?;
    Some((merge, place.parse().ok()?))
}

/// Delta's statistics.
pub(super) fn stats_json(schema: &Schema, summary: &FileSummary) -> Result<String> {
    let (mut mins, mut maxes, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (field, column) in schema.fields().iter().zip(summary.columns()).take(INDEXED_COLUMNS) {
        if let Some(count) = column.null_count {
            nulls.insert(field.name().clone(), json!(count));
        }
        if let Some((min, max)) = bounds(field.data_type(), column) {
            mins.insert(field.name().clone(), min);
            maxes.insert(field.name().clone(), max);
        }
    }
    let rows = summary.rows().unwrap_or(0);
    Ok(json!({"numRecords": rows, "minValues": mins, "maxValues": maxes, "nullCount": nulls}).to_string())
}

fn bounds(data_type: &DataType, column: &ColumnSummary) -> Option<(Value, Value)> {
    Some((bound(data_type, column.min.as_ref()?)?, bound(data_type, column.max.as_ref()?)?))
}

/// A bound as Delta writes it; None for types without bounds there, and where a number would lose digits.
fn bound(data_type: &DataType, value: &ScalarValue) -> Option<Value> {
    use DataType as D;
    match data_type {
        D::Int8 | D::Int16 | D::Int32 | D::Int64 => match value.cast_to(&D::Int64).ok()? {
            ScalarValue::Int64(Some(number)) => Some(json!(number)),
            _ => None,
        },
        D::Float32 | D::Float64 => match value.cast_to(&D::Float64).ok()? {
            ScalarValue::Float64(Some(number)) if number.is_finite() => Some(json!(number)),
            _ => None,
        },
        D::Utf8 => match value {
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => Some(json!(text)),
            _ => None,
        },
        D::Date32 => match value.cast_to(&D::Utf8).ok()? {
            ScalarValue::Utf8(Some(text)) => Some(json!(text)),
            _ => None,
        },
        D::Timestamp(TimeUnit::Microsecond, zone) => match value {
            ScalarValue::TimestampMicrosecond(Some(micros), _) => {
                let time = chrono::DateTime::from_timestamp_micros(*micros)?;
                let text = time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
                Some(json!(if zone.is_some() { text + "Z" } else { text }))
            }
            _ => None,
        },
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(pair).collect())?
}
