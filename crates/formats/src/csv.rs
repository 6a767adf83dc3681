//! CSV after RFC 4180: a header line, lines ended by CR LF, quotes where they are needed.
//!
//! NULL is an empty field, the empty string is `""`. Values have the same texts as in JSON, nested ones are JSON.

use arrow::{
    array::{Array, ArrayAccessor, AsArray},
    datatypes::{DataType, Schema},
    record_batch::RecordBatch,
};
use bytes::Bytes;
use lakebed_types::{Error, Result};

use crate::{
    Numbers,
    cells::{Cells, encoded},
    json_text,
    text::{self, WriteValue},
};

const END_OF_LINE: &[u8] = b"\r\n";

/// Lines of CSV under way.
pub(crate) struct CsvLines {
    columns: usize,
    header: Vec<u8>,
    /// Size of the last batch in bytes: the next one will need about as much.
    last_bytes: usize,
}

impl CsvLines {
    pub(crate) fn new(schema: &Schema) -> Self {
        let mut header = Vec::new();
        for (place, field) in schema.fields().iter().enumerate() {
            if place > 0 {
                header.push(b',');
            }
            write_field(field.name().as_bytes(), &mut header);
        }
        header.extend_from_slice(END_OF_LINE);
        Self { columns: schema.fields().len(), header, last_bytes: 0 }
    }

    pub(crate) fn begin(&mut self) -> Bytes {
        std::mem::take(&mut self.header).into()
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        if batch.num_columns() != self.columns {
            return Err(Error::internal("a batch has other columns than the result"));
        }
        let mut out = Vec::with_capacity(self.last_bytes + self.last_bytes / 8);
        let columns = batch.columns().iter().map(|column| cells(column)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            for (place, column) in columns.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                column.write_or(b"", row, &mut out);
            }
            out.extend_from_slice(END_OF_LINE);
        }
        self.last_bytes = out.len();
        Ok(out.into())
    }
}

fn cells(array: &dyn Array) -> Result<Cells<'_>> {
    if let Some(cells) = encoded(array, cells) {
        return cells;
    }
    let write = match array.data_type() {
        DataType::Utf8 => strings(array.as_string::<i32>()),
        DataType::LargeUtf8 => strings(array.as_string::<i64>()),
        DataType::Utf8View => strings(array.as_string_view()),
        _ => match text::scalar(array) {
            Some(write) => write,
            None => nested(array)?,
        },
    };
    Ok(Cells::new(array, write))
}

fn strings<'a>(array: impl ArrayAccessor<Item = &'a str> + 'a) -> WriteValue<'a> {
    Box::new(move |row, out| write_field(array.value(row).as_bytes(), out))
}

fn nested(array: &dyn Array) -> Result<WriteValue<'_>> {
    let cells = json_text::cells(array, Numbers::Auto)?;
    Ok(Box::new(move |row, out| {
        let start = out.len();
        cells.write_or(b"null", row, out);
        let json = out.split_off(start);
        write_field(&json, out);
    }))
}

/// Appends a field, in quotes where it is empty or holds a comma, a quote or the end of a line.
fn write_field(field: &[u8], out: &mut Vec<u8>) {
    let needs_quotes = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if !field.is_empty() && !field.iter().any(needs_quotes) {
        return out.extend_from_slice(field);
    }
    out.push(b'"');
    for (place, part) in field.split(|byte| *byte == b'"').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
