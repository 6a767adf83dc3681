//! SQL text → checked plan → admitted run → stream of batches and statistics.
//!
//! The façade of the product: every API is a translation to [`QueryService`]. Knows no protocol. The only crate besides
//! `tables` that names DataFusion, and none of DataFusion's types leave it.

#![allow(missing_docs, clippy::todo)] // skeleton

use std::{path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use chrono::{DateTime, Utc};
use futures::Stream;
use lakebed_access::{Access, Admitted, Principal};
use lakebed_catalog::Catalog;
use lakebed_storage::Location;
use lakebed_types::{
    Clock, DatabaseName, Error, ErrorKind, Estimate, QueryId, QueryState, QueryStatistics, Result, StatementKind,
    TableName,
};

/// Settings of the engine. Plain data.
#[derive(Debug, Clone)]
pub struct QuerySettings {
    pub memory_bytes: u64, // server pool
    pub memory_per_query_bytes: u64,
    pub spill_dir: PathBuf,         // emptied at start
    pub spill_bytes: u64,           // server quota
    pub spool_dir: Option<PathBuf>, // results of background queries; None = no background queries
    pub spool_bytes: u64,
    pub spool_lifetime: Duration,
    pub threads: usize,    // CPU runtime, = target_partitions
    pub batch_rows: usize, // 16384 (measured)
    pub metadata_cache_bytes: u64,
    pub price_per_tib_usd: f64, // 5.0
    pub history_entries: usize, // 10_000
    pub lake: Option<Location>, // managed tables and CTAS results
    pub sql: SqlLimits,
}
#[derive(Debug, Clone)]
pub struct SqlLimits {
    pub bytes: usize,
    pub depth: usize,
    pub operators: usize,
    pub list_items: usize,
    pub columns: usize,
    pub planning: Duration,
    pub files_per_query: usize,
}
impl Default for SqlLimits {
    fn default() -> Self {
        todo!()
    }
}

/// A value for a parameter: JSON, typed by what the plan infers (`$1` / `?` positional, `$name` named).
#[derive(Debug, Clone, PartialEq)]
pub enum Parameters {
    None,
    Positional(Vec<serde_json::Value>),
    Named(Vec<(String, serde_json::Value)>),
}

#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// Where unqualified tables are looked up.
    pub database: DatabaseName,
    pub parameters: Parameters,
    /// The API it came through, for the history: `rest`, `cli`, `flight`.
    pub source: &'static str,
}

/// A statement that has been checked and planned as its principal, against pinned snapshots.
pub struct PreparedQuery {/* id, sql, kind, logical plan, snapshots, output names, planning time */}
impl PreparedQuery {
    pub fn id(&self) -> QueryId {
        todo!()
    }
    pub fn sql(&self) -> &str {
        todo!()
    }
    pub fn kind(&self) -> StatementKind {
        todo!()
    }
    /// Schema of the result; output names as promised (file's spelling, `x_1` for duplicates).
    pub fn schema(&self) -> SchemaRef {
        todo!()
    }
    /// Tables read and their snapshot versions.
    pub fn snapshots(&self) -> &[(String, String)] {
        todo!()
    }
    /// Same statement, parameters, snapshots and visible data ⇒ same tag. None where the answer may differ
    /// (now(), random(), system tables, anything but SELECT).
    pub fn etag(&self) -> Option<String> {
        todo!()
    }
}

pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// A query that runs. Dropping `batches` cancels it and frees everything.
pub struct RunningQuery {
    pub id: QueryId,
    pub schema: SchemaRef,
    /// Owns the permit.
    pub batches: BatchStream,
    pub stats: StatsHandle,
}

/// Statistics so far; final once the stream has ended. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StatsHandle {/* Arc */}
impl StatsHandle {
    pub fn snapshot(&self) -> QueryStatistics {
        todo!()
    }
}

/// One line of the history. `GET /v1/queries`, `system.queries`.
#[derive(Debug, Clone)]
pub struct QueryRecord {
    pub id: QueryId,
    pub principal: String,
    pub source: &'static str,
    pub database: DatabaseName,
    pub sql: String,
    pub kind: Option<StatementKind>,
    pub state: QueryState,
    pub submitted: DateTime<Utc>,
    pub ended: Option<DateTime<Utc>>,
    pub statistics: QueryStatistics,
    pub error: Option<(ErrorKind, String)>,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct QueryService {/* Arc */}

impl QueryService {
    pub fn new(settings: QuerySettings, catalog: Catalog, access: Access, clock: Arc<dyn Clock>) -> Result<Self> {
        let _ = (settings, catalog, access, clock);
        todo!()
    }
    pub fn catalog(&self) -> &Catalog {
        todo!()
    }
    pub fn access(&self) -> &Access {
        todo!()
    }

    pub async fn prepare(&self, who: &Principal, sql: &str, options: &QueryOptions) -> Result<PreparedQuery> {
        let _ = (who, sql, options);
        todo!()
    }
    /// No data is read, no request made.
    pub async fn estimate(&self, prepared: &PreparedQuery) -> Result<Estimate> {
        let _ = prepared;
        todo!()
    }
    pub async fn run(&self, admitted: Admitted, prepared: PreparedQuery) -> Result<RunningQuery> {
        let _ = (admitted, prepared);
        todo!()
    }

    /// A statement for rows of one table without SQL text from the caller: column names and a boolean filter
    /// expression (checked like any SQL), `sort` as `-price,name`.
    pub async fn prepare_rows(
        &self,
        who: &Principal,
        table: &TableName,
        rows: &RowsRequest,
        options: &QueryOptions,
    ) -> Result<PreparedQuery> {
        let _ = (who, table, rows, options);
        todo!()
    }
    /// A page of one Parquet file by its location (inside the allow-list), straight from the right row group.
    pub async fn parquet_page(
        &self,
        admitted: Admitted,
        location: &Location,
        offset: u64,
        limit: usize,
    ) -> Result<ParquetPage> {
        let _ = (admitted, location, offset, limit);
        todo!()
    }

    /// Starts a query that runs without anyone waiting; its result goes to the spool. Returns when it is queued.
    pub async fn submit(
        &self,
        who: &Principal,
        sql: &str,
        options: &QueryOptions,
        timeout: Option<Duration>,
    ) -> Result<QueryId> {
        let _ = (who, sql, options, timeout);
        todo!()
    }
    /// History, newest first; what this principal may see. `before`: page on from this record.
    pub fn history(&self, who: &Principal, limit: usize, before: Option<QueryId>) -> Vec<QueryRecord> {
        let _ = (who, limit, before);
        todo!()
    }
    pub fn record(&self, who: &Principal, id: QueryId) -> Result<QueryRecord> {
        let _ = (who, id);
        todo!()
    }
    /// Stops a query, running or queued. Idempotent; `not_found` if there is no such query.
    pub fn cancel(&self, who: &Principal, id: QueryId) -> Result<QueryRecord> {
        let _ = (who, id);
        todo!()
    }
    /// Rows `offset..offset+limit` of a background query's result, from the spool. `conflict` while it runs, `expired` after
    /// its lifetime, its own error where it failed.
    pub async fn results(&self, who: &Principal, id: QueryId, offset: u64, limit: usize) -> Result<ResultPage> {
        let _ = (who, id, offset, limit);
        todo!()
    }
    /// The whole result of a background query as a stream.
    pub async fn result_stream(&self, who: &Principal, id: QueryId) -> Result<(SchemaRef, BatchStream)> {
        let _ = (who, id);
        todo!()
    }
    /// Ends what is past its lifetime. Called by the server's duty loop.
    pub fn sweep(&self) {
        todo!()
    }
    pub fn memory_reserved(&self) -> u64 {
        todo!()
    }
}

#[derive(Debug, Clone, Default)]
pub struct RowsRequest {
    pub columns: Vec<String>,
    pub filter: Option<String>,
    pub sort: Vec<(String, bool)>,
    pub limit: usize,
    pub offset: u64,
}
#[derive(Debug)]
pub struct ParquetPage {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub total_rows: u64,
}
#[derive(Debug)]
pub struct ResultPage {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub total_rows: u64,
    pub offset: u64,
}
#[expect(unused)]
type Keep = Error;
