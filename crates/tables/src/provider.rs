//! A snapshot as a table of the engine.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, Statistics},
    error::Result as EngineResult,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use lakebed_storage::{Storage, StoreCounters};
use lakebed_types::Result;
use object_store::ObjectStore;

use crate::{
    ReadCaches, ScanCounters, Snapshot,
    prune::{has_subquery, surviving, touches_partitions_only},
    scan::{Scan, plan},
};

/// The provider that scans a snapshot. **Column names are lower case** (SQL matches without regard to case, the query
/// crate folds identifiers and restores the file's spelling in results), unless two columns of the table differ in case
/// only: those keep their spelling. Column number `n` here is column number `n` of [`Snapshot::schema`].
///
/// File pruning happens in `scan`, on the snapshot alone; row groups and pages are pruned while reading. `counters` counts
/// this query's requests and bytes, `scans` its files. An error from reading a file holds a [`lakebed_types::Error`] in
/// its chain of sources, which names the file.
pub fn provider(
    snapshot: Arc<Snapshot>,
    storage: &Storage,
    counters: Arc<StoreCounters>,
    scans: Arc<ScanCounters>,
    caches: &ReadCaches,
) -> Result<Arc<dyn TableProvider>> {
    let store = storage.counted(snapshot.location(), Arc::clone(&counters))?;
    Ok(Arc::new(SnapshotTable { snapshot, store, counters, scans, caches: caches.clone() }))
}

#[derive(Debug)]
struct SnapshotTable {
    snapshot: Arc<Snapshot>,
    store: Arc<dyn ObjectStore>,
    counters: Arc<StoreCounters>,
    scans: Arc<ScanCounters>,
    caches: ReadCaches,
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.snapshot.shape().schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let schema = DFSchema::try_from(Arc::clone(self.snapshot.shape().schema()))?;
        let filters_here = filters.iter().filter(|filter| !has_subquery(filter));
        let predicates = filters_here.map(|filter| session.create_physical_expr(filter.clone(), &schema));
        let predicates = predicates.collect::<EngineResult<Vec<_>>>()?;
        let files = surviving(&self.snapshot, &predicates)?;
        let all_decided = filters.iter().all(|filter| touches_partitions_only(&self.snapshot, filter));
        let scan = Scan {
            snapshot: &self.snapshot,
            store: &self.store,
            store_counters: &self.counters,
            caches: &self.caches,
            projection,
            predicates,
            // Behind a filter that rows still have to pass, the first rows may not be the ones.
            limit: limit.filter(|_| all_decided),
        };
        plan(session, scan, files, &self.scans)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if touches_partitions_only(&self.snapshot, filter) {
                TableProviderFilterPushDown::Exact
            } else if has_subquery(filter) {
                TableProviderFilterPushDown::Unsupported
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.snapshot.whole_statistics().clone())
    }
}
