//! A snapshot as a table of the engine.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use lakebed_storage::{Storage, StoreCounters};
use lakebed_types::Result;

use crate::{ReadCaches, ScanCounters, Snapshot};

/// The provider that scans a snapshot. **Column names are lower case** (SQL matches without regard to case, the query
/// crate folds identifiers and restores the file's spelling in results), unless two columns of the table differ in case
/// only: those keep their spelling. File pruning happens in `scan`, on the snapshot alone; row groups and pages are
/// pruned while reading. `counters` counts this query's requests and bytes, `scans` its files.
#[expect(clippy::todo, reason = "being written")]
pub fn provider(
    snapshot: Arc<Snapshot>,
    storage: &Storage,
    counters: Arc<StoreCounters>,
    scans: Arc<ScanCounters>,
    caches: &ReadCaches,
) -> Result<Arc<dyn TableProvider>> {
    let _ = (snapshot, storage, counters, scans, caches);
    todo!()
}
