//! How a table is read and written: snapshot → scan, for Parquet, CSV and JSON.
//!
//! The centre is [`Snapshot`]: an immutable list of a table's files with sizes, statistics and partition values, and a
//! version. Whoever makes the list (crawler, a location in a query), the scan is the same, and planning one costs no
//! request to the store.

#![allow(missing_docs, clippy::todo)] // skeleton

use std::sync::Arc;

use arrow::{
    datatypes::{DataType, SchemaRef},
    record_batch::RecordBatch,
};
use chrono::{DateTime, Utc};
use datafusion::{catalog::TableProvider, logical_expr::Expr};
use lakebed_storage::{Location, Storage, StoreCounters};
use lakebed_types::{Result, TableEstimate};
use object_store::ObjectMeta;

/// What a file holds, found from its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    Parquet,
    Csv,
    NdJson,
    JsonArray,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// How to read the text files of a table. (Parquet ignores it.)
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TextOptions {
    pub delimiter: u8,
    pub quote: u8,
    pub header: bool, /* escape, null text … as needed */
}

/// What is known of one column of one file.
#[derive(Debug, Clone)]
pub struct ColumnSummary {/* null_count, min, max (ScalarValue), compressed bytes */}

/// What is known of one file without reading its rows: from a Parquet footer, or from a text file's beginning.
#[derive(Debug, Clone)]
pub struct FileSummary {/* rows: Option<u64>, row_groups: Option<u32>, columns: Vec<(name, ColumnSummary)> … */}
impl FileSummary {
    pub fn rows(&self) -> Option<u64> {
        todo!()
    }
    pub fn row_groups(&self) -> Option<u64> {
        todo!()
    }
    /// A compact form for the catalog (with a format version; an unknown one decodes as Err and the file is read again).
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    pub fn decode(bytes: &[u8], schema: &SchemaRef) -> Result<Self> {
        let _ = (bytes, schema);
        todo!()
    }
}

/// What looking into one file told.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub kind: FileKind,
    pub compression: Compression,
    pub text: TextOptions,
    pub schema: SchemaRef,
    pub summary: FileSummary,
}

/// Why a file is no part of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    Empty,
    WrongMagic(String),
    Manifest(String),
    Damaged(String),
    Unsupported(String),
}

/// Looks into a file: format from the content (Parquet magic, gzip, zstd, JSON, CSV), schema, statistics. One or two
/// ranged GETs for Parquet, one for text. `Ok(Err(_))`: no data file, with the reason. `Err`: the store failed.
pub async fn inspect(
    storage: &Storage,
    location: &Location,
    meta: &ObjectMeta,
) -> Result<Result<Inspection, Rejected>> {
    let _ = (storage, location, meta);
    todo!()
}

/// A column type that two files disagree on and that cannot be widened safely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaConflict {
    pub column: String,
    pub left: DataType,
    pub right: DataType,
}

/// The schema that both fit into: union of columns (case-insensitive names, first spelling wins), safe widening
/// (int → bigger int → double where exact, int → decimal, float → double, date → timestamp, timestamp units, null → anything,
/// nullable wins; text files additionally: anything → string).
pub fn merge_schemas(left: &SchemaRef, right: &SchemaRef, kind: FileKind) -> Result<SchemaRef, SchemaConflict> {
    let _ = (left, right, kind);
    todo!()
}

/// The type of a partition column, from all its values: BIGINT, DATE or VARCHAR. `__HIVE_DEFAULT_PARTITION__` is NULL (None).
pub fn partition_type<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> DataType {
    let _ = values.into_iter();
    todo!()
}

/// One data file of a snapshot.
#[derive(Debug, Clone)]
pub struct DataFile {
    pub meta: ObjectMeta,
    /// One per partition column, as written in the path (percent-decoded); None = NULL.
    pub partition_values: Vec<Option<String>>,
    /// The schema of this very file.
    pub schema: SchemaRef,
    pub compression: Compression,
    pub text: TextOptions,
    pub summary: Arc<FileSummary>,
}

/// An immutable list of a table's files.
#[derive(Debug)]
pub struct Snapshot {/* everything of SnapshotParts + prebuilt pruning arrays and DataFusion statistics */}

#[derive(Debug, Clone)]
pub struct SnapshotParts {
    /// Folder of the table, or the one file.
    pub location: Location,
    pub kind: FileKind,
    /// Columns of the files, in the spelling of the files, without the partition columns.
    pub file_schema: SchemaRef,
    /// Partition columns, in path order.
    pub partition_columns: Vec<(String, DataType)>,
    pub files: Vec<DataFile>,
}

impl Snapshot {
    /// Sorts the files by path and computes the version: a hash over paths, sizes, ETags/times, schema and options.
    pub fn new(parts: SnapshotParts) -> Result<Self> {
        let _ = parts;
        todo!()
    }
    /// 16 hex digits. The same files give the same version on every machine.
    pub fn version(&self) -> &str {
        todo!()
    }
    pub fn location(&self) -> &Location {
        todo!()
    }
    pub fn kind(&self) -> FileKind {
        todo!()
    }
    /// File columns, then partition columns, in the spelling of the files.
    pub fn schema(&self) -> &SchemaRef {
        todo!()
    }
    pub fn partition_columns(&self) -> &[(String, DataType)] {
        todo!()
    }
    pub fn files(&self) -> &[DataFile] {
        todo!()
    }
    /// Rows of all files, where each is known.
    pub fn rows(&self) -> Option<u64> {
        todo!()
    }
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    pub fn newest_file(&self) -> Option<DateTime<Utc>> {
        todo!()
    }
}

/// The provider that scans a snapshot. **Column names are lower case** (SQL matches without regard to case, the query
/// crate folds identifiers and restores the file's spelling in results), unless two columns of the table differ in case
/// only: those keep their spelling. File pruning happens in `scan`, on the snapshot alone; row groups and pages are
/// pruned while reading. `counters` counts this query's requests and bytes.
pub fn provider(
    snapshot: Arc<Snapshot>,
    storage: &Storage,
    counters: Arc<StoreCounters>,
    caches: &ReadCaches,
) -> Result<Arc<dyn TableProvider>> {
    let _ = (snapshot, storage, counters, caches);
    todo!()
}

/// Parquet footers and page indexes in memory, keyed by path and ETag (or size and time), bounded in bytes. Shared by all queries.
#[derive(Debug, Clone)]
pub struct ReadCaches {/* Arc<moka…> */}
impl ReadCaches {
    pub fn new(metadata_bytes: u64) -> Self {
        let _ = metadata_bytes;
        todo!()
    }
}

/// What a scan of these columns under these filters would read. From the snapshot alone.
pub fn estimate(snapshot: &Snapshot, columns: &[String], filters: &[Expr]) -> Result<TableEstimate> {
    let _ = (snapshot, columns, filters);
    todo!()
}

/// A location read directly, as `read_parquet('…')` does: lists (globs `*`, `**`, `?`, `[…]` allowed), inspects, merges. Hive folders give
/// partition columns. `kind`: what it must be, None = whatever is found. At most `max_files` files, else an error.
pub async fn open_location(
    storage: &Storage,
    text: &str,
    kind: Option<FileKind>,
    max_files: usize,
) -> Result<Arc<Snapshot>> {
    let _ = (storage, text, kind, max_files);
    todo!()
}

/// A page of one Parquet file, straight from the right row group and page.
pub async fn read_page(
    storage: &Storage,
    caches: &ReadCaches,
    location: &Location,
    offset: u64,
    limit: usize,
) -> Result<Page> {
    let _ = (storage, caches, location, offset, limit);
    todo!()
}
#[derive(Debug)]
pub struct Page {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub total_rows: u64,
}
