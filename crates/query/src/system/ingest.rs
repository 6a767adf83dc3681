//! `system.ingest`: what has been taken in for each table, and how much of it is not in files yet.

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use lakebed_access::Principal;
use lakebed_types::{Result, TableName};

use crate::{service::Engine, table_rows::Columns};

/// Gives the state of every table that rows are taken in for.
pub(crate) type IngestState = Box<dyn Fn() -> Vec<IngestStatus> + Send + Sync>;

/// What this server has taken in for one table since its start.
#[derive(Debug, Clone)]
pub struct IngestStatus {
    /// The table.
    pub table: TableName,
    /// Rows that are not in files yet.
    pub buffered_rows: u64,
    /// Their memory.
    pub buffered_bytes: u64,
    /// When the oldest of them came.
    pub oldest: Option<DateTime<Utc>>,
    /// Position of the last row in the log.
    pub lsn: u64,
    /// Position up to which rows are in files.
    pub flushed_lsn: u64,
    /// The table's version.
    pub version: Option<i64>,
    /// Rows taken.
    pub accepted_rows: u64,
    /// Rows refused.
    pub rejected_rows: u64,
    /// Flushes that ended well.
    pub flushes: u64,
    /// Merges that ended well.
    pub merges: u64,
    /// What the last flush or merge failed with, where none has ended well since.
    pub last_error: Option<String>,
}

pub(super) fn tables(engine: &Engine, who: &Principal) -> Result<RecordBatch> {
    let mut tables = engine.ingest.get().map(|state| state()).unwrap_or_default();
    tables.retain(|status| who.can_see_table(&status.table));
    let all = || tables.iter();
    Columns::default()
        .text("database", all().map(|t| t.table.database().to_string()))
        .text("table", all().map(|t| t.table.table().to_owned()))
        .count("buffered_rows", all().map(|t| t.buffered_rows))
        .count("buffered_bytes", all().map(|t| t.buffered_bytes))
        .time("oldest", all().map(|t| t.oldest))
        .count("lsn", all().map(|t| t.lsn))
        .count("flushed_lsn", all().map(|t| t.flushed_lsn))
        .count("version", all().map(|t| t.version.and_then(|version| u64::try_from(version).ok())))
        .count("accepted_rows", all().map(|t| t.accepted_rows))
        .count("rejected_rows", all().map(|t| t.rejected_rows))
        .count("flushes", all().map(|t| t.flushes))
        .count("merges", all().map(|t| t.merges))
        .text("last_error", all().map(|t| t.last_error.clone()))
        .finish()
}
