//! Text formats: CSV, NDJSON and JSON arrays, plain or compressed.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::{physical_plan::FileSource, table_schema::TableSchema};
use lakebed_storage::{Location, Storage};
use lakebed_types::{Error, Result};
use object_store::{ObjectMeta, ObjectStore};

use crate::{Inspection, Rejected, Snapshot};

/// Looks into a file that is no Parquet. `head`: the first bytes of the file, at most [`HEAD_BYTES`] of them.
#[expect(clippy::unused_async, reason = "being written")]
pub(crate) async fn inspect(
    storage: &Storage,
    location: &Location,
    meta: &ObjectMeta,
    head: Bytes,
) -> Result<Result<Inspection, Rejected>> {
    let _ = (storage, location, meta, head);
    Ok(Err(Rejected::Unsupported("text files are not read yet".to_owned())))
}

/// How much of a file's beginning [`inspect`] is given; the whole file if it is shorter.
pub(crate) const HEAD_BYTES: u64 = 256 * 1024;

/// The scan of a text snapshot. `table_schema`: the columns as the table has them, lower-case names, partition columns
/// last; the files' columns are found by name without regard to case (`columns::match_columns`). `store`: counts this
/// query's requests; use it instead of the engine's. Each `PartitionedFile` that comes to the opener carries a
/// [`FileIndex`](crate::snapshot::FileIndex) extension: its place in `snapshot.files()`, where its compression and
/// dialect stand; its partition values are typed as in `table_schema`.
pub(crate) fn file_source(
    snapshot: &Arc<Snapshot>,
    table_schema: &TableSchema,
    store: Arc<dyn ObjectStore>,
) -> Result<Arc<dyn FileSource>> {
    let _ = (snapshot, table_schema, store);
    Err(Error::internal("text files are not scanned yet"))
}
