//! Arrow IPC in the small: schemas as Flight's messages carry them, single batches as bytes, messages of a stream.

use std::io::Cursor;

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::Schema,
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use arrow_ipc::{
    CompressionType, MetadataVersion,
    writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions},
};
use bytes::Bytes;
use lakebed_types::{Error, ErrorKind, Result};

use crate::options::Compression;

/// Bytes of the buffers' alignment.
const ALIGNMENT: usize = 64;

/// A schema as `FlightInfo` and its like carry it.
///
/// # Errors
/// `internal`.
pub(crate) fn schema_bytes(schema: &Schema) -> Result<Bytes> {
    let message: IpcMessage =
        SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(|error| failed(&error))?;
    Ok(message.0)
}

/// A batch with its schema.
///
/// # Errors
/// `internal`.
pub(crate) fn write_batch(batch: &RecordBatch) -> Result<Bytes> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).map_err(|error| failed(&error))?;
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| failed(&error))?;
    drop(writer);
    Ok(bytes.into())
}

/// What [`write_batch`] wrote. For bytes of this server only.
///
/// # Errors
/// `internal`.
pub(crate) fn read_batch(bytes: &Bytes) -> Result<RecordBatch> {
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| failed(&error))?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, ArrowError>>().map_err(|error| failed(&error))?;
    concat_batches(&schema, &batches).map_err(|error| failed(&error))
}

/// Turns the batches of one stream into its messages. Batches have no dictionaries.
pub(crate) struct Encoder {
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
}

impl Encoder {
    /// # Errors
    /// `unsupported` for a compression that this build does not have.
    pub(crate) fn new(compression: Option<Compression>) -> Result<Self> {
        let codec = compression.map(|compression| match compression {
            Compression::Lz4 => CompressionType::LZ4_FRAME,
            Compression::Zstd => CompressionType::ZSTD,
        });
        let unsupported = |error: ArrowError| Error::new(ErrorKind::Unsupported, error.to_string());
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)
            .and_then(|options| options.try_with_compression(codec))
            .map_err(unsupported)?;
        let (generator, dictionaries) = (IpcDataGenerator::default(), DictionaryTracker::new(false));
        let mut context = IpcWriteContext::default();
        // Messages of one stream are about as large as the one before.
        context.set_reserve_scratch(true);
        Ok(Self { options, generator, dictionaries, context })
    }

    /// The first message of a stream.
    pub(crate) fn schema(&self, schema: &Schema) -> FlightData {
        SchemaAsIpc::new(schema, &self.options).into()
    }

    /// # Errors
    /// `internal`.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<FlightData> {
        let encoded = self.generator.encode(batch, &mut self.dictionaries, &self.options, &mut self.context);
        let (_, message) = encoded.map_err(|error| failed(&error))?;
        Ok(message.into())
    }
}

fn failed(error: &ArrowError) -> Error {
    Error::internal("Arrow data cannot be written or read").with_source(error.to_string())
}
