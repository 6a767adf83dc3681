//! Arrow ⇄ JSON, NDJSON, CSV, Arrow IPC, Parquet: one file per format.
//!
//! Turns batches into bytes, one batch at a time and with flat memory. Knows nothing of queries, HTTP or files.

#![allow(missing_docs, clippy::todo)] // skeleton

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use bytes::Bytes;
use lakebed_types::{Error, Result};

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Json,
    NdJson,
    Csv,
    Arrow,
    Parquet,
}

impl Format {
    pub const ALL: &'static [Format] = &[Format::Json, Format::NdJson, Format::Csv, Format::Arrow, Format::Parquet];
    /// `json`, `ndjson`, `csv`, `arrow`, `parquet`.
    pub fn name(self) -> &'static str {
        todo!()
    }
    pub fn from_name(name: &str) -> Option<Format> {
        let _ = name;
        todo!()
    }
    /// `application/json`, `application/x-ndjson`, `text/csv; charset=utf-8; header=present`,
    /// `application/vnd.apache.arrow.stream`, `application/vnd.apache.parquet`.
    pub fn media_type(self) -> &'static str {
        todo!()
    }
    pub fn file_extension(self) -> &'static str {
        todo!()
    }
    /// The best format for an `Accept` header (q-values, wildcards); Err(invalid_request) if none fits.
    pub fn from_accept(accept: &str) -> Result<Format> {
        let _ = accept;
        todo!()
    }
}

/// How numbers are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// 64-bit integers and decimals as numbers where a JavaScript number is exact, else as strings.
    #[default]
    Auto,
    /// 64-bit integers and decimals always as strings.
    String,
}

#[derive(Debug, Clone, Default)]
pub struct EncodeOptions {
    pub numbers: Numbers,
    /// JSON document only: members before `data` (query id and such), already JSON objects' members.
    pub preamble: serde_json::Map<String, serde_json::Value>,
    /// JSON document only: the name of the array of rows. Default `data`.
    pub rows_member: Option<&'static str>,
    /// JSON document only: whether `"columns": [{"name","type","nullable"}]` is written before the rows. Default true.
    pub without_columns: bool,
}

/// Writes one result: `begin`, any number of `batch`, then `finish` or `fail`. Each call gives the bytes that are
/// ready (may be empty). Memory is bounded by the batch (Parquet: by a row group of bounded bytes).
pub struct Encoder {/* enum inside */}

impl Encoder {
    pub fn new(format: Format, schema: SchemaRef, options: EncodeOptions) -> Result<Self> {
        let _ = (format, schema, options);
        todo!()
    }
    pub fn begin(&mut self) -> Result<Bytes> {
        todo!()
    }
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let _ = batch;
        todo!()
    }
    /// Ends the result. `trailer`: members put last in a JSON document (`row_count`, `statistics`); ignored by the
    /// other formats.
    pub fn finish(self, trailer: &serde_json::Map<String, serde_json::Value>) -> Result<Bytes> {
        let _ = trailer;
        todo!()
    }
    /// The bytes that tell of a failure after the first byte: NDJSON a last record `{"error": {…}}`, JSON a closing
    /// `"error"` member. None where the format has no such place (CSV, Arrow, Parquet): the connection must break.
    pub fn fail(self, error: &serde_json::Value) -> Option<Bytes> {
        let _ = error;
        todo!()
    }
}

/// One value as JSON, by the same rules as the encoders (for page tokens, partition values, small answers).
pub fn json_value(array: &dyn arrow::array::Array, row: usize, numbers: Numbers) -> Result<serde_json::Value> {
    let _ = (array, row, numbers);
    todo!()
}
/// Rows as JSON objects, for small answers.
pub fn json_rows(batches: &[RecordBatch], numbers: Numbers) -> Result<Vec<serde_json::Value>> {
    let _ = (batches, numbers);
    todo!()
}
#[expect(unused)]
type Keep = Error;
