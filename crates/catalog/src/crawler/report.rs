//! Crawlers, their runs, and what a run says of every path.

use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_tables::matches_pattern;
use lakebed_types::DatabaseName;

/// A location that is crawled under a name.
#[derive(Debug, Clone)]
pub struct Crawler {
    /// Its name.
    pub name: String,
    /// What it crawls.
    pub location: Location,
    /// Where its tables go.
    pub database: DatabaseName,
    /// When it was created.
    pub created: DateTime<Utc>,
}

/// One crawl.
#[derive(Debug, Clone)]
pub struct CrawlRequest {
    /// Name of the crawler the run is recorded under.
    pub crawler: String,
    /// What to crawl.
    pub location: Location,
    /// Where the tables go; it has to exist.
    pub database: DatabaseName,
    /// `NAME=LOCATION`: the whole location is this one table.
    pub table: Option<String>,
    /// `NAME=LOCATION/*.parquet`: of the location only the files that match this; wants `table`.
    pub files: Option<String>,
    /// Only says what a crawl would do.
    pub dry_run: bool,
}

impl CrawlRequest {
    /// Whether a path below the location is to be looked at.
    pub(crate) fn wants(&self, path: &str) -> bool {
        self.files.as_ref().is_none_or(|files| matches_pattern(files, path))
    }
}

/// How far a crawl is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrawlProgress {
    /// Objects that the store has named so far.
    pub listed: u64,
    /// Objects looked into so far.
    pub inspected: u64,
    /// Objects to look into; 0 until the listing is complete.
    pub to_inspect: u64,
}

/// What a crawl found.
#[derive(Debug, Clone)]
pub struct CrawlReport {
    /// Id of the run.
    pub id: String,
    /// Name of the crawler.
    pub crawler: String,
    /// What was crawled.
    pub location: Location,
    /// Where the tables went.
    pub database: DatabaseName,
    /// Where the run is in its life.
    pub state: RunState,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Objects that the store named.
    pub listed: u64,
    /// Objects that were read.
    pub inspected: u64,
    /// Objects that were known and had not changed.
    pub reused: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// One for each table, file skipped or conflict, by path. Files of a table are counted in the table's entry, not
    /// listed each; files below a hidden folder are counted in the folder's.
    pub entries: Vec<ReportEntry>,
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended with an error, and changed no table.
    Failed,
    /// Its process or caller went away; it changed no table.
    Interrupted,
}

/// What became of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportEntry {
    /// Path below the location; empty for the location itself.
    pub path: String,
    /// What it became.
    pub outcome: Outcome,
    /// The table it became or belongs to.
    pub table: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
    /// Files it stands for.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Since the last run of this location.
    pub change: Change,
}

/// What a path became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// A table.
    Table,
    /// Nothing: it is no data file.
    Skipped,
    /// A data file that does not fit into its table.
    Conflict,
}

/// The difference to the last run of the same location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    New,
    /// It was something else, or had other files.
    Changed,
    /// As it was.
    Unchanged,
    /// It has no files any more.
    Gone,
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+) => {
        impl $type {
            /// The word for it in tables and documents.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(RunState: Running = "running", Succeeded = "succeeded", Failed = "failed", Interrupted = "interrupted");
words!(Outcome: Table = "table", Skipped = "skipped", Conflict = "conflict");
words!(Change: New = "new", Changed = "changed", Unchanged = "unchanged", Gone = "gone");
