//! What a query would read, from its plan and the snapshots alone.

use std::sync::Arc;

use datafusion::{
    catalog::TableProvider,
    common::tree_node::TreeNodeRecursion,
    datasource::source_as_provider,
    logical_expr::{LogicalPlan, TableScan},
};
use lakebed_types::{Estimate, Result, TableEstimate};

use crate::{error::from_engine, resolve::ReadTable, stats::price};

/// Adds up the scans of an optimized plan. A table that is scanned twice counts twice.
pub(crate) fn estimate(plan: &LogicalPlan, tables: &[ReadTable], price_per_tib_usd: f64) -> Result<Estimate> {
    let mut total = Estimate::default();
    for scan in &scans(plan)? {
        if let Some(table) = of_scan(scan, tables)? {
            add(&mut total, table);
        }
    }
    total.price_usd = price(total.bytes, price_per_tib_usd);
    Ok(total)
}

/// Bytes that no estimate exceeds: whole files, without a look at statistics.
pub(crate) fn at_most(plan: &LogicalPlan, tables: &[ReadTable]) -> Result<u64> {
    let of_scan = |scan: &TableScan| Some(read_table(scan, tables)?.snapshot.as_ref()?.bytes());
    Ok(scans(plan)?.iter().filter_map(of_scan).sum())
}

fn scans(plan: &LogicalPlan) -> Result<Vec<TableScan>> {
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scans.push(scan.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(from_engine)?;
    Ok(scans)
}

fn read_table<'a>(scan: &TableScan, tables: &'a [ReadTable]) -> Option<&'a ReadTable> {
    let provider = source_as_provider(&scan.source).ok()?;
    tables.iter().find(|table| is_same(&table.provider, &provider))
}

fn of_scan(scan: &TableScan, tables: &[ReadTable]) -> Result<Option<TableEstimate>> {
    let Some(table) = read_table(scan, tables) else { return Ok(None) };
    let Some(snapshot) = &table.snapshot else { return Ok(None) };
    let columns: Vec<String> = scan.projected_schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut estimate = lakebed_tables::estimate(snapshot, &columns, &scan.filters)?;
    estimate.table.clone_from(&table.label);
    Ok(Some(estimate))
}

fn is_same(a: &Arc<dyn TableProvider>, b: &Arc<dyn TableProvider>) -> bool {
    Arc::as_ptr(a).cast::<()>() == Arc::as_ptr(b).cast::<()>()
}

fn add(total: &mut Estimate, table: TableEstimate) {
    total.files += table.files;
    total.files_pruned += table.files_pruned;
    total.row_groups += table.row_groups;
    total.rows += table.rows;
    total.bytes += table.bytes;
    total.tables.push(table);
}
