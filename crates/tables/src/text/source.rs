//! The scan of text files, as the engine sees it.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{DataFusionError, Result as EngineResult, tree_node::TreeNodeRecursion},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource},
        projection::{ProjectionOpener, SplitProjection},
        table_schema::TableSchema,
    },
    physical_plan::{
        DisplayFormatType, PhysicalExpr, apply_expression_roots,
        metrics::{ExecutionPlanMetricsSet, MetricBuilder},
        projection::ProjectionExprs,
    },
};
use lakebed_storage::ObjectVersion;
use object_store::ObjectStore;

use super::{
    chunks::{Cutter, MAX_RECORD_BYTES, Source},
    decode::FileDecoder,
    rows::{self, Pace},
};
use crate::{FileKind, Snapshot, snapshot::FileIndex};

/// Text files of one snapshot.
#[derive(Clone)]
pub(super) struct TextSource {
    snapshot: Arc<Snapshot>,
    table_schema: TableSchema,
    store: Arc<dyn ObjectStore>,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl TextSource {
    pub fn new(snapshot: Arc<Snapshot>, table_schema: &TableSchema, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            snapshot,
            table_schema: table_schema.clone(),
            store,
            projection: SplitProjection::unprojected(table_schema),
            batch_rows: 8192,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for TextSource {
    fn create_file_opener(
        &self,
        _registered: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> EngineResult<Arc<dyn FileOpener>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // One chunk more than there are cores for this file, so that none of them waits for the reader of the rows.
        let decoders = (cores / base_config.file_groups.len().max(1)).clamp(1, 16) + 1;
        let opener = Arc::new(TextOpener { source: self.clone(), decoders, partition }) as Arc<dyn FileOpener>;
        ProjectionOpener::try_new(self.projection.clone(), opener, self.table_schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_rows: batch_size.max(1), ..self.clone() })
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> EngineResult<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        match self.snapshot.kind() {
            FileKind::Parquet => "parquet",
            FileKind::Csv => "csv",
            FileKind::NdJson => "ndjson",
            FileKind::JsonArray => "json",
        }
    }

    /// A file is decoded in parallel from one stream: where its records end is only known from its beginning.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn fmt_extra(&self, _: DisplayFormatType, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), each)
    }
}

/// Opens the files of one partition of the scan.
struct TextOpener {
    source: TextSource,
    decoders: usize,
    partition: usize,
}

impl FileOpener for TextOpener {
    fn open(&self, partitioned: PartitionedFile) -> EngineResult<FileOpenFuture> {
        let TextSource { snapshot, table_schema, store, projection, batch_rows, metrics } = &self.source;
        let file =
            partitioned.extensions.get::<FileIndex>().and_then(|index| snapshot.files().get(index.0)).ok_or_else(
                || DataFusionError::Internal("a text file of the plan is not in its snapshot".to_owned()),
            )?;
        let schema = Arc::new(table_schema.file_schema().project(&projection.file_indices)?);
        let decoder = FileDecoder::new(file, snapshot.kind(), schema);
        let source = Source {
            store: Arc::clone(store),
            version: ObjectVersion::new(file.meta.clone()),
            name: snapshot.location().sibling(&file.meta.location).to_string(),
            bytes_scanned: MetricBuilder::new(metrics).counter("bytes_scanned", self.partition),
        };
        let cutter = Cutter::new(file, snapshot.kind(), MAX_RECORD_BYTES)
            .map_err(|damaged| DataFusionError::External(Box::new(source.corrupt(damaged.0))))?;
        let pace = Pace { decoders: self.decoders, batch_rows: *batch_rows };
        Ok(Box::pin(async move { Ok(rows::stream(source, cutter, decoder, pace)) }))
    }
}
