//! Writing one Parquet file.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::Stream;
use lakebed_storage::{Location, Storage};
use lakebed_types::Result;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenFile {
    /// Rows in the file.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Writes all batches into one Parquet file. The file appears when it is complete: on an error of the stream or the
/// store the upload is given up and nothing is left behind.
#[expect(clippy::todo, clippy::unused_async, reason = "being written")]
pub async fn write_parquet(
    storage: &Storage,
    location: &Location,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Send,
) -> Result<WrittenFile> {
    let _ = (storage, location, schema, batches);
    todo!()
}
