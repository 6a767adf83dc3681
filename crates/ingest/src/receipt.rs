//! What callers get to know.

use std::{fmt, pin::Pin};

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use futures::Stream;
use lakebed_types::{Result, TableName};
use serde::Serialize;

/// Errors that a receipt lists; the others are only counted.
pub const MAX_LISTED_ERRORS: usize = 100;

/// What became of appended rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Their position in this node's log; None where nothing was kept.
    pub lsn: Option<u64>,
    /// Rows that were kept.
    pub accepted: u64,
    /// Rows that were not. With `reject_batch` and one bad row `accepted` is 0, and this counts the bad rows.
    pub rejected: u64,
    /// The first bad rows, at most [`MAX_LISTED_ERRORS`].
    pub errors: Vec<RowError>,
    /// What holds them: `memory`, `wal` or `lake`.
    pub durable: &'static str,
    /// With `lake`: the version of the table that has them.
    pub table_version: Option<i64>,
    /// An earlier request with the same idempotency key has brought them; `errors` is empty then.
    pub repeated: bool,
    /// The table was made of them.
    pub created: bool,
}

/// Why one row was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// The row in the body, from 1. A CSV header is not counted.
    pub row: u64,
    /// The field, where one is to blame.
    pub field: Option<String>,
    /// Why, in lower case and without a full stop.
    pub reason: String,
}

/// What a flush did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlushReceipt {
    /// The version of the table that has every row that was acknowledged before.
    pub version: i64,
    /// Rows that this flush committed.
    pub rows: u64,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergeReceipt {
    /// The version of the table after it.
    pub version: i64,
    /// The days that were merged, `YYYY-MM-DD`; of a table without days none is named.
    pub days: Vec<String>,
    /// Days that somebody else has merged or changed meanwhile, or is merging.
    pub lost: Vec<String>,
    /// Files that were merged.
    pub files_before: u64,
    /// Files that they became.
    pub files_after: u64,
    /// Rows in them.
    pub rows: u64,
}

/// New rows of a table.
#[derive(Debug, Clone)]
pub struct TailEvent {
    /// The position in this node's log; ascending. Rows of a large request come in several events of one position.
    pub lsn: u64,
    /// The rows.
    pub rows: RecordBatch,
    /// No more rows of this position come: who goes on from it misses none.
    pub is_last: bool,
}

/// New rows, until the caller drops it or the table goes.
pub type Tail = Pin<Box<dyn Stream<Item = Result<TailEvent>> + Send>>;

/// How it stands with one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableStatus {
    /// Its name.
    pub table: TableName,
    /// Rows that are not in files yet.
    pub buffered_rows: u64,
    /// Their bytes in memory.
    pub buffered_bytes: u64,
    /// When the oldest of them came.
    pub oldest: Option<DateTime<Utc>>,
    /// The last position in the log with rows of this table; 0 where there is none.
    pub lsn: u64,
    /// The last position that is committed.
    pub flushed_lsn: u64,
    /// The last version of the table that is known here.
    pub version: Option<i64>,
    /// Rows kept since start-up.
    pub accepted_rows: u64,
    /// Rows refused since start-up.
    pub rejected_rows: u64,
    /// Flushes that were committed since start-up.
    pub flushes: u64,
    /// Merges that were committed since start-up.
    pub merges: u64,
    /// What last went wrong with a flush or a merge, until one succeeds.
    pub last_error: Option<String>,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "row {}, field `{field}`: {}", self.row, self.reason),
            None => write!(f, "row {}: {}", self.row, self.reason),
        }
    }
}
