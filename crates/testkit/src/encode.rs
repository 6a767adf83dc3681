//! Record batches as the bytes of a file.

use std::io::Write;

use arrow::array::RecordBatch;
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

use crate::TestResult;

/// A Parquet file; without properties, with the writer's defaults.
///
/// # Errors
/// If there is no batch, or the batches' schemas differ.
pub fn parquet_bytes(batches: &[RecordBatch], properties: Option<WriterProperties>) -> TestResult<Vec<u8>> {
    let first = batches.first().ok_or("a file needs at least one batch, if an empty one")?;
    let mut writer = ArrowWriter::try_new(Vec::new(), first.schema(), properties)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?)
}

/// A CSV file with a header, commas and line feeds.
///
/// # Errors
/// If a column's type has no text, as nested ones.
pub fn csv_bytes(batches: &[RecordBatch]) -> TestResult<Vec<u8>> {
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner())
}

/// One JSON object a line; NULLs are left out.
///
/// # Errors
/// If a column's type has no JSON.
pub fn ndjson_bytes(batches: &[RecordBatch]) -> TestResult<Vec<u8>> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// One JSON array of objects; NULLs are left out.
///
/// # Errors
/// If a column's type has no JSON.
pub fn json_array_bytes(batches: &[RecordBatch]) -> TestResult<Vec<u8>> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// The bytes, compressed by gzip.
///
/// # Errors
/// None in practice: it writes to memory.
pub fn gzip(bytes: &[u8]) -> TestResult<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
