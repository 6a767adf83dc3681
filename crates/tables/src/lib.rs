//! How a table is read and written: snapshot → scan, for Parquet, CSV and JSON; Delta tables; rows not yet in files.
//!
//! The centre is [`Snapshot`]: an immutable list of a table's files with sizes, statistics and partition values, and a
//! version. Whoever makes the list (crawler, a location in a query), the scan is the same, and planning one costs no
//! request to the store.
//!
//! [`DeltaTable`] makes snapshots from a log of commits, and [`Buffers`] hold the rows that are not in files yet.
//!
//! Knows formats, schemas and the engine's scan. Knows nothing of databases, SQL text or principals.

mod adapter;
mod buffer;
mod caches;
mod column_cache;
mod columns;
mod contained;
mod counters;
mod delta;
mod estimate;
mod glob;
mod hive;
mod inspect;
mod kind;
mod layout;
mod object;
mod open;
mod page;
mod provider;
mod prune;
mod reader;
mod scan;
mod schema;
mod snapshot;
mod source;
mod statistics;
mod summary;
mod text;
mod write;

pub use buffer::{BufferRows, Buffers, Newest, TableBuffer, provider_with_buffer};
pub use caches::ReadCaches;
pub use counters::ScanCounters;
pub use delta::{
    AddFile, DeltaOptions, DeltaState, DeltaTable, Held, Lease, Leased, MergeOptions, MergeOutcome, MergeProgress,
    PartitionSize, Removed, Rewritten, Txn, lake_schema, merge_partition, probe_conditional_put,
};
pub use estimate::estimate;
pub use glob::{matches_pattern, split_pattern};
pub use inspect::inspect;
pub use kind::{Compression, FileKind, Inspection, Rejected, TextOptions};
pub use open::open_location;
pub use page::{Page, read_page};
pub use provider::provider;
pub use schema::{SchemaConflict, merge_schemas, partition_type};
pub use snapshot::{DataFile, Snapshot, SnapshotParts};
pub use summary::{ColumnSummary, FileSummary};
pub use write::{WrittenFile, write_parquet};
