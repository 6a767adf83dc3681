//! Bytes → columns. Text formats become columns of text, so that one place says what a text means as a value; Arrow and
//! Parquet keep their own types. What cannot be a row is named, with its bytes.

mod arrow_frames;
mod budget;
mod columnar;
mod csv;
pub(crate) mod inflate;
mod json;
mod json_array;
mod json_row;
mod json_text;
mod json_types;
mod names;
mod parquet_pages;
#[cfg(test)]
mod tests;
mod thrift;
mod width;

pub(crate) use budget::Budget;
pub(crate) use json_row::{shown, two_fields};
pub(crate) use json_types::JsonTypes;
pub(crate) use names::Names;

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use bytes::Bytes;
use lakebed_types::{Error, ErrorKind, Result};

use crate::body::RowsFormat;

/// Rows that are decoded together.
pub(crate) const CHUNK_ROWS: usize = 16 * 1024;

/// Columns that the header of a body may name.
const MAX_NAMES: usize = 10_000;

/// What the fields of a body may be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Columns and their other names: text, or nested with text inside.
    pub(crate) schema: SchemaRef,
    /// For each field of `schema` the column's own type.
    pub(crate) types: Vec<DataType>,
    /// The places of the fields of `schema`.
    pub(crate) names: Names,
    /// Whether a field that is none of them makes its row a bad one; otherwise it is found in [`Chunk::unknown`].
    pub(crate) strict: bool,
    /// Rows of one body.
    pub(crate) max_rows: usize,
}

/// Rows that were decoded together.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The good ones, with the columns that the body has.
    pub(crate) batch: RecordBatch,
    /// For each row of `batch` its number in the body, from 1; None where they are `first`, `first + 1`, …
    pub(crate) numbers: Option<Vec<u64>>,
    /// The number of the first row that was looked at.
    pub(crate) first: u64,
    /// For each row of `batch` the fields that are no columns, as a JSON object; None where no row has any.
    pub(crate) unknown: Option<Vec<Option<UnknownFields>>>,
    /// What is no row.
    pub(crate) bad: Vec<BadRow>,
}

/// Fields that are no columns: names, and values as the JSON that was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct UnknownFields(pub(crate) Vec<(String, String)>);

impl UnknownFields {
    /// As one JSON object.
    pub(crate) fn to_json(&self) -> String {
        json_row::object(&self.0)
    }
}

impl Wanted {
    /// The place in `schema` of the column that a field is.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.names.find(name)
    }

    /// Bytes that so many rows take at least, whatever is in them.
    fn bare_bytes(&self, rows: usize) -> u64 {
        let columns: usize = self.types.iter().map(leaves).sum();
        (rows as u64).saturating_mul(columns as u64).saturating_mul(4)
    }
}

/// The columns that a type is made of.
fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(item) | DataType::Map(item, _) => 1 + leaves(item.data_type()),
        DataType::Struct(fields) => 1 + fields.iter().map(|field| leaves(field.data_type())).sum::<usize>(),
        _ => 1,
    }
}

/// A row that is refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BadRow {
    /// Its number in the body, from 1.
    pub(crate) row: u64,
    /// The field, where one is to blame.
    pub(crate) field: Option<String>,
    /// Why.
    pub(crate) reason: String,
    /// The row as it was sent; of Arrow and Parquet as JSON, made where it is needed.
    pub(crate) raw: Option<Bytes>,
}

/// How a row's own bytes are found again, for those that turn out bad later.
#[derive(Debug)]
pub(crate) enum Source {
    /// One row a line.
    Lines(Bytes),
    /// Rows at these places, in order.
    Ranges(Bytes, Vec<std::ops::Range<usize>>),
    /// CSV after its header.
    Csv(Bytes, usize),
    /// Columns: the rows are written as JSON.
    Columns,
}

/// A body, decoded.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) source: Source,
}

/// Decodes a body.
///
/// # Errors
/// `invalid_request` where the body as a whole is not of its format, `request_too_large` where it has too many rows, or
/// rows that take too much.
pub(crate) fn decode(format: RowsFormat, bytes: &Bytes, wanted: &Wanted) -> Result<Decoded> {
    match format {
        RowsFormat::NdJson => json::decode_lines(bytes, wanted),
        RowsFormat::Json => json_array::decode(bytes, wanted),
        RowsFormat::Csv => csv::decode(bytes, wanted),
        RowsFormat::Arrow => columnar::decode_stream(bytes, wanted, Budget::for_body(bytes.len())),
        RowsFormat::Parquet => columnar::decode_parquet(bytes, wanted, Budget::for_body(bytes.len())),
    }
}

/// The columns that a body's first rows have, each with the type that fits them.
///
/// # Errors
/// `invalid_request` where there is nothing to tell them from.
pub(crate) fn infer(format: RowsFormat, bytes: &Bytes) -> Result<Schema> {
    let schema = match format {
        RowsFormat::NdJson => json::infer(bytes)?,
        RowsFormat::Json => json_array::infer(bytes)?,
        RowsFormat::Csv => csv::infer(bytes)?,
        RowsFormat::Arrow => columnar::stream_schema(bytes)?,
        RowsFormat::Parquet => columnar::parquet_schema(bytes)?,
    };
    if schema.fields().is_empty() {
        return Err(Error::invalid_request("the body has no columns to make a table of")
            .with_hint("Declare the table's columns first."));
    }
    Ok(schema)
}

impl Source {
    /// The bytes of these rows, whose numbers ascend; None for those of a body that has columns.
    pub(crate) fn raw(&self, rows: &[u64]) -> Vec<Option<Bytes>> {
        match self {
            Source::Lines(bytes) => pick(rows, json::lines(bytes).map(|range| bytes.slice(range))),
            Source::Ranges(bytes, ranges) => pick(rows, ranges.iter().map(|range| bytes.slice(range.clone()))),
            Source::Csv(bytes, start) => pick(rows, csv::records(bytes, *start).map(|range| bytes.slice(range))),
            Source::Columns => vec![None; rows.len()],
        }
    }
}

/// The items at these places, from 1, which ascend.
fn pick(rows: &[u64], items: impl Iterator<Item = Bytes>) -> Vec<Option<Bytes>> {
    let mut picked = Vec::with_capacity(rows.len());
    let mut wanted = rows.iter().peekable();
    for (number, item) in (1_u64..).zip(items) {
        match wanted.peek() {
            None => break,
            Some(row) if **row == number => {
                // A copy, so that one bad row does not keep the whole body in memory.
                picked.push(Some(Bytes::copy_from_slice(&item)));
                wanted.next();
            }
            Some(_) => {}
        }
    }
    picked.resize(rows.len(), None);
    picked
}

impl Chunk {
    /// The number in the body of a row of `batch`.
    pub(crate) fn number(&self, row: usize) -> u64 {
        match &self.numbers {
            Some(numbers) => numbers[row],
            None => self.first + row as u64,
        }
    }
}

pub(crate) fn too_many_rows(max_rows: usize) -> Error {
    Error::new(ErrorKind::RequestTooLarge, format!("the body has more than {max_rows} rows"))
        .with_hint("Send the rows in several requests.")
}

/// The columns of a body, in the body's order, as text.
fn text_schema<'a>(names: impl IntoIterator<Item = &'a str>) -> SchemaRef {
    let field = |name: &str| -> FieldRef { Arc::new(Field::new(name, DataType::Utf8, true)) };
    Arc::new(Schema::new(names.into_iter().map(field).collect::<Vec<_>>()))
}

/// The name that stands twice, where one does.
fn twice(names: &[String]) -> Option<&str> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(name.as_str())).map(String::as_str)
}
