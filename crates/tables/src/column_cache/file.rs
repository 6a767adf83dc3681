//! One file in terms of its own columns: which row groups and columns a scan needs of it, and decoding them.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            ParquetFileMetrics,
            parquet::{PagePruningAccessPlanFilter, ParquetAccessPlan, RowGroupAccess, RowGroupAccessPlanFilter},
        },
    },
    error::Result,
    physical_expr::{
        PhysicalExpr,
        expressions::DynamicFilterTracking,
        projection::{ProjectionExprs, Projector},
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder},
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::TryStreamExt;
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    },
    file::metadata::{ColumnChunkMetaData, ParquetMetaData},
};

use super::store::{Chunk, KEPT_ROWS, compact};
use crate::{ReadCaches, caches::FileVersion, object::DataObject, reader::Reader};

/// Where a filter leaves less than one row in this many, reading just their pages is the better way.
const WORTH_ROWS: usize = 4;

/// What a scan wants of one file, in terms of the file's columns.
#[derive(Debug)]
pub(super) struct FileExprs {
    /// The file's columns as they are decoded.
    schema: SchemaRef,
    /// Places of the columns that are needed, ascending.
    pub(super) columns: Vec<usize>,
    /// These columns alone.
    pub(super) needed: SchemaRef,
    projector: Projector,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    pruned_in_list: usize,
    /// What the scan promised.
    output: SchemaRef,
}

impl FileExprs {
    pub(super) fn new(
        schema: SchemaRef,
        projection: ProjectionExprs,
        predicate: Option<Arc<dyn PhysicalExpr>>,
        output: SchemaRef,
        pruned_in_list: usize,
    ) -> Result<Self> {
        let used = projection.expr_iter().flat_map(|expr| collect_columns(&expr));
        let columns: BTreeSet<usize> = used.map(|column| column.index()).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let needed = Arc::new(schema.project(&columns)?);
        let rebased = projection.try_map_exprs(|expr| reassign_expr_columns(expr, &needed))?;
        let projector = rebased.make_projector(&needed)?;
        Ok(Self { schema, columns, needed, projector, predicate, pruned_in_list, output })
    }

    fn pruning(&self) -> Option<Arc<PruningPredicate>> {
        // A filter that statistics cannot decide prunes nothing.
        let predicate = Arc::clone(self.predicate.as_ref()?);
        PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.schema))
            .with_max_in_list_size(self.pruned_in_list)
            .build(predicate)
    }

    /// Columns of the file as the scan's rows.
    pub(super) fn batch(&self, arrays: Vec<ArrayRef>) -> Result<RecordBatch> {
        let rows = arrays.first().map_or(0, |array| array.len());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.needed), arrays, &options)?;
        let (_, arrays, _) = self.projector.project_batch(&batch)?.into_parts();
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), arrays, &options)?)
    }
}

/// A file whose footer is known.
#[derive(Debug)]
pub(super) struct OpenedFile {
    pub(super) version: Arc<FileVersion>,
    pub(super) object: DataObject,
    pub(super) footer: Arc<ParquetMetaData>,
    pub(super) exprs: FileExprs,
}

impl OpenedFile {
    /// Row groups of the file's range that statistics do not rule out.
    pub(super) fn groups(&self, file: &PartitionedFile) -> VecDeque<usize> {
        let mut groups = self.in_range(file);
        if let Some(pruning) = self.exprs.pruning() {
            self.prune(&mut groups, &pruning);
        }
        groups.row_group_indexes().collect()
    }

    pub(super) fn groups_in_range(&self, file: &PartitionedFile) -> usize {
        self.in_range(file).remaining_row_group_count()
    }

    fn in_range(&self, file: &PartitionedFile) -> RowGroupAccessPlanFilter {
        let groups = self.footer.row_groups();
        let mut chosen = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = &file.range {
            chosen.prune_by_range(groups, range);
        }
        chosen
    }

    fn prune(&self, groups: &mut RowGroupAccessPlanFilter, pruning: &PruningPredicate) {
        let descriptor = self.footer.file_metadata().schema_descr();
        let uncounted = uncounted_metrics();
        groups.prune_by_statistics(&self.exprs.schema, descriptor, self.footer.row_groups(), pruning, &uncounted);
    }

    /// Whether a filter that grows while the query runs rules the row group out by now.
    pub(super) fn is_ruled_out_by_now(&self, group: usize) -> bool {
        let grows = |predicate| DynamicFilterTracking::classify(predicate).contains_dynamic_filter();
        let grows = self.exprs.predicate.as_ref().is_some_and(grows);
        let Some(pruning) = grows.then(|| self.exprs.pruning()).flatten() else { return false };
        let mut plan = ParquetAccessPlan::new_none(self.footer.num_row_groups());
        plan.scan(group);
        let mut groups = RowGroupAccessPlanFilter::new(plan);
        self.prune(&mut groups, &pruning);
        groups.is_empty()
    }

    /// Whether the page indexes show that the filter leaves few rows of these groups.
    pub(super) fn is_selective(&self, groups: &VecDeque<usize>) -> bool {
        let Some(predicate) = self.exprs.predicate.as_ref().filter(|_| self.footer.column_index().is_some()) else {
            return false;
        };
        let filter = PagePruningAccessPlanFilter::new(predicate, Arc::clone(&self.exprs.schema));
        let mut plan = ParquetAccessPlan::new_none(self.footer.num_row_groups());
        groups.iter().for_each(|group| plan.scan(*group));
        let descriptor = self.footer.file_metadata().schema_descr();
        let metrics = uncounted_metrics();
        let plan = filter.prune_plan_with_page_index(plan, &self.exprs.schema, descriptor, &self.footer, &metrics);
        let rows_of = |group: &usize| self.footer.row_group(*group).num_rows() as usize;
        let left = |group: &usize| match &plan.inner()[*group] {
            RowGroupAccess::Skip => 0,
            RowGroupAccess::Scan => rows_of(group),
            RowGroupAccess::Selection(rows) => rows.row_count(),
        };
        groups.iter().map(left).sum::<usize>() < groups.iter().map(rows_of).sum::<usize>() / WORTH_ROWS
    }

    /// About what the needed columns of a row group take in memory.
    pub(super) fn decoded_bytes(&self, group: usize) -> u64 {
        self.bytes(group, &self.exprs.columns, ColumnChunkMetaData::uncompressed_size)
    }

    /// What these columns of a row group take in the file.
    pub(super) fn stored_bytes(&self, group: usize, columns: &[usize]) -> u64 {
        self.bytes(group, columns, ColumnChunkMetaData::compressed_size)
    }

    fn bytes(&self, group: usize, columns: &[usize], size: impl Fn(&ColumnChunkMetaData) -> i64) -> u64 {
        let descriptor = self.footer.file_metadata().schema_descr();
        let leaves = self.footer.row_group(group).columns().iter().enumerate();
        let leaves = leaves.filter(|(leaf, _)| columns.contains(&descriptor.get_column_root_idx(*leaf)));
        leaves.filter_map(|(_, chunk)| u64::try_from(size(chunk)).ok()).sum()
    }

    /// Decodes columns of a row group as a whole.
    pub(super) async fn decode(&self, caches: &ReadCaches, group: usize, columns: &[usize]) -> Result<Vec<Chunk>> {
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(&self.exprs.schema));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&self.footer), options)?;
        let mask = ProjectionMask::roots(self.footer.file_metadata().schema_descr(), columns.iter().copied());
        let reader = Reader::plain(self.object.clone(), caches.clone());
        let batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(KEPT_ROWS)
            .build()?;
        let mut arrays: Vec<Vec<ArrayRef>> = vec![Vec::new(); columns.len()];
        let mut batches = std::pin::pin!(batches);
        while let Some(batch) = batches.try_next().await? {
            for (column, array) in arrays.iter_mut().zip(batch.columns()) {
                column.push(compact(Arc::clone(array)));
            }
        }
        Ok(arrays.into_iter().map(Chunk::from).collect())
    }
}

/// Metrics that no plan shows.
fn uncounted_metrics() -> ParquetFileMetrics {
    ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new())
}
