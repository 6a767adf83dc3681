//! One result on its way out: the formats behind one interface.

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use bytes::Bytes;
use lakebed_types::Result;
use serde_json::{Map, Value};

use crate::{
    Format, arrow_ipc::ArrowStream, csv::CsvLines, json::JsonDocument, ndjson::JsonLines, parquet::ParquetFile,
};

/// How numbers are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// 64-bit integers and decimals as numbers where a JavaScript number is exact, else as strings.
    #[default]
    Auto,
    /// 64-bit integers and decimals always as strings.
    String,
}

/// How a result is written.
#[derive(Debug, Clone, Default)]
pub struct EncodeOptions {
    /// JSON and NDJSON only: how numbers are written.
    pub numbers: Numbers,
    /// JSON document only: members that come first (query id and such).
    pub preamble: Map<String, Value>,
    /// JSON document only: the name of the array of rows. Default `data`.
    pub rows_member: Option<&'static str>,
    /// JSON document only: leaves out `"columns": [{"name","type","nullable"}]`, which else comes before the rows.
    pub without_columns: bool,
}

/// Writes one result: `begin`, any number of `batch`, then `finish` or `fail`. Each call gives the bytes that are
/// ready (may be empty). Memory is bounded by the batch (Parquet: by a row group of bounded bytes).
pub struct Encoder {
    inside: Inside,
}

enum Inside {
    Json(JsonDocument),
    NdJson(JsonLines),
    Csv(CsvLines),
    Arrow(Box<ArrowStream>),
    Parquet(Box<ParquetFile>),
}

impl Encoder {
    /// An encoder for batches of this schema.
    ///
    /// # Errors
    /// `unsupported` if the format has no place for the type of a column.
    pub fn new(format: Format, schema: SchemaRef, options: EncodeOptions) -> Result<Self> {
        let inside = match format {
            Format::Json => Inside::Json(JsonDocument::new(schema, &options)),
            Format::NdJson => Inside::NdJson(JsonLines::new(schema, options.numbers)),
            Format::Csv => Inside::Csv(CsvLines::new(&schema)),
            Format::Arrow => Inside::Arrow(Box::new(ArrowStream::new(&schema)?)),
            Format::Parquet => Inside::Parquet(Box::new(ParquetFile::new(&schema)?)),
        };
        Ok(Self { inside })
    }

    /// What stands before the first row: a header line, a schema, the opening of a document.
    ///
    /// # Errors
    /// None so far.
    pub fn begin(&mut self) -> Result<Bytes> {
        Ok(match &mut self.inside {
            Inside::Json(document) => document.begin(),
            Inside::NdJson(_) => Bytes::new(),
            Inside::Csv(lines) => lines.begin(),
            Inside::Arrow(stream) => stream.ready(),
            Inside::Parquet(file) => file.ready(),
        })
    }

    /// The rows of a batch, whose columns have the types of the schema given to [`Encoder::new`].
    ///
    /// # Errors
    /// `invalid_value` if a value does not fit the format's type for it; `internal` if the batch has other columns
    /// than the schema. The bytes so far stay good for [`Encoder::fail`].
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        match &mut self.inside {
            Inside::Json(document) => document.batch(batch),
            Inside::NdJson(lines) => lines.batch(batch),
            Inside::Csv(lines) => lines.batch(batch),
            Inside::Arrow(stream) => stream.batch(batch),
            Inside::Parquet(file) => file.batch(batch),
        }
    }

    /// Ends the result. `trailer`: members put last in a JSON document (`row_count`, `statistics`); ignored by the
    /// other formats.
    ///
    /// # Errors
    /// `internal` if the last row group of a Parquet file cannot be written.
    pub fn finish(self, trailer: &Map<String, Value>) -> Result<Bytes> {
        match self.inside {
            Inside::Json(document) => Ok(document.finish(trailer)),
            Inside::NdJson(_) | Inside::Csv(_) => Ok(Bytes::new()),
            Inside::Arrow(stream) => stream.finish(),
            Inside::Parquet(file) => file.finish(),
        }
    }

    /// The bytes that tell of a failure after the first byte: NDJSON a last record `{"error": {…}}`, JSON a closing
    /// `"error"` member. None where the format has no such place (CSV, Arrow, Parquet): the connection must break.
    pub fn fail(self, error: &Value) -> Option<Bytes> {
        match self.inside {
            Inside::Json(document) => Some(document.fail(error)),
            Inside::NdJson(_) => Some(JsonLines::fail(error)),
            Inside::Csv(_) | Inside::Arrow(_) | Inside::Parquet(_) => None,
        }
    }
}
