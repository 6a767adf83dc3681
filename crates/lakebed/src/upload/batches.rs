//! Arrow and Parquet files: parts are Arrow IPC streams of some of their rows.

use std::io::{BufRead as _, BufReader};

use arrow::{datatypes::SchemaRef, error::ArrowError, record_batch::RecordBatch};
use arrow_ipc::{
    reader::{FileReader, StreamReader},
    writer::StreamWriter,
};
use lakebed_types::{Error, ErrorKind, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{FileFormat, Input, PART_BYTES, PART_ROWS, Part, Parts};

const IPC_FILE: &[u8] = b"ARROW1";

type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send>;

pub(super) fn batch_parts(mut input: Input) -> Result<Parts> {
    let name = input.name.clone();
    let (schema, batches) = batches(&mut input).map_err(|error| damaged(&name, error))??;
    let mut next_row = 1;
    let parts = batches.flat_map(move |batch| match batch {
        Ok(batch) => split(&batch, &schema, &name, &mut next_row),
        Err(error) => vec![Err(damaged(&name, error))],
    });
    Ok(Box::new(parts))
}

fn batches(input: &mut Input) -> std::result::Result<Result<(SchemaRef, Batches)>, ArrowError> {
    let is_file = input.format == FileFormat::Parquet || input.bytes.fill_buf()?.starts_with(IPC_FILE);
    if !is_file {
        let bytes = std::mem::replace(&mut input.bytes, Box::new(std::io::empty()));
        let reader = StreamReader::try_new(bytes, None)?;
        return Ok(Ok((reader.schema(), Box::new(reader))));
    }
    let Some(file) = input.file.take() else {
        let message = format!("{} is read from its end, and must be a file that is not compressed", input.name);
        return Ok(Err(Error::new(ErrorKind::Unsupported, message)));
    };
    if input.format == FileFormat::Arrow {
        let reader = FileReader::try_new(BufReader::new(file), None)?;
        return Ok(Ok((reader.schema(), Box::new(reader))));
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(PART_ROWS as usize).build()?;
    Ok(Ok((arrow::record_batch::RecordBatchReader::schema(&reader), Box::new(reader))))
}

fn split(batch: &RecordBatch, schema: &SchemaRef, name: &str, next_row: &mut u64) -> Vec<Result<Part>> {
    let rows = batch.num_rows();
    // Memory is a bound of what the rows are as a stream, and wide rows make small parts.
    let parts = (batch.get_array_memory_size() / PART_BYTES + 1).max(rows.div_ceil(PART_ROWS as usize));
    let step = rows.div_ceil(parts).max(1);
    let slices = (0..rows).step_by(step).map(|from| batch.slice(from, step.min(rows - from)));
    let part = |slice: RecordBatch| {
        let first_row = *next_row;
        *next_row += slice.num_rows() as u64;
        let bytes = stream_of(&slice, schema).map_err(|error| damaged(name, error))?;
        Ok(Part { bytes: bytes.into(), media_type: "application/vnd.apache.arrow.stream", first_row })
    };
    slices.map(part).collect()
}

fn stream_of(batch: &RecordBatch, schema: &SchemaRef) -> std::result::Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.write(batch)?;
    writer.into_inner()
}

fn damaged(name: &str, error: ArrowError) -> Error {
    Error::new(ErrorKind::CorruptFile, format!("{name} cannot be read: {error}")).with_source(error)
}
