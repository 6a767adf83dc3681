//! Text formats: CSV, NDJSON and JSON arrays, plain or compressed.
//!
//! A file is one stream, whatever it holds: fetched ahead in ranges, inflated, cut into chunks of whole records
//! (`chunks`), and the chunks decoded side by side (`decode`), in order (`rows`). Text goes straight to the table's
//! column types, so files that disagree are widened while they are read. Types come from a part of each file
//! (`inspect`); a later value that does not fit is an error with file, row and column, never a NULL.

mod arrays;
mod chunks;
mod csv;
mod decode;
mod dialect;
mod infer;
mod inflate;
mod inspect;
mod json;
mod rows;
mod sniff;
mod source;
mod span;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use datafusion::datasource::{physical_plan::FileSource, table_schema::TableSchema};
use lakebed_types::Result;
use object_store::ObjectStore;

use crate::Snapshot;
pub(crate) use inspect::{HEAD_BYTES, inspect};

/// The scan of a text snapshot. `table_schema`: the columns as the table has them, lower-case names, partition columns
/// last; the files' columns are found by name without regard to case. `store`: counts this query's requests, and is used
/// instead of the engine's. Each `PartitionedFile` carries a [`FileIndex`](crate::snapshot::FileIndex) extension.
pub(crate) fn file_source(
    snapshot: &Arc<Snapshot>,
    table_schema: &TableSchema,
    store: Arc<dyn ObjectStore>,
) -> Result<Arc<dyn FileSource>> {
    Ok(Arc::new(source::TextSource::new(Arc::clone(snapshot), table_schema, store)))
}
