//! A statement that has been checked and planned, and what it will do when it runs.

use std::{fmt, time::Duration};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakebed_access::Principal;
use lakebed_types::{DatabaseName, QueryId, QueryState, QueryStatistics, StatementKind};

use crate::{
    history::QueryRecord,
    resolve::ReadTable,
    result_cache::{CachePolicy, Ticket},
    session::Resources,
    work::Work,
};

/// A value for a parameter: JSON, typed by what the plan infers (`$1` / `?` positional, `$name` named).
#[derive(Debug, Clone, PartialEq)]
pub enum Parameters {
    /// The statement has none.
    None,
    /// In the order of `$1`, `$2`, …, or of the question marks.
    Positional(Vec<serde_json::Value>),
    /// By name, without the dollar sign.
    Named(Vec<(String, serde_json::Value)>),
}

/// What a statement is prepared with.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// Where unqualified tables are looked up.
    pub database: DatabaseName,
    /// Values for the statement's parameters.
    pub parameters: Parameters,
    /// The API it came through, for the history: `rest`, `cli`, `flight`.
    pub source: &'static str,
    /// Whether a kept answer will do, and whether this one may be kept.
    pub result_cache: CachePolicy,
}

/// A statement that has been checked and planned as its principal, against pinned snapshots.
pub struct PreparedQuery {
    pub(crate) id: QueryId,
    pub(crate) sql: String,
    pub(crate) kind: StatementKind,
    pub(crate) source: &'static str,
    pub(crate) database: DatabaseName,
    pub(crate) submitted: DateTime<Utc>,
    pub(crate) schema: SchemaRef,
    /// `database.table` or location, and version.
    pub(crate) snapshots: Vec<(String, String)>,
    pub(crate) tables: Vec<ReadTable>,
    pub(crate) etag: Option<String>,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) planning: Duration,
    pub(crate) resources: Resources,
    pub(crate) work: Work,
}

impl PreparedQuery {
    /// The execution's id: in the history once it runs.
    pub fn id(&self) -> QueryId {
        self.id
    }

    /// The text as it came.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What the statement is.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// Schema of the result; output names as promised (file's spelling, `x_1` for duplicates).
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Tables read and their snapshot versions.
    pub fn snapshots(&self) -> &[(String, String)] {
        &self.snapshots
    }

    /// Same statement, parameters, snapshots and visible data ⇒ same tag. None where the answer may differ
    /// (`now()`, `random()`, system tables, anything but SELECT).
    pub fn etag(&self) -> Option<String> {
        self.etag.clone()
    }

    /// Its line in the history.
    pub(crate) fn record(&self, who: &Principal) -> QueryRecord {
        QueryRecord {
            id: self.id,
            principal: who.name().to_owned(),
            workgroup: who.workgroup().to_owned(),
            source: self.source.into(),
            database: self.database.clone(),
            sql: self.sql.clone(),
            kind: Some(self.kind),
            state: QueryState::Running,
            queue_position: None,
            submitted: self.submitted,
            ended: None,
            statistics: QueryStatistics::default(),
            error: None,
        }
    }
}

impl fmt::Debug for PreparedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedQuery").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}
