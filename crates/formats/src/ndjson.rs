//! NDJSON: one JSON object per row, each ended by a line feed.

use arrow::{
    datatypes::{Schema, SchemaRef},
    record_batch::RecordBatch,
};
use bytes::Bytes;
use lakebed_types::{Error, Result};
use serde_json::{Value, json};

use crate::{Numbers, json_text::Objects};

/// Lines of JSON under way.
pub(crate) struct JsonLines {
    schema: SchemaRef,
    numbers: Numbers,
    /// Size of the last batch in bytes: the next one will need about as much.
    last_bytes: usize,
}

impl JsonLines {
    pub(crate) fn new(schema: SchemaRef, numbers: Numbers) -> Self {
        Self { schema, numbers, last_bytes: 0 }
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let mut out = Vec::with_capacity(self.last_bytes + self.last_bytes / 8);
        write_rows(&self.schema, batch, self.numbers, (b"", b"\n", b"\n"), &mut out)?;
        self.last_bytes = out.len();
        Ok(out.into())
    }

    /// The last record of a result that failed.
    pub(crate) fn fail(error: &Value) -> Bytes {
        format!("{}\n", json!({ "error": error })).into()
    }
}

/// Appends the rows of a batch as objects, with texts before the first, between two, and after the last. Names come
/// from the schema of the result: the engine's batches may carry others.
pub(crate) fn write_rows(
    schema: &Schema,
    batch: &RecordBatch,
    numbers: Numbers,
    (first, between, last): (&[u8], &[u8], &[u8]),
    out: &mut Vec<u8>,
) -> Result<()> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::internal("a batch has other columns than the result"));
    }
    let columns = schema.fields().iter().zip(batch.columns());
    let objects = Objects::new(columns.map(|(field, column)| (field.name().as_str(), column.as_ref())), numbers)?;
    for row in 0..batch.num_rows() {
        out.extend_from_slice(if row == 0 { first } else { between });
        objects.write(row, out);
    }
    if batch.num_rows() > 0 {
        out.extend_from_slice(last);
    }
    Ok(())
}
