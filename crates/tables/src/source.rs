//! The seam around the engine's Parquet scan: statistics per file that are made when a file is opened, errors that name
//! the file, and kept columns in place of decoding where there are some.

use std::{
    fmt::{self, Formatter},
    sync::Arc,
};

use datafusion::{
    common::tree_node::TreeNodeRecursion,
    config::ConfigOptions,
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileOpener, FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result},
    physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr, projection::ProjectionExprs},
    physical_plan::{
        DisplayFormatType, SortOrderPushdownResult, filter_pushdown::FilterPushdownPropagation,
        metrics::ExecutionPlanMetricsSet,
    },
};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::{StreamExt, stream::BoxStream};
use lakebed_storage::Location;
use lakebed_types::{Error, ErrorKind};
use object_store::ObjectStore;
use parquet::errors::ParquetError;

use crate::{
    Snapshot,
    caches::damaged,
    column_cache::{ColumnMorsel, ColumnScan, ColumnSource},
    contained::{contained, contained_step, contained_stream},
    snapshot::FileIndex,
};

/// The scan of a Parquet snapshot: the engine's, with ours around it.
#[derive(Clone)]
pub(crate) struct SnapshotSource {
    inner: Arc<dyn FileSource>,
    snapshot: Arc<Snapshot>,
    /// None where kept columns are of no use: rows are filtered while they are decoded, or come in another order.
    columns: Option<ColumnSource>,
    batch_rows: usize,
}

impl SnapshotSource {
    /// `columns`: None for a scan that kept columns cannot serve.
    pub(crate) fn new(inner: Arc<dyn FileSource>, snapshot: Arc<Snapshot>, columns: Option<ColumnSource>) -> Self {
        Self { inner, snapshot, columns, batch_rows: 0 }
    }

    fn wrap(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, ..self.clone() })
    }

    fn wrap_sorted(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, columns: None, ..self.clone() })
    }
}

impl FileSource for SnapshotSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(store, config, partition)?;
        let columns = self.columns.as_ref();
        let columns = columns.and_then(|from| ColumnScan::new(from, &*self.inner, self.batch_rows, config, partition));
        let snapshot = Arc::clone(&self.snapshot);
        Ok(Box::new(SnapshotMorsels { inner: inner.into(), snapshot, columns: columns.map(Arc::new) }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { inner: self.inner.with_batch_size(batch_size), batch_rows: batch_size, ..self.clone() })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_filters(filters, config)?;
        let updated_node = pushed.updated_node.map(|inner| self.wrap(inner));
        Ok(FilterPushdownPropagation { filters: pushed.filters, updated_node })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => {
                SortOrderPushdownResult::Exact { inner: self.wrap_sorted(inner) }
            }
            SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: self.wrap_sorted(inner) }
            }
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.wrap(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// Opens the files of one partition of a scan.
#[derive(Debug)]
struct SnapshotMorsels {
    inner: Arc<dyn Morselizer>,
    snapshot: Arc<Snapshot>,
    columns: Option<Arc<ColumnScan>>,
}

impl Morselizer for SnapshotMorsels {
    fn plan_file(&self, mut file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let location = Arc::new(self.snapshot.location().sibling(&file.object_meta.location));
        if file.statistics.is_none()
            && let Some(FileIndex(index)) = file.extension::<FileIndex>().copied()
        {
            file.statistics = Some(Arc::new(self.snapshot.one_file_statistics(index)));
        }
        let inner: Box<dyn MorselPlanner> = match &self.columns {
            Some(columns) => {
                let (columns, engine) = (Arc::clone(columns), Arc::clone(&self.inner));
                Box::new(ColumnPlanner { columns, engine, file: Box::new(file), location: Arc::clone(&location) })
            }
            None => step(&location, || self.inner.plan_file(file))?,
        };
        Ok(Box::new(NamedPlanner { inner, location }))
    }
}

/// Goes by kept columns where that is worth it, else the engine's way.
#[derive(Debug)]
struct ColumnPlanner {
    columns: Arc<ColumnScan>,
    engine: Arc<dyn Morselizer>,
    file: Box<PartitionedFile>,
    location: Arc<Location>,
}

impl MorselPlanner for ColumnPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { columns, engine, file, location } = *self;
        Ok(Some(MorselPlan::new().with_pending_planner(async move {
            match columns.open(&file, &location).await? {
                Some(morsel) => Ok(Box::new(ReadyPlanner { morsel }) as Box<dyn MorselPlanner>),
                None => engine.plan_file(*file),
            }
        })))
    }
}

/// A file that is open.
#[derive(Debug)]
struct ReadyPlanner {
    morsel: ColumnMorsel,
}

impl MorselPlanner for ReadyPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(Some(MorselPlan::new().with_morsels(vec![Box::new(self.morsel)])))
    }
}

/// A step of opening a file, whose errors name the file.
#[derive(Debug)]
struct NamedPlanner {
    inner: Box<dyn MorselPlanner>,
    location: Arc<Location>,
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, location } = *self;
        let Some(mut plan) = step(&location, || inner.plan())? else {
            return Ok(None);
        };
        let name = |inner| Box::new(NamedPlanner { inner, location: Arc::clone(&location) }) as Box<dyn MorselPlanner>;
        let planners = plan.take_ready_planners().into_iter().map(name).collect();
        let morsels = plan
            .take_morsels()
            .into_iter()
            .map(|inner| Box::new(NamedMorsel { inner, location: Arc::clone(&location) }) as Box<dyn Morsel>);
        let mut named_plan = MorselPlan::new().with_morsels(morsels.collect()).with_planners(planners);
        if let Some(pending) = plan.take_pending_planner() {
            named_plan.set_pending_planner(async move {
                let planned = contained(&location, pending).await.map_err(ours)?;
                let inner = planned.map_err(|error| named(error, &location))?;
                Ok(Box::new(NamedPlanner { inner, location }) as Box<dyn MorselPlanner>)
            });
        }
        Ok(Some(named_plan))
    }
}

/// Rows of a file, whose errors name the file.
#[derive(Debug)]
struct NamedMorsel {
    inner: Box<dyn Morsel>,
    location: Arc<Location>,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<arrow::array::RecordBatch>> {
        let Self { inner, location } = *self;
        let batches = contained_stream(Arc::clone(&location), inner.into_stream());
        batches.map(move |batch| batch.map_err(ours)?.map_err(|error| named(error, &location))).boxed()
    }
}

/// A step of opening a file, whose errors name the file.
fn step<T>(location: &Location, open: impl FnOnce() -> Result<T>) -> Result<T> {
    contained_step(location, open).map_err(ours)?.map_err(|error| named(error, location))
}

/// What went wrong in this file. Our own errors name it already; what the Parquet reader or a cast says does not.
fn named(error: DataFusionError, location: &Location) -> DataFusionError {
    if holds_ours(&error) {
        return error;
    }
    match error {
        DataFusionError::ParquetError(error) => ours(damaged(location, *error)),
        DataFusionError::ArrowError(error, _) => match *error {
            arrow::error::ArrowError::ParquetError(message) => ours(damaged(location, ParquetError::General(message))),
            error => ours(Error::new(ErrorKind::InvalidValue, format!("{location}: {error}")).with_source(error)),
        },
        other => other,
    }
}

fn ours(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn holds_ours(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Error>())
}
