//! Columns in the types that older readers know: strings and lists without views, decimals of 128 bits and more.

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use lakebed_types::{Error, ErrorKind, Result};

use crate::cast_strictly;

/// The types that a format has instead of those that its readers may not know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Readers of Arrow streams from before string views, list views and small decimals.
    Arrow,
    /// Those, and readers of Parquet, which has no timestamps or times in seconds, no dates in milliseconds and no
    /// run-end encoding.
    Parquet,
}

/// Brings batches to the schema that `readers` know.
pub(crate) struct Plain {
    schema: SchemaRef,
    /// Nothing to do: most results have no such type.
    is_identity: bool,
}

impl Plain {
    pub(crate) fn new(schema: &SchemaRef, readers: Readers) -> Self {
        let fields: Vec<FieldRef> = schema.fields().iter().map(|field| plain_field(field, readers)).collect();
        let plain = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Self { is_identity: plain.fields() == schema.fields(), schema: plain }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batch with its columns cast. It may differ from the declared schema in names and metadata of nested
    /// fields, as the engine's batches do at times; types must agree.
    pub(crate) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.is_identity && batch.schema_ref() == &self.schema {
            return Ok(batch.clone());
        }
        if batch.num_columns() != self.schema.fields().len() {
            return Err(Error::internal("a batch has other columns than the result"));
        }
        let columns = self.schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| cast(field, column)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|cause| Error::internal("a batch does not have the types of the result").with_source(cause))
    }
}

fn cast(field: &Field, column: &ArrayRef) -> Result<ArrayRef> {
    cast_strictly(column, field.data_type()).map_err(|cause| {
        Error::new(ErrorKind::InvalidValue, format!("a value of column `{}` does not fit the format", field.name()))
            .with_hint("Ask for another format, or cast the column to VARCHAR.")
            .with_source(cause)
    })
}

fn plain_field(field: &FieldRef, readers: Readers) -> FieldRef {
    let data_type = plain_type(field.data_type(), readers);
    if data_type == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn plain_type(data_type: &DataType, readers: Readers) -> DataType {
    let inner = |field: &FieldRef| plain_field(field, readers);
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::List(item) | DataType::ListView(item) => DataType::List(inner(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        DataType::Dictionary(keys, values) => DataType::Dictionary(keys.clone(), Box::new(plain_type(values, readers))),
        other if readers == Readers::Parquet => for_parquet(other, readers),
        other => other.clone(),
    }
}

fn for_parquet(data_type: &DataType, readers: Readers) -> DataType {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Date64 => DataType::Date32,
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type(), readers),
        other => other.clone(),
    }
}
