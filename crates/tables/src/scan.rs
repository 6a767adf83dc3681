//! From the files that survived pruning to a plan: complete file entries, balanced groups, statistics.

use std::sync::Arc;

use datafusion::{
    catalog::Session,
    common::{Statistics, config::TableParquetOptions, stats::Precision},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource},
        source::DataSourceExec,
    },
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    physical_expr::{PhysicalExpr, utils::collect_columns},
    physical_plan::ExecutionPlan,
};
use lakebed_storage::StoreCounters;
use object_store::ObjectStore;

use crate::{
    ReadCaches, ScanCounters, Snapshot, adapter::FileColumns, column_cache::ColumnSource, prune::widened,
    reader::Readers, snapshot::FileIndex, source::SnapshotSource, text,
};

/// More files than this are opened without their page indexes unless a filter can use them.
const INDEXED_FILES: usize = 64;

/// What is scanned, and how.
pub(crate) struct Scan<'a> {
    pub(crate) snapshot: &'a Arc<Snapshot>,
    pub(crate) store: &'a Arc<dyn ObjectStore>,
    pub(crate) store_counters: &'a Arc<StoreCounters>,
    pub(crate) caches: &'a ReadCaches,
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) predicates: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) limit: Option<usize>,
}

/// The plan that scans `files` (places in the snapshot), and counts them.
pub(crate) fn plan(
    session: &dyn Session,
    scan: Scan<'_>,
    mut files: Vec<usize>,
    counters: &ScanCounters,
) -> Result<Arc<dyn ExecutionPlan>> {
    let snapshot = scan.snapshot;
    let pruned = snapshot.files().len() - files.len();
    enough(snapshot, &mut files, scan.limit);
    let bytes: u64 = files.iter().map(|file| snapshot.files()[*file].meta.size).sum();
    counters.add(files.len() as u64, pruned as u64, bytes);

    let url = snapshot.location().store_url();
    let statistics = statistics(&scan, &files);
    let entries = files.iter().map(|file| entry(snapshot, *file)).collect();
    let source = if snapshot.kind().is_text() {
        text::file_source(snapshot, snapshot.shape().table_schema(), Arc::clone(scan.store))
            .map_err(|error| DataFusionError::External(Box::new(error)))?
    } else {
        parquet_source(session, &scan, files.len())
    };
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(url.as_str())?, source)
        .with_file_groups(balanced(entries, session.config().target_partitions()))
        .with_statistics(statistics)
        .with_projection_indices(scan.projection.cloned())?
        .with_limit(scan.limit)
        .with_expr_adapter(Some(Arc::new(FileColumns)))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Drops the files that a limit does not need.
fn enough(snapshot: &Snapshot, files: &mut Vec<usize>, limit: Option<usize>) {
    let Some(limit) = limit else { return };
    let mut rows = 0u64;
    let needed = files.iter().position(|file| match snapshot.files()[*file].summary.rows() {
        Some(more) => {
            rows += more;
            rows >= limit as u64
        }
        None => false,
    });
    if let Some(last) = needed {
        files.truncate(last + 1);
    }
}

fn parquet_source(session: &dyn Session, scan: &Scan<'_>, files: usize) -> Arc<dyn FileSource> {
    let options = TableParquetOptions {
        global: session.config_options().execution.parquet.clone(),
        ..TableParquetOptions::default()
    };
    let pruned_in_list = options.global.max_in_list_size;
    let filters_while_decoding = options.global.pushdown_filters;
    let readers = Arc::new(Readers {
        store: Arc::clone(scan.store),
        location: scan.snapshot.location().clone(),
        caches: scan.caches.clone(),
        counters: Arc::clone(scan.store_counters),
        indexed: !scan.predicates.is_empty() || files <= INDEXED_FILES,
    });
    let source = ParquetSource::new(scan.snapshot.shape().table_schema().clone())
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::clone(&readers) as _);
    let columns = scan.caches.columns().filter(|_| !filters_while_decoding).map(|columns| ColumnSource {
        readers,
        columns: columns.clone(),
        scan: columns.next_scan(),
        pruned_in_list,
    });
    Arc::new(SnapshotSource::new(Arc::new(source), Arc::clone(scan.snapshot), columns))
}

/// Statistics of the files together. Those of all files over all columns are kept with the snapshot; for some files only
/// the columns of the query are worth the time.
fn statistics(scan: &Scan<'_>, files: &[usize]) -> Statistics {
    if files.len() == scan.snapshot.files().len() {
        return scan.snapshot.whole_statistics().clone();
    }
    let width = scan.snapshot.schema().fields().len();
    let mut wanted = vec![scan.projection.is_none(); width];
    let filtered = scan.predicates.iter().flat_map(collect_columns);
    let filtered = filtered.map(|column| column.index());
    for column in scan.projection.into_iter().flatten().copied().chain(filtered) {
        wanted[column] = true;
    }
    let statistics = scan.snapshot.statistics_of(files, &wanted);
    match (files.is_empty(), statistics.num_rows) {
        (true, _) => Statistics { num_rows: Precision::Exact(0), ..statistics },
        _ => statistics,
    }
}

/// A file with all that the engine could ask the store about.
fn entry(snapshot: &Snapshot, index: usize) -> PartitionedFile {
    let file = &snapshot.files()[index];
    let partitions = snapshot.shape().table_schema().table_partition_cols();
    let values = snapshot.partition_values(index).iter().zip(partitions);
    let values = values.map(|(value, field)| widened(value, field.data_type()).unwrap_or_else(|| value.clone()));
    let mut entry = PartitionedFile::new_from_meta(file.meta.clone())
        .with_partition_values(values.collect())
        .with_extension(FileIndex(index));
    if snapshot.kind().is_text() {
        return entry;
    }
    entry.statistics = snapshot.file_statistics().get(index).map(Arc::clone);
    entry.metadata_size_hint = file.summary.tail_bytes.map(|bytes| bytes as usize);
    entry.arrow_schema = Some(Arc::clone(&snapshot.layouts().of(index).reader_schema));
    entry
}

/// At most `target` groups of about the same bytes, in the order of the files. One empty group where there is no file, so
/// that the plan keeps a partition.
fn balanced(entries: Vec<PartitionedFile>, target: usize) -> Vec<FileGroup> {
    let total: u64 = entries.iter().map(|entry| entry.object_meta.size).sum();
    let share = total.div_ceil(target.max(1) as u64).max(1);
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new()];
    let mut filled = 0;
    for entry in entries {
        if filled >= share * groups.len() as u64
            && groups.len() < target
            && let Some(last) = groups.last()
            && !last.is_empty()
        {
            groups.push(Vec::new());
        }
        filled += entry.object_meta.size;
        if let Some(last) = groups.last_mut() {
            last.push(entry);
        }
    }
    groups.into_iter().map(FileGroup::new).collect()
}
