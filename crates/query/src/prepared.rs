//! A statement that has been checked and planned, and what it will do when it runs.

use std::{fmt, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::writer::StreamWriter};
use chrono::{DateTime, Utc};
use lakebed_access::Principal;
use lakebed_types::{DatabaseName, QueryId, QueryState, QueryStatistics, Result, StatementKind};
use sha2::{Digest, Sha256};

use crate::{
    error::from_arrow,
    history::QueryRecord,
    resolve::ReadTable,
    result_cache::{CachePolicy, Ticket},
    session::Resources,
    work::Work,
};

/// Values for parameters, typed by what the plan infers (`$1` / `?` positional, `$name` named).
#[derive(Debug, Clone, PartialEq)]
pub enum Parameters {
    /// The statement has none.
    None,
    /// In the order of `$1`, `$2`, …, or of the question marks.
    Positional(Vec<serde_json::Value>),
    /// By name, without the dollar sign.
    Named(Vec<(String, serde_json::Value)>),
    /// The first row of Arrow columns: in their order, or by their names where the statement's parameters have names.
    Row(RecordBatch),
}

impl Parameters {
    /// Which values these are, part by part: the same parts, the same values.
    pub(crate) fn parts(&self) -> Result<Vec<String>> {
        Ok(match self {
            Parameters::None => Vec::new(),
            Parameters::Positional(values) => values.iter().map(ToString::to_string).collect(),
            Parameters::Named(values) => values.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            Parameters::Row(row) => vec![row_digest(row)?],
        })
    }
}

/// Names, types and values of the first row, as a hash.
fn row_digest(row: &RecordBatch) -> Result<String> {
    let row = row.slice(0, row.num_rows().min(1));
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &row.schema()).map_err(from_arrow)?;
    writer.write(&row).and_then(|()| writer.finish()).map_err(from_arrow)?;
    drop(writer);
    Ok(hex::encode(Sha256::digest(&bytes)))
}

/// What a statement is, before its parameters have values.
#[derive(Debug, Clone)]
pub struct Description {
    /// What the statement is.
    pub kind: StatementKind,
    /// The columns of its result. Where it has parameters these may still get other types.
    pub schema: SchemaRef,
    /// Its parameters in order, named `$1` or `$name`; of the type `Null` where the plan knows none.
    pub parameters: SchemaRef,
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
    /// As in [`Description::parameters`].
    pub(crate) parameters: SchemaRef,
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

    /// Its parameters in order, named `$1` or `$name`.
    pub fn parameters(&self) -> SchemaRef {
        self.parameters.clone()
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
