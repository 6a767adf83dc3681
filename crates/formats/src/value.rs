//! Single values and few rows as JSON values, by the same rules as the encoders.

use arrow::{array::Array, record_batch::RecordBatch};
use lakebed_types::{Error, Result};
use serde_json::{Deserializer, Value};

use crate::{Numbers, json_text, ndjson::write_rows};

/// One value as JSON (for page tokens, partition values, small answers).
///
/// # Errors
/// `internal` if `row` is not below the length of the array.
pub fn json_value(array: &dyn Array, row: usize, numbers: Numbers) -> Result<Value> {
    if row >= array.len() {
        return Err(Error::internal(format!("no row {row} in an array of {}", array.len())));
    }
    let mut text = Vec::new();
    json_text::cells(array, numbers)?.write_or(b"null", row, &mut text);
    serde_json::from_slice(&text).map_err(unreadable)
}

/// Rows as JSON objects, for small answers: all rows are held in memory.
///
/// # Errors
/// As [`crate::Encoder::batch`].
pub fn json_rows(batches: &[RecordBatch], numbers: Numbers) -> Result<Vec<Value>> {
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    let mut text = Vec::new();
    for batch in batches {
        text.clear();
        write_rows(batch, numbers, (b"", b"\n", b"\n"), &mut text)?;
        for row in Deserializer::from_slice(&text).into_iter() {
            rows.push(row.map_err(unreadable)?);
        }
    }
    Ok(rows)
}

fn unreadable(cause: serde_json::Error) -> Error {
    Error::internal("a value was not written as JSON").with_source(cause)
}
