//! The JSON document: `{preamble…, "columns": […], "data": [{…}, {…}], trailer…}`.

use std::sync::Arc;

use arrow::{
    datatypes::{Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use bytes::Bytes;
use lakebed_types::{Result, sql_type_name};
use serde_json::{Map, Value, json};

use crate::{EncodeOptions, Numbers, ndjson::write_rows};

/// A JSON document under way. Rows stand on lines of their own, so that people and line tools can look at them.
pub(crate) struct JsonDocument {
    schema: SchemaRef,
    numbers: Numbers,
    head: Vec<u8>,
    has_rows: bool,
    /// Size of the last batch in bytes: the next one will need about as much.
    last_bytes: usize,
}

impl JsonDocument {
    pub(crate) fn new(schema: SchemaRef, options: &EncodeOptions) -> Self {
        let mut head = Vec::with_capacity(1024);
        head.push(b'{');
        for (name, value) in &options.preamble {
            write_member(name, value, &mut head);
            head.push(b',');
        }
        if !options.without_columns {
            write_member("columns", &columns(&schema), &mut head);
            head.push(b',');
        }
        crate::json_text::write_string(options.rows_member.unwrap_or("data"), &mut head);
        head.extend_from_slice(b":[");
        Self { schema, numbers: options.numbers, head, has_rows: false, last_bytes: 0 }
    }

    pub(crate) fn begin(&mut self) -> Bytes {
        std::mem::take(&mut self.head).into()
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let mut out = Vec::with_capacity(self.last_bytes + self.last_bytes / 8);
        let separator: &[u8] = if self.has_rows { b",\n" } else { b"\n" };
        write_rows(&self.schema, batch, self.numbers, (separator, b",\n", b""), &mut out)?;
        self.has_rows |= batch.num_rows() > 0;
        self.last_bytes = out.len();
        Ok(out.into())
    }

    pub(crate) fn finish(self, trailer: &Map<String, Value>) -> Bytes {
        let mut out = if self.has_rows { b"\n]".to_vec() } else { b"]".to_vec() };
        for (name, value) in trailer {
            out.push(b',');
            write_member(name, value, &mut out);
        }
        out.extend_from_slice(b"}\n");
        out.into()
    }

    pub(crate) fn fail(self, error: &Value) -> Bytes {
        let mut trailer = Map::new();
        trailer.insert("error".to_owned(), error.clone());
        self.finish(&trailer)
    }
}

fn columns(schema: &Schema) -> Value {
    let column = |field: &Arc<Field>| json!({"name": field.name(), "type": sql_type_name(field.data_type()), "nullable": field.is_nullable()});
    Value::Array(schema.fields().iter().map(column).collect())
}

fn write_member(name: &str, value: &Value, out: &mut Vec<u8>) {
    crate::json_text::write_string(name, out);
    crate::text::append(out, format_args!(":{value}"));
}
