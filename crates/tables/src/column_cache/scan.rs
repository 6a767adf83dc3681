//! Which files are scanned by kept columns, and what of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use datafusion::{
    common::ScalarValue,
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileScanConfig, FileSource, ParquetFileMetrics,
            parquet::{ParquetAccessPlan, apply_file_schema_type_coercions},
        },
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result},
    physical_expr::{PhysicalExpr, projection::ProjectionExprs, simplifier::PhysicalExprSimplifier},
    physical_expr_adapter::{PhysicalExprAdapterFactory, replace_columns_with_literals},
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use lakebed_storage::Location;

use super::{
    file::{FileExprs, OpenedFile},
    rows::{ColumnMorsel, Reading},
    store::{ColumnCache, FEWEST_BATCH_ROWS, ScanNumber},
};
use crate::{
    adapter::FileColumns,
    caches::{FileVersion, TAIL_BYTES, shared},
    object::DataObject,
    reader::Readers,
};

/// What a scan of kept columns needs besides the engine's description of it.
#[derive(Debug, Clone)]
pub(crate) struct ColumnSource {
    pub(crate) readers: Arc<Readers>,
    pub(crate) columns: ColumnCache,
    pub(crate) scan: ScanNumber,
    /// Longer lists of values prune no row groups.
    pub(crate) pruned_in_list: usize,
}

/// One partition's scan, as far as kept columns can serve it.
#[derive(Debug)]
pub(crate) struct ColumnScan {
    from: ColumnSource,
    batch_rows: usize,
    table: TableSchema,
    projection: ProjectionExprs,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    limited: bool,
    metrics: ExecutionPlanMetricsSet,
    partition: usize,
}

impl ColumnScan {
    /// The scan that `source` describes; None where it reads too little or too wide rows for columns to be kept.
    pub(crate) fn new(
        from: &ColumnSource,
        source: &dyn FileSource,
        batch_rows: usize,
        config: &FileScanConfig,
        partition: usize,
    ) -> Option<Self> {
        let projection = source.projection()?.clone();
        (batch_rows >= FEWEST_BATCH_ROWS).then(|| Self {
            from: from.clone(),
            batch_rows,
            table: source.table_schema().clone(),
            projection,
            predicate: source.filter(),
            limited: config.limit.is_some(),
            metrics: source.metrics().clone(),
            partition,
        })
    }

    /// The rows of the file (or of its range) from kept columns, decoding and keeping what is missing; None where the
    /// engine's own way is the better one.
    ///
    /// # Errors
    /// What reading the footer says.
    pub(crate) async fn open(&self, file: &PartitionedFile, location: &Location) -> Result<Option<ColumnMorsel>> {
        if file.extension::<ParquetAccessPlan>().is_some() {
            return Ok(None);
        }
        let Some(exprs) = self.exprs_of(file)? else { return Ok(None) };
        let version = Arc::new(FileVersion::new(location.clone(), &file.object_meta));
        let ColumnSource { readers, columns, scan, .. } = &self.from;
        if exprs.columns.is_empty() || !columns.wanted_before(*scan, &version, &exprs.columns).await {
            return Ok(None);
        }
        let store = Arc::clone(&readers.store);
        let object = DataObject::new(store, location.clone(), file.object_meta.clone());
        let footer = readers.caches.footer(&object, readers.indexed, tail_bytes(file)).await;
        let footer = footer.map_err(|error| DataFusionError::External(Box::new(shared(error))))?;
        let opened = OpenedFile { version, object, footer, exprs };
        let groups = opened.groups(file);
        if !self.is_worth_it(&opened, &groups) {
            return Ok(None);
        }
        let name = file.object_meta.location.as_ref();
        let metrics = ParquetFileMetrics::new(self.partition, name, &self.metrics);
        metrics.row_groups_pruned_statistics.add_matched(groups.len());
        metrics.row_groups_pruned_statistics.add_pruned(opened.groups_in_range(file) - groups.len());
        let (columns, readers, batch_rows) = (columns.clone(), Arc::clone(readers), self.batch_rows);
        Ok(Some(ColumnMorsel::new(Reading { file: opened, columns, readers, batch_rows, groups, metrics })))
    }

    /// Projection and filter in terms of the file's columns. None where the file's schema is not known beforehand.
    fn exprs_of(&self, file: &PartitionedFile) -> Result<Option<FileExprs>> {
        let Some(schema) = &file.arrow_schema else { return Ok(None) };
        let table = self.table.file_schema();
        let schema = match apply_file_schema_type_coercions(table, schema) {
            Some(coerced) => Arc::new(coerced),
            None => Arc::clone(schema),
        };
        let partitions = self.table.table_partition_cols().iter().zip(&file.partition_values);
        let literals: HashMap<String, ScalarValue> =
            partitions.map(|(field, value)| (field.name().clone(), value.clone())).collect();
        let adapter = FileColumns.create(Arc::clone(table), Arc::clone(&schema))?;
        let simplifier = PhysicalExprSimplifier::new(&schema);
        let adapt = |expr: Arc<dyn PhysicalExpr>| {
            let expr = replace_columns_with_literals(expr, &literals)?;
            simplifier.simplify(adapter.rewrite(expr)?)
        };
        let output = Arc::new(self.projection.project_schema(self.table.table_schema())?);
        let projection = self.projection.clone().try_map_exprs(adapt)?;
        let predicate = self.predicate.clone().map(adapt).transpose()?;
        FileExprs::new(schema, projection, predicate, output, self.from.pruned_in_list).map(Some)
    }

    /// Whether to go by columns: all are here, or those that are missing will serve later queries too.
    fn is_worth_it(&self, file: &OpenedFile, groups: &VecDeque<usize>) -> bool {
        let here = |group: &usize| {
            let mut columns = file.exprs.columns.iter();
            columns.all(|column| self.from.columns.holds(&file.version, *group, *column))
        };
        if groups.iter().all(here) {
            return true;
        }
        let fits = |group: &usize| file.decoded_bytes(*group) <= self.from.columns.largest_group();
        !self.limited && groups.iter().all(fits) && !file.is_selective(groups)
    }
}

fn tail_bytes(file: &PartitionedFile) -> u64 {
    file.metadata_size_hint.map_or(TAIL_BYTES, |hint| hint as u64)
}
