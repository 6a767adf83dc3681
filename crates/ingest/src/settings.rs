//! Settings of ingestion. Plain data.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lakebed_storage::Location;

use crate::faults::{Faults, NoFaults};

const MIB: u64 = 1024 * 1024;

/// Settings of ingestion. Plain data, but for `faults`, which only tests set.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The folder of the write-ahead log. One process at a time.
    pub wal_dir: PathBuf,
    /// The folder in which new tables are made; None where none can be.
    pub lake: Option<Location>,
    /// This node's name, as it stands in the tables' logs.
    pub node: String,
    /// Bytes of rows in memory, of all tables and requests, beyond which new rows are refused with `ingest_busy`.
    pub buffer_bytes: u64,
    /// Bytes of one table's rows in memory beyond which they are flushed.
    pub flush_bytes: u64,
    /// The age of a table's oldest row in memory beyond which they are flushed.
    pub flush_age: Duration,
    /// Bytes of log that is not flushed yet beyond which new rows are refused with `ingest_busy`.
    pub wal_bytes: u64,
    /// Bytes of one log file beyond which a new one is begun.
    pub wal_file_bytes: u64,
    /// Bytes of one body, as sent.
    pub body_bytes: u64,
    /// Bytes of one body, uncompressed.
    pub inflated_bytes: u64,
    /// Rows of one body.
    pub body_rows: usize,
    /// How long an idempotency key is remembered.
    pub keys_lifetime: Duration,
    /// Idempotency keys that are remembered, of all tables; beyond that the oldest are forgotten.
    pub keys: usize,
    /// Files of a day from which on a merge is worth it.
    pub merge_files: usize,
    /// Bytes that a merged file should have.
    pub merge_bytes: u64,
    /// How long after a day's end it counts as closed, for scheduled merges.
    pub merge_after: Duration,
    /// How old a file that no version names any more must be before it is deleted.
    pub vacuum_after: Duration,
    /// Time between two looks for such files; the first is that long after the start.
    pub vacuum_every: Duration,
    /// Commits between two checkpoints of a table's log.
    pub checkpoint_every: i64,
    /// How long one commit is tried.
    pub commit_deadline: Duration,
    /// Where tests stop or fail the service.
    pub faults: Arc<dyn Faults>,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            wal_dir: PathBuf::from("wal"),
            lake: None,
            node: "node".to_owned(),
            buffer_bytes: 512 * MIB,
            flush_bytes: 128 * MIB,
            flush_age: Duration::from_secs(30),
            wal_bytes: 4 * 1024 * MIB,
            wal_file_bytes: 64 * MIB,
            body_bytes: 64 * MIB,
            inflated_bytes: 128 * MIB,
            body_rows: 1_000_000,
            keys_lifetime: Duration::from_secs(3600),
            keys: 100_000,
            merge_files: 8,
            merge_bytes: 256 * MIB,
            merge_after: Duration::from_secs(600),
            vacuum_after: Duration::from_secs(7 * 24 * 3600),
            vacuum_every: Duration::from_secs(3600),
            checkpoint_every: 100,
            commit_deadline: Duration::from_secs(30),
            faults: Arc::new(NoFaults),
        }
    }
}
