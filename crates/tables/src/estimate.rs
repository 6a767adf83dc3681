//! What a scan would read, from the snapshot alone.

use std::sync::Arc;

use datafusion::{
    common::DFSchema,
    execution::context::ExecutionProps,
    logical_expr::{Expr, expr_rewriter::unnormalize_cols, physical_planning_context::PhysicalPlanningContext},
    physical_expr::create_physical_expr,
};
use lakebed_types::{Error, Result, TableEstimate};

use crate::{DataFile, Snapshot, prune::surviving};

/// What a scan of these columns under these filters would read: files that are left after pruning, with their row groups and
/// rows as a whole, and the compressed bytes of the columns. From the snapshot alone. Columns and filters are as in a scan
/// of [`provider`](crate::provider)'s table; `table` of the answer is the location.
pub fn estimate(snapshot: &Snapshot, columns: &[String], filters: &[Expr]) -> Result<TableEstimate> {
    let failed = |error| Error::internal("the filters of a scan cannot be used for its estimate").with_source(error);
    let schema = DFSchema::try_from(Arc::clone(snapshot.shape().schema())).map_err(failed)?;
    let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    // A filter that only a run can evaluate rules nothing out.
    let predicates = unnormalize_cols(filters.iter().cloned());
    let physical = |filter| create_physical_expr(filter, &schema, &properties, &context).ok();
    let predicates: Vec<_> = predicates.iter().filter_map(physical).collect();
    let files = surviving(snapshot, &predicates).map_err(failed)?;
    let places = columns.iter().filter_map(|name| snapshot.shape().schema().index_of(name).ok());
    let places: Vec<usize> = places.filter(|place| *place < snapshot.shape().file_columns()).collect();
    let mut estimate = TableEstimate {
        table: snapshot.location().to_string(),
        columns: columns.to_vec(),
        files: files.len() as u64,
        files_pruned: (snapshot.files().len() - files.len()) as u64,
        ..TableEstimate::default()
    };
    for index in files {
        let file = &snapshot.files()[index];
        estimate.rows += file.summary.rows().unwrap_or(0);
        estimate.row_groups += file.summary.row_groups().unwrap_or(0);
        estimate.bytes += column_bytes(snapshot, index, file, &places);
    }
    Ok(estimate)
}

fn column_bytes(snapshot: &Snapshot, index: usize, file: &DataFile, columns: &[usize]) -> u64 {
    let known = file.summary.columns();
    if known.is_empty() {
        return file.meta.size;
    }
    let places = &snapshot.layouts().of(index).places;
    let found = columns.iter().filter_map(|column| places[*column]).filter_map(|place| known.get(place));
    found.map(|column| column.compressed_bytes).sum()
}
