//! Arrow IPC streams and Parquet: columns with types of their own.

use std::{io::Cursor, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use lakebed_types::{Error, Result};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::{
    CHUNK_ROWS, Chunk, Decoded, Source, Wanted, arrow_frames, budget::Budget, json_row::shown, parquet_pages,
    too_many_rows, width::plain_bytes,
};

/// Decodes an Arrow IPC stream.
pub(super) fn decode_stream(bytes: &Bytes, wanted: &Wanted, budget: Budget) -> Result<Decoded> {
    let reader = open_stream(bytes, budget.clone())?;
    let schema = reader.schema();
    decode(reader, &schema, wanted, budget, "Arrow IPC stream")
}

/// Decodes a Parquet file.
pub(super) fn decode_parquet(bytes: &Bytes, wanted: &Wanted, budget: Budget) -> Result<Decoded> {
    let opened = open_parquet(bytes)?;
    let rows = parquet_pages::check_pages(bytes, opened.metadata(), &mut budget.clone())?;
    let schema = with_views(opened.schema());
    let options = ArrowReaderOptions::new().with_schema(schema.clone());
    let opened = ArrowReaderMetadata::try_new(opened.metadata().clone(), options)
        .map_err(|error| damaged("Parquet file", error))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), opened);
    let reader = builder.with_batch_size(rows).build().map_err(|error| damaged("Parquet file", error))?;
    decode(reader, &schema, wanted, budget, "Parquet file")
}

pub(super) fn stream_schema(bytes: &Bytes) -> Result<Schema> {
    Ok(open_stream(bytes, Budget::for_body(bytes.len()))?.schema().as_ref().clone())
}

pub(super) fn parquet_schema(bytes: &Bytes) -> Result<Schema> {
    Ok(open_parquet(bytes)?.schema().as_ref().clone())
}

fn open_stream(bytes: &Bytes, mut budget: Budget) -> Result<StreamReader<Cursor<Bytes>>> {
    arrow_frames::check(bytes, &mut budget)?;
    StreamReader::try_new(Cursor::new(bytes.clone()), None).map_err(|error| damaged("Arrow IPC stream", error))
}

fn open_parquet(bytes: &Bytes) -> Result<ArrowReaderMetadata> {
    parquet_pages::check_footer(bytes)?;
    ArrowReaderMetadata::load(bytes, ArrowReaderOptions::new()).map_err(|error| damaged("Parquet file", error))
}

/// The columns, with views where there is text: they refer to a dictionary's values and do not copy them, so that what
/// they take can be told before it is taken.
fn with_views(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(view_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn view_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(view_type(field.data_type())))
}

fn view_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, values) => view_type(values),
        DataType::List(item) => DataType::List(view_field(item)),
        DataType::LargeList(item) => DataType::LargeList(view_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(view_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(view_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(view_field(entries), *sorted),
        other => other.clone(),
    }
}

fn decode(
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    schema: &SchemaRef,
    wanted: &Wanted,
    mut budget: Budget,
    what: &str,
) -> Result<Decoded> {
    check_names(schema, wanted, what)?;
    let (mut gathered, mut rows) = (Gathered::default(), 0_usize);
    for batch in batches {
        let batch = batch.map_err(|error| damaged(what, error))?;
        rows = rows.saturating_add(batch.num_rows());
        if rows > wanted.max_rows {
            return Err(too_many_rows(wanted.max_rows));
        }
        batch.columns().iter().try_for_each(|column| budget.take(plain_bytes(column)))?;
        gathered.push(batch);
    }
    gathered.end();
    let mut first = 1;
    let chunks = gathered.done.into_iter().map(|batch| {
        let chunk = Chunk { first, numbers: None, unknown: None, bad: Vec::new(), batch };
        first += chunk.batch.num_rows() as u64;
        chunk
    });
    Ok(Decoded { chunks: chunks.collect(), source: Source::Columns })
}

fn check_names(schema: &Schema, wanted: &Wanted, what: &str) -> Result<()> {
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    if let Some(name) = super::twice(&names) {
        return Err(Error::invalid_request(format!("the {what} has two columns `{}`", shown(name))));
    }
    match names.iter().find(|name| wanted.strict && wanted.find(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let message = format!("the table has no column `{}`, which the {what} has", shown(name));
            Err(Error::invalid_request(message)
                .with_hint("Rename or leave out the column, or let the table's rules take unknown fields."))
        }
    }
}

/// Batches of a few rows, put together: each one costs as many arrays as the table has columns.
#[derive(Default)]
struct Gathered {
    done: Vec<RecordBatch>,
    few: Vec<RecordBatch>,
    few_rows: usize,
}

impl Gathered {
    fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        if self.few_rows + batch.num_rows() > CHUNK_ROWS {
            self.end();
        }
        self.few_rows += batch.num_rows();
        self.few.push(batch);
    }

    fn end(&mut self) {
        let few = std::mem::take(&mut self.few);
        self.few_rows = 0;
        match few.as_slice() {
            [] | [_] => self.done.extend(few),
            [first, ..] => match concat_batches(first.schema_ref(), &few) {
                Ok(batch) => self.done.push(batch),
                // Their dictionaries have more values together than their keys can tell apart.
                Err(_) => self.done.extend(few),
            },
        }
    }
}

pub(super) fn damaged(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid_request(format!("the body is not an intact {what}"))
        .with_hint("Check the Content-Type header and that the body is complete.")
        .with_source(error)
}
