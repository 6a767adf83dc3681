//! What a scan would read, from the snapshot alone.

use datafusion::logical_expr::Expr;
use lakebed_types::{Result, TableEstimate};

use crate::Snapshot;

/// What a scan of these columns under these filters would read. From the snapshot alone.
#[expect(clippy::todo, reason = "being written")]
pub fn estimate(snapshot: &Snapshot, columns: &[String], filters: &[Expr]) -> Result<TableEstimate> {
    let _ = (snapshot, columns, filters);
    todo!()
}
