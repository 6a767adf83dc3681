//! Single values and few rows as JSON values, by the same rules as the encoders.

use arrow::{array::Array, datatypes::DataType, record_batch::RecordBatch};
use lakebed_types::{Error, Result};
use serde_json::{Map, Number, Value};

use crate::{Numbers, cells::Cells, json_text};

/// One value as JSON (for page tokens, partition values, small answers).
///
/// # Errors
/// `internal` if `row` is not below the length of the array.
pub fn json_value(array: &dyn Array, row: usize, numbers: Numbers) -> Result<Value> {
    if row >= array.len() {
        return Err(Error::internal(format!("no row {row} in an array of {}", array.len())));
    }
    read(array, &json_text::cells(array, numbers)?, row, &mut Vec::new())
}

/// Rows as JSON objects, for small answers: all rows are held in memory.
///
/// # Errors
/// As [`crate::Encoder::batch`].
pub fn json_rows(batches: &[RecordBatch], numbers: Numbers) -> Result<Vec<Value>> {
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    let mut text = Vec::new();
    for batch in batches {
        let cells = batch.columns().iter().map(|array| json_text::cells(array, numbers)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let mut object = Map::with_capacity(cells.len());
            for ((field, array), cells) in batch.schema_ref().fields().iter().zip(batch.columns()).zip(&cells) {
                object.insert(field.name().clone(), read(array, cells, row, &mut text)?);
            }
            rows.push(Value::Object(object));
        }
    }
    Ok(rows)
}

fn read(array: &dyn Array, cells: &Cells<'_>, row: usize, text: &mut Vec<u8>) -> Result<Value> {
    text.clear();
    cells.write_or(b"null", row, text);
    // The JSON parser may miss the nearest double by one; the standard library does not.
    if matches!(array.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64)
        && let Some(number) = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
    {
        return Ok(Number::from_f64(number).map_or(Value::Null, Value::Number));
    }
    serde_json::from_slice(text).map_err(|cause| Error::internal("a value was not written as JSON").with_source(cause))
}
