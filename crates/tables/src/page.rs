//! A page of one Parquet file, without SQL.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use lakebed_storage::{Location, Storage};
use lakebed_types::Result;

use crate::ReadCaches;

/// Some rows of a file, in its order.
#[derive(Debug)]
pub struct Page {
    /// The file's columns.
    pub schema: SchemaRef,
    /// The rows; none past the end of the file.
    pub batches: Vec<RecordBatch>,
    /// Rows of the whole file.
    pub total_rows: u64,
}

/// A page of one Parquet file, straight from the right row group and page.
#[expect(clippy::todo, clippy::unused_async, reason = "being written")]
pub async fn read_page(
    storage: &Storage,
    caches: &ReadCaches,
    location: &Location,
    offset: u64,
    limit: usize,
) -> Result<Page> {
    let _ = (storage, caches, location, offset, limit);
    todo!()
}
