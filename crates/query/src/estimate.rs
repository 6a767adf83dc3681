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
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scans.push(scan.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(from_engine)?;
    let mut total = Estimate::default();
    for scan in &scans {
        if let Some(table) = of_scan(scan, tables)? {
            add(&mut total, table);
        }
    }
    total.price_usd = price(total.bytes, price_per_tib_usd);
    Ok(total)
}

fn of_scan(scan: &TableScan, tables: &[ReadTable]) -> Result<Option<TableEstimate>> {
    let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
    let Some(table) = tables.iter().find(|table| is_same(&table.provider, &provider)) else { return Ok(None) };
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
