//! What a query cost, and what it would cost.

use serde::{Deserialize, Serialize};

/// Where a query execution is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum QueryState {
    /// Waits for its turn.
    Queued,
    /// Runs.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Was stopped: by a request, a disconnect or a shutdown.
    Cancelled,
}

/// What the result cache had to do with an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultCacheUse {
    /// The answer is a kept one: nothing was scanned.
    Hit,
    /// There was none; it ran.
    Miss,
    /// It was not looked for: switched off, or the answer may be another one next time.
    #[default]
    Bypass,
}

impl ResultCacheUse {
    /// The word in statistics: `hit`, `miss`, `bypass`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// What one query execution took. The same block at every API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryStatistics {
    /// Waiting for a permit.
    pub queue_ms: f64,
    /// From text to physical plan, lookups in the catalog and the store included.
    pub planning_ms: f64,
    /// From the start of execution to the last batch, the client's reading time included.
    pub execution_ms: f64,
    /// From the start of execution to the first batch.
    pub first_row_ms: Option<f64>,
    /// Compressed bytes of the files that the scans read.
    pub bytes_scanned: u64,
    /// Bytes that came from the object store for this query.
    pub bytes_fetched: u64,
    /// Bytes that came from the block cache instead, or with a request of another query.
    pub bytes_cached: u64,
    /// Requests to the object store for this query.
    pub store_requests: u64,
    /// Rows that the scans gave to the plan.
    pub rows_scanned: u64,
    /// Rows of the result so far.
    pub rows_returned: u64,
    /// Files that were read.
    pub files_scanned: u64,
    /// Files that partition values or statistics ruled out.
    pub files_pruned: u64,
    /// Row groups that were read.
    pub row_groups_scanned: u64,
    /// Row groups that statistics ruled out.
    pub row_groups_pruned: u64,
    /// Bytes written to spill files.
    pub spilled_bytes: u64,
    /// Whether the result came from the result cache: `hit`, `miss`, or `bypass` where it was not asked.
    pub result_cache: ResultCacheUse,
    /// The most memory that the query had reserved at once.
    pub peak_memory_bytes: u64,
    /// `bytes_scanned` at the configured price per TiB, in US dollars.
    pub price_usd: f64,
}

/// What a query would read, from catalogued metadata alone: no data is touched.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Files left after pruning.
    pub files: u64,
    /// Files ruled out by partition values and statistics.
    pub files_pruned: u64,
    /// Row groups of the files left, where the format has them.
    pub row_groups: u64,
    /// Rows of the files left, where known.
    pub rows: u64,
    /// Compressed bytes of the needed columns in the files left.
    pub bytes: u64,
    /// `bytes` at the configured price per TiB, in US dollars.
    pub price_usd: f64,
    /// The same, table by table, in the order of the query.
    pub tables: Vec<TableEstimate>,
}

/// One table's part of an [`Estimate`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableEstimate {
    /// `database.table`, or the location read directly.
    pub table: String,
    /// The columns that will be read.
    pub columns: Vec<String>,
    /// Files left after pruning.
    pub files: u64,
    /// Files ruled out.
    pub files_pruned: u64,
    /// Row groups of the files left.
    pub row_groups: u64,
    /// Rows of the files left.
    pub rows: u64,
    /// Compressed bytes of `columns` in the files left.
    pub bytes: u64,
}
