//! The record of a background execution, as it stands on the disk.

use std::{borrow::Cow, io, path::Path};

use chrono::{DateTime, Utc};
use lakebed_types::{DatabaseName, Error, ErrorKind, QueryId, QueryState, QueryStatistics, Result, StatementKind};
use serde::{Deserialize, Serialize};

use super::{Written, disk, disk_failed};
use crate::history::QueryRecord;

/// A line of the history, until when it is kept, and where its rows end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: QueryId,
    principal: String,
    workgroup: String,
    source: Cow<'static, str>,
    database: DatabaseName,
    sql: String,
    kind: Option<StatementKind>,
    state: QueryState,
    submitted: DateTime<Utc>,
    ended: Option<DateTime<Utc>>,
    statistics: QueryStatistics,
    error: Option<Failure>,
    /// None while it has not ended.
    pub(super) expires: Option<DateTime<Utc>>,
    /// None where it has no rows to fetch.
    pub(super) rows: Option<Rows>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    code: String,
    message: String,
}

/// The file of the rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rows {
    pub(super) bytes: u64,
    /// Rows up to the end of each batch.
    pub(super) ends: Vec<u64>,
}

impl Record {
    /// Of an execution that is accepted.
    pub(super) fn open(record: &QueryRecord) -> Self {
        let failure =
            |(kind, message): &(ErrorKind, String)| Failure { code: kind.code().into(), message: message.clone() };
        Self {
            id: record.id,
            principal: record.principal.clone(),
            workgroup: record.workgroup.clone(),
            source: record.source.clone(),
            database: record.database.clone(),
            sql: record.sql.clone(),
            kind: record.kind,
            state: record.state,
            submitted: record.submitted,
            ended: record.ended,
            statistics: record.statistics.clone(),
            error: record.error.as_ref().map(failure),
            expires: None,
            rows: None,
        }
    }

    /// Of an execution that has ended.
    pub(super) fn closed(record: &QueryRecord, expires: DateTime<Utc>, rows: Option<&Written>) -> Self {
        let rows = rows.map(|rows| Rows { bytes: rows.bytes(), ends: rows.ends().to_vec() });
        Self { expires: Some(expires), rows, ..Self::open(record) }
    }

    /// It will not end as it should have.
    pub(super) fn fail(&mut self, kind: ErrorKind, message: String, now: DateTime<Utc>, expires: DateTime<Utc>) {
        self.state = QueryState::Failed;
        self.error = Some(Failure { code: kind.code().into(), message });
        self.ended.get_or_insert(now);
        self.expires = Some(expires);
        self.rows = None;
    }

    /// As the history tells it.
    pub(super) fn into_history(self) -> QueryRecord {
        let kind_of =
            |failure: Failure| (ErrorKind::from_code(&failure.code).unwrap_or(ErrorKind::Internal), failure.message);
        QueryRecord {
            id: self.id,
            principal: self.principal,
            workgroup: self.workgroup,
            queue_position: None,
            source: self.source,
            database: self.database,
            sql: self.sql,
            kind: self.kind,
            state: self.state,
            submitted: self.submitted,
            ended: self.ended,
            statistics: self.statistics,
            error: self.error.map(kind_of),
        }
    }

    /// When it arrived.
    pub(super) fn submitted(&self) -> DateTime<Utc> {
        self.submitted
    }

    /// Puts it on the disk; gives its size in bytes.
    pub(super) fn write(&self, path: &Path) -> Result<u64> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Error::internal("writing the record of a query").with_source(error))?;
        disk::write(path, &bytes).map_err(|error| disk_failed(path, &error))?;
        Ok(bytes.len() as u64)
    }

    pub(super) fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&std::fs::read(path)?).map_err(io::Error::from)
    }
}
