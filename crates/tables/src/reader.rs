//! How the engine's Parquet scan gets at bytes and footers: through the query's counted store and the shared caches.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::{
    datasource::{
        listing::PartitionedFile,
        physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory},
    },
    error::Result as EngineResult,
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use lakebed_storage::{Location, StoreCounters};
use lakebed_types::Error;
use object_store::ObjectStore;
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::{ParquetError, Result},
    file::metadata::ParquetMetaData,
};

use crate::{
    ReadCaches,
    caches::{TAIL_BYTES, shared},
    object::DataObject,
};

/// Makes a reader per file of one scan.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Any location of the store that holds the files.
    pub(crate) location: Location,
    pub(crate) caches: ReadCaches,
    /// The query's.
    pub(crate) counters: Arc<StoreCounters>,
    /// Whether footers are wanted with their page indexes: there is something to prune pages by.
    pub(crate) indexed: bool,
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> EngineResult<Box<dyn AsyncFileReader + Send>> {
        let metrics = ParquetFileMetrics::new(partition_index, file.object_meta.location.as_ref(), metrics);
        let location = self.location.sibling(&file.object_meta.location);
        Ok(Box::new(Reader {
            object: DataObject::new(Arc::clone(&self.store), location, file.object_meta),
            caches: self.caches.clone(),
            indexed: self.indexed,
            tail_bytes: metadata_size_hint.map_or(TAIL_BYTES, |hint| hint as u64),
            metrics: Some(metrics),
        }))
    }
}

/// Reads one file.
pub(crate) struct Reader {
    object: DataObject,
    caches: ReadCaches,
    indexed: bool,
    tail_bytes: u64,
    metrics: Option<ParquetFileMetrics>,
}

impl Reader {
    /// A reader outside any plan, which counts nothing.
    pub(crate) fn plain(object: DataObject, caches: ReadCaches) -> Self {
        Self { object, caches, indexed: true, tail_bytes: TAIL_BYTES, metrics: None }
    }

    fn count(&self, bytes: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.bytes_scanned.add(bytes as usize);
        }
    }
}

fn external(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.count(range.end.saturating_sub(range.start));
        self.object.read(range).map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        self.count(ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum());
        async move { self.object.read_many(&ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let footer = self.caches.footer(&self.object, self.indexed, self.tail_bytes);
        footer.map_err(|error| external(shared(error))).boxed()
    }
}
