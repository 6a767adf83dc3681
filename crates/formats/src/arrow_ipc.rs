//! The Arrow IPC stream: the schema, then one message per batch, then an end mark. Uncompressed, because HTTP
//! compresses by the client's choice.
//!
//! Dictionaries are kept; string, binary and list views become plain strings, binaries and lists, and small decimals
//! 128 bits wide, so that older clients can read the stream.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use lakebed_types::{Error, Result};

use crate::plain::{Plain, Readers};

/// A stream under way.
pub(crate) struct ArrowStream {
    plain: Plain,
    /// Writes at once into the vector, which is handed out and left empty after every call.
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let plain = Plain::new(schema, Readers::Arrow);
        let writer = StreamWriter::try_new(Vec::new(), plain.schema()).map_err(failed)?;
        Ok(Self { plain, writer })
    }

    /// The bytes written since the last call.
    pub(crate) fn ready(&mut self) -> Bytes {
        std::mem::take(self.writer.get_mut()).into()
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        self.writer.write(&self.plain.batch(batch)?).map_err(failed)?;
        Ok(self.ready())
    }

    pub(crate) fn finish(mut self) -> Result<Bytes> {
        self.writer.finish().map_err(failed)?;
        Ok(self.ready())
    }
}

fn failed(cause: arrow::error::ArrowError) -> Error {
    Error::internal("the result cannot be written as an Arrow stream").with_source(cause)
}
