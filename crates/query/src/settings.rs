//! Settings of the engine: plain data, read by the binary.

use std::{path::PathBuf, time::Duration};

use lakebed_storage::Location;

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct QuerySettings {
    /// Memory that all queries together may reserve, in bytes.
    pub memory_bytes: u64,
    /// Memory that one query may reserve whose workgroup says nothing else, in bytes.
    pub memory_per_query_bytes: u64,
    /// Memory that the process may have, in bytes. Above it the largest query is ended. None: no limit.
    pub resident_memory_bytes: Option<u64>,
    /// Where queries write what does not fit into memory. Emptied at start.
    pub spill_dir: PathBuf,
    /// Bytes that all queries together may spill at once.
    pub spill_bytes: u64,
    /// Where results of background queries are kept. None: there are no background queries. One process's
    /// own: what it does not know of is removed at start.
    pub spool_dir: Option<PathBuf>,
    /// Bytes that all kept results together may have.
    pub spool_bytes: u64,
    /// How long a result is kept.
    pub spool_lifetime: Duration,
    /// Bytes of answers that are kept in memory to be given again, those under way included; 0 keeps none.
    pub result_cache_bytes: u64,
    /// Threads that plan and execute; also how many partitions a plan has.
    pub threads: usize,
    /// Rows in a batch at most; wide rows make smaller ones. 16384 measured best.
    pub batch_rows: usize,
    /// Parquet footers and page indexes that are kept in memory, in bytes.
    pub metadata_cache_bytes: u64,
    /// Decoded columns of Parquet files that are kept in memory, in bytes; 0 keeps none.
    pub column_cache_bytes: u64,
    /// Price of a scanned TiB in US dollars, for estimates and statistics.
    pub price_per_tib_usd: f64,
    /// Executions that the history remembers.
    pub history_entries: usize,
    /// Where managed tables and the results of `CREATE TABLE … AS` are written.
    pub lake: Option<Location>,
    /// Limits on the text of a statement.
    pub sql: SqlLimits,
}

/// Limits on a statement's text and syntax tree, checked before anything is planned.
#[derive(Debug, Clone)]
pub struct SqlLimits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Depth of the syntax tree.
    pub depth: usize,
    /// Operators in one chain, such as `a OR b OR c`.
    pub operators: usize,
    /// Items of one list, such as `IN (…)` or `VALUES`.
    pub list_items: usize,
    /// Columns of a result.
    pub columns: usize,
    /// Time for turning text into a plan.
    pub planning: Duration,
    /// Files that a location named in a query may stand for.
    pub files_per_query: usize,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            bytes: 256 << 10,
            depth: 50,
            operators: 500,
            list_items: 10_000,
            columns: 2_000,
            planning: Duration::from_secs(10),
            files_per_query: 100_000,
        }
    }
}
