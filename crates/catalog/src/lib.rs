//! Databases, tables, partitions, files, crawlers and their runs in SQLite; and the crawler that finds them.
//!
//! Knows names, snapshots and freshness. Knows nothing of SQL text, HTTP or principals: callers ask only for what the
//! principal may see.

#![allow(missing_docs, clippy::todo)] // skeleton

use std::{path::Path, sync::Arc, time::Duration};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakebed_storage::{Location, Storage};
use lakebed_tables::Snapshot;
use lakebed_types::{Clock, DatabaseName, Result, TableName};

/// The catalog. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {/* Arc: pool, lock file, snapshot cache, storage, clock */}

/// When new files of a table are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// At a query, if the last look is older than this. Text form `on_query:5s`.
    OnQuery { min_age: Duration },
    /// By a background duty. Text form `interval:60s`.
    Interval { every: Duration },
    /// Only by a crawl. Text form `manual`.
    Manual,
}

#[derive(Debug, Clone)]
pub enum TableKind {
    /// Files at a location.
    Files { location: Location, kind: lakebed_tables::FileKind, freshness: Freshness, partition_columns: Vec<String> },
    /// A stored query.
    View { sql: String },
}

/// A table as the catalog has it.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: TableName,
    pub kind: TableKind,
    /// All columns in the files' spelling, partition columns last.
    pub schema: SchemaRef,
    pub comment: Option<String>,
    pub created: DateTime<Utc>,
    pub changed: DateTime<Utc>,
    /// Files only: when the location was last listed, the newest file, totals.
    pub last_listed: Option<DateTime<Utc>>,
    pub newest_file: Option<DateTime<Utc>>,
    pub files: u64,
    pub rows: Option<u64>,
    pub bytes: u64,
    /// Conflicts and skipped files that the last look found, one sentence each.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Database {
    pub name: DatabaseName,
    pub comment: Option<String>,
    pub created: DateTime<Utc>,
    pub tables: u64,
}

#[derive(Debug, Clone)]
pub struct Partition {
    pub values: Vec<Option<String>>,
    pub files: u64,
    pub rows: Option<u64>,
    pub bytes: u64,
}

#[derive(Debug, Clone)]
pub struct CatalogSettings {
    pub default_freshness: Freshness,
    /* max files per table, parallel requests (default 32), … */ pub parallel_requests: usize,
    pub max_files: usize,
}

impl Catalog {
    /// Opens or creates the catalog file, runs migrations, takes the lock beside it. A file locked by another process
    /// is `conflict`, and says which process.
    pub async fn open(file: &Path, storage: Storage, settings: CatalogSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let _ = (file, storage, settings, clock);
        todo!()
    }
    /// A catalog in memory: `lakebed sql`, tests.
    pub async fn in_memory(storage: Storage, settings: CatalogSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let _ = (storage, settings, clock);
        todo!()
    }
    pub fn storage(&self) -> &Storage {
        todo!()
    }

    pub async fn create_database(&self, name: &DatabaseName, if_not_exists: bool, comment: Option<&str>) -> Result<()> {
        let _ = (name, if_not_exists, comment);
        todo!()
    }
    /// `conflict` if it has tables and not `cascade`; the database `default` cannot be dropped.
    pub async fn drop_database(&self, name: &DatabaseName, if_exists: bool, cascade: bool) -> Result<()> {
        let _ = (name, if_exists, cascade);
        todo!()
    }
    pub async fn databases(&self) -> Result<Vec<Database>> {
        todo!()
    }
    pub async fn database(&self, name: &DatabaseName) -> Result<Database> {
        let _ = name;
        todo!()
    }

    /// Tables and views of a database, by name.
    pub async fn tables(&self, database: &DatabaseName) -> Result<Vec<Table>> {
        let _ = database;
        todo!()
    }
    /// `table_not_found` (with the nearest name as hint) or `database_not_found`.
    pub async fn table(&self, name: &TableName) -> Result<Table> {
        let _ = name;
        todo!()
    }
    /// Declares a table over a location: inspects the files now. `schema`: the declared columns, None = found ones.
    pub async fn create_external_table(&self, request: CreateTable) -> Result<Table> {
        let _ = request;
        todo!()
    }
    pub async fn create_view(&self, name: &TableName, sql: &str, schema: SchemaRef, or_replace: bool) -> Result<()> {
        let _ = (name, sql, schema, or_replace);
        todo!()
    }
    /// Files stay. `if_exists`: no error where there is none. Returns whether one was dropped.
    pub async fn drop_table(&self, name: &TableName, if_exists: bool, view: bool) -> Result<bool> {
        let _ = (name, if_exists, view);
        todo!()
    }
    pub async fn set_freshness(&self, name: &TableName, freshness: Freshness) -> Result<()> {
        let _ = (name, freshness);
        todo!()
    }

    /// The files of a table now, after its freshness policy. In memory after the first time; no request unless the policy
    /// wants a look. A look reads footers of new and changed files only. Concurrent callers share one look.
    pub async fn snapshot(&self, name: &TableName) -> Result<Arc<Snapshot>> {
        let _ = name;
        todo!()
    }
    /// Looks for new files now, whatever the policy.
    pub async fn refresh(&self, name: &TableName) -> Result<Arc<Snapshot>> {
        let _ = name;
        todo!()
    }
    pub async fn partitions(&self, name: &TableName) -> Result<Vec<Partition>> {
        let _ = name;
        todo!()
    }

    pub async fn create_crawler(&self, crawler: &Crawler) -> Result<()> {
        let _ = crawler;
        todo!()
    }
    pub async fn crawlers(&self) -> Result<Vec<Crawler>> {
        todo!()
    }
    pub async fn crawler(&self, name: &str) -> Result<Crawler> {
        let _ = name;
        todo!()
    }
    pub async fn drop_crawler(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }
    /// Runs a crawl and records the run and its report (unless `dry_run`). Progress is called often; cheap.
    pub async fn crawl(
        &self,
        request: &CrawlRequest,
        progress: &(dyn Fn(CrawlProgress) + Send + Sync),
    ) -> Result<CrawlReport> {
        let _ = (request, progress);
        todo!()
    }
    /// The runs of a crawler, newest first, without entries. `None` = all crawlers.
    pub async fn runs(&self, crawler: Option<&str>, limit: usize) -> Result<Vec<CrawlReport>> {
        let _ = (crawler, limit);
        todo!()
    }
    /// One run with its entries.
    pub async fn run(&self, id: &str) -> Result<CrawlReport> {
        let _ = id;
        todo!()
    }
    /// Looks at every `interval` table that is due. Called by the server's duty loop.
    pub async fn refresh_due(&self) -> Result<()> {
        todo!()
    }
}

#[derive(Debug, Clone)]
pub struct CreateTable {
    pub name: TableName,
    pub location: Location,
    pub schema: Option<SchemaRef>,
    pub partition_columns: Option<Vec<String>>,
    pub kind: Option<lakebed_tables::FileKind>,
    pub text: Option<lakebed_tables::TextOptions>,
    pub freshness: Option<Freshness>,
    pub comment: Option<String>,
    pub if_not_exists: bool,
    pub or_replace: bool,
}

#[derive(Debug, Clone)]
pub struct Crawler {
    pub name: String,
    pub location: Location,
    pub database: DatabaseName,
    pub created: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub struct CrawlRequest {
    /// Name of the crawler the run is recorded under.
    pub crawler: String,
    pub location: Location,
    pub database: DatabaseName,
    /// `NAME=LOCATION`: the whole location is this one table.
    pub table: Option<String>,
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct CrawlProgress {
    pub listed: u64,
    pub inspected: u64,
    pub to_inspect: u64,
}

/// What a crawl found.
#[derive(Debug, Clone)]
pub struct CrawlReport {
    pub id: String,
    pub crawler: String,
    pub location: Location,
    pub database: DatabaseName,
    pub state: RunState,
    pub started: DateTime<Utc>,
    pub ended: Option<DateTime<Utc>>,
    pub dry_run: bool,
    pub listed: u64,
    pub inspected: u64,
    pub reused: u64,
    pub error: Option<String>,
    /// One for each table, file skipped or conflict, by path. Files of a table are counted in the table's entry,
    /// not listed each.
    pub entries: Vec<ReportEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    Running,
    Succeeded,
    Failed,
    Interrupted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportEntry {
    /// Path below the location.
    pub path: String,
    pub outcome: Outcome,
    /// The table it became or belongs to.
    pub table: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
    pub files: u64,
    pub bytes: u64,
    /// Since the last run of this location: `new`, `changed`, `unchanged`, `gone`.
    pub change: Change,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Table,
    Skipped,
    Conflict,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    New,
    Changed,
    Unchanged,
    Gone,
}
