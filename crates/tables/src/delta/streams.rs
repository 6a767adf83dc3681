//! Rows of data files as streams, for merging.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::DataFusionError,
    execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool},
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        SendableRecordBatchStream,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet},
        sorts::streaming_merge::StreamingMergeBuilder,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use lakebed_storage::{Location, Storage};
use lakebed_types::{Error, Result};
use parquet::{arrow::ParquetRecordBatchStreamBuilder, errors::ParquetError};

use super::{
    encode::{FileLayout, GATHERED_BYTES, ORDER, fit},
    merge::DECODED,
    state::ActiveFile,
};
use crate::{ReadCaches, caches::damaged, object::DataObject, reader::Reader};

/// Rows that come out of a merge at once, at most.
const BATCH_ROWS: usize = 8192;
/// Rows that one of many inputs gives at once, at most.
const INPUT_ROWS: usize = 1024;

/// Files whose rows follow each other in the order of the table.
pub(super) type Run = Vec<Arc<ActiveFile>>;

/// The rows of several runs, in the order of the table.
pub(super) fn merged(
    storage: &Storage,
    table: &Location,
    layout: &FileLayout,
    runs: Vec<Run>,
) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
    let schema = &layout.file_schema;
    let batch_rows = rows_at_once(&runs);
    // Footers are read once each here, so nothing of them is kept.
    let caches = ReadCaches::new(0, 0);
    let inputs: Vec<SendableRecordBatchStream> = runs
        .into_iter()
        .map(|run| {
            let rows = rows_of(storage.clone(), table.clone(), Arc::clone(schema), caches.clone(), run, batch_rows);
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows)) as SendableRecordBatchStream
        })
        .collect();
    let ordering = layout.sort.iter().filter_map(|name| {
        let place = schema.index_of(name).ok()?;
        Some(PhysicalSortExpr::new(Arc::new(Column::new(name, place)), ORDER))
    });
    let merged = match LexOrdering::new(ordering) {
        Some(ordering) if inputs.len() > 1 => merge(inputs, &ordering, schema, batch_rows)?,
        _ => {
            let one_by_one = stream::iter(inputs).flatten();
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), one_by_one)) as SendableRecordBatchStream
        }
    };
    Ok(merged.map_err(ours))
}

/// Fewer rows where they are wide: those that are merged at once are in memory together, and once more when they come out.
fn rows_at_once(runs: &[Run]) -> usize {
    let width = |file: &Arc<ActiveFile>| {
        let rows = file.data.summary.rows().filter(|rows| *rows > 0)?;
        Some(file.add.size.saturating_mul(DECODED) / rows)
    };
    let widest = runs.iter().flatten().filter_map(width).max().unwrap_or(0);
    let fit = (GATHERED_BYTES as u64).checked_div(widest).unwrap_or(u64::MAX);
    usize::try_from(fit).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
}

fn merge(
    inputs: Vec<SendableRecordBatchStream>,
    ordering: &LexOrdering,
    schema: &SchemaRef,
    batch_rows: usize,
) -> Result<SendableRecordBatchStream> {
    // The number of inputs is chosen by what they need; nothing else draws on this pool.
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    StreamingMergeBuilder::new()
        .with_streams(inputs)
        .with_schema(Arc::clone(schema))
        .with_expressions(ordering)
        .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
        .with_batch_size(batch_rows)
        .with_reservation(MemoryConsumer::new("merge of a partition").register(&pool))
        .build()
        .map_err(|error| Error::internal("files cannot be merged").with_source(error))
}

fn rows_of(
    storage: Storage,
    table: Location,
    schema: SchemaRef,
    caches: ReadCaches,
    run: Run,
    batch_rows: usize,
) -> impl Stream<Item = std::result::Result<RecordBatch, DataFusionError>> + Send {
    let opened = stream::iter(run).then(move |file| {
        let (storage, table, schema, caches) = (storage.clone(), table.clone(), Arc::clone(&schema), caches.clone());
        async move { open(&storage, &table, schema, caches, &file, batch_rows).await }
    });
    opened.try_flatten().map_err(|error| DataFusionError::External(Box::new(error)))
}

async fn open(
    storage: &Storage,
    table: &Location,
    schema: SchemaRef,
    caches: ReadCaches,
    file: &ActiveFile,
    batch_rows: usize,
) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
    let location = table.sibling(&file.data.meta.location);
    let object = DataObject::new(storage.store(&location)?, location.clone(), file.data.meta.clone());
    let reader = Reader::plain(object, caches);
    let named = {
        let location = location.clone();
        move |error| unreadable(&location, error)
    };
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(&named)?;
    let rows = builder.with_batch_size(batch_rows.min(INPUT_ROWS)).build().map_err(&named)?;
    Ok(rows.map(move |batch| fit(&batch.map_err(&named)?, &schema)))
}

/// An error of the store keeps its kind.
fn unreadable(location: &Location, error: ParquetError) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<Error>() {
            Ok(error) => *error,
            Err(cause) => damaged(location, ParquetError::External(cause)),
        },
        error => damaged(location, error),
    }
}

/// The error of ours that the engine carried.
fn ours(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(cause) => match cause.downcast::<Error>() {
            Ok(error) => *error,
            Err(cause) => Error::internal("files cannot be merged").with_source(cause),
        },
        error => Error::internal("files cannot be merged").with_source(error),
    }
}
