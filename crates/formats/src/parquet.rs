//! Parquet: one file, whose row groups are handed out as they fill.

use arrow::{
    datatypes::{DataType, Field, IntervalUnit, SchemaRef},
    record_batch::RecordBatch,
};
use bytes::Bytes;
use lakebed_types::{Error, Result};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

use crate::{
    cells::unsupported,
    plain::{Plain, Readers},
};

/// A row group is written out when its encoders hold this much memory.
const MAX_ROW_GROUP_BYTES: usize = 128 << 20;
/// A row group is written out when it has this many rows.
const MAX_ROW_GROUP_ROWS: usize = 1 << 20;

/// A file under way.
pub(crate) struct ParquetFile {
    plain: Plain,
    /// Writes into the vector, which is handed out and left empty after every call.
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetFile {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let plain = Plain::new(schema, Readers::Parquet);
        for field in plain.schema().fields() {
            check_type(field).map_err(|error| error.context(format_args!("column `{}`", field.name())))?;
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?))
            .set_max_row_group_row_count(Some(MAX_ROW_GROUP_ROWS))
            .set_created_by("lakebed".to_owned())
            .build();
        let schema = std::sync::Arc::clone(plain.schema());
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(failed)?;
        Ok(Self { plain, writer })
    }

    /// The bytes written since the last call.
    pub(crate) fn ready(&mut self) -> Bytes {
        std::mem::take(self.writer.inner_mut()).into()
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        self.writer.write(&self.plain.batch(batch)?).map_err(failed)?;
        if self.writer.memory_size() >= MAX_ROW_GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
        }
        Ok(self.ready())
    }

    pub(crate) fn finish(self) -> Result<Bytes> {
        self.writer.into_inner().map(Bytes::from).map_err(failed)
    }
}

/// Refuses the types that the writer cannot write, before the first byte is out.
fn check_type(field: &Field) -> Result<()> {
    match field.data_type() {
        refused @ (DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano)) => {
            Err(unsupported(refused, "Parquet"))
        }
        empty @ DataType::Struct(fields) if fields.is_empty() => Err(unsupported(empty, "Parquet")),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field)),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => check_type(item),
        DataType::Map(entries, _) => check_type(entries),
        DataType::Dictionary(_, values) => check_type(&Field::new("", values.as_ref().clone(), true)),
        _ => Ok(()),
    }
}

fn failed(cause: ParquetError) -> Error {
    Error::internal("the result cannot be written as Parquet").with_source(cause)
}
