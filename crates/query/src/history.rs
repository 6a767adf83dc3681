//! What ran and what runs: the executions that the server remembers.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use chrono::{DateTime, Utc};
use lakebed_access::{Principal, Role};
use lakebed_types::{DatabaseName, Error, ErrorKind, QueryId, QueryState, QueryStatistics, Result, StatementKind};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    slow::{self, SlowQueries},
    stats::StatsHandle,
};

/// Longer statements are cut in the history, so that it stays small.
const MAX_SQL_BYTES: usize = 16 << 10;

/// One line of the history. `GET /v1/queries`, `system.queries`.
#[derive(Debug, Clone)]
pub struct QueryRecord {
    /// The execution's id.
    pub id: QueryId,
    /// Who ran it.
    pub principal: String,
    /// The API it came through.
    pub source: Cow<'static, str>,
    /// Where unqualified tables were looked up.
    pub database: DatabaseName,
    /// The statement's text, cut at 16 KiB.
    pub sql: String,
    /// None where the text did not parse.
    pub kind: Option<StatementKind>,
    /// Where it is in its life.
    pub state: QueryState,
    /// When it arrived.
    pub submitted: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// What it took so far.
    pub statistics: QueryStatistics,
    /// Why it failed.
    pub error: Option<(ErrorKind, String)>,
}

/// A bounded list of executions. The oldest that have ended go first.
#[derive(Debug)]
pub(crate) struct History {
    entries: Mutex<Entries>,
    capacity: usize,
    slow: SlowQueries,
}

#[derive(Debug, Default)]
struct Entries {
    order: VecDeque<QueryId>,
    by_id: HashMap<QueryId, Entry>,
}

#[derive(Debug)]
struct Entry {
    record: QueryRecord,
    stats: Option<StatsHandle>,
    cancel: CancellationToken,
    /// Its end counts once the spool has written it down, and not before.
    in_background: bool,
}

impl History {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::default(), capacity: capacity.max(1), slow: SlowQueries::default() }
    }

    /// Which executions are logged at their end.
    pub(crate) fn slow(&self) -> &SlowQueries {
        &self.slow
    }

    /// Remembers an execution; whoever cancels it by id cancels this token.
    pub(crate) fn add(&self, mut record: QueryRecord, stats: Option<StatsHandle>, cancel: CancellationToken) {
        record.sql = cut(&record.sql);
        self.insert(Entry { record, stats, cancel, in_background: false });
    }

    /// Remembers an execution that waits for its turn, and that ends with [`History::close`].
    pub(crate) fn add_background(&self, record: QueryRecord, cancel: CancellationToken) {
        self.insert(Entry { record, stats: None, cancel, in_background: true });
    }

    /// Remembers an execution of an earlier process.
    pub(crate) fn restore(&self, record: QueryRecord) {
        self.insert(Entry { record, stats: None, cancel: CancellationToken::new(), in_background: false });
    }

    fn insert(&self, entry: Entry) {
        let mut entries = self.entries.lock();
        let id = entry.record.id;
        if entries.by_id.insert(id, entry).is_none() {
            entries.order.push_back(id);
        }
        entries.trim(self.capacity);
    }

    /// A queued execution starts.
    pub(crate) fn start(&self, id: QueryId, stats: StatsHandle, cancel: CancellationToken) -> bool {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.by_id.get_mut(&id) else { return false };
        if entry.cancel.is_cancelled() {
            cancel.cancel();
        }
        entry.record.state = QueryState::Running;
        entry.stats = Some(stats);
        entry.cancel = cancel;
        true
    }

    /// The end, whatever it was. The first end counts.
    pub(crate) fn end(
        &self,
        id: QueryId,
        ended: DateTime<Utc>,
        statistics: Option<QueryStatistics>,
        outcome: Result<(), &Error>,
    ) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.by_id.get_mut(&id) else { return };
        if entry.record.ended.is_some() {
            return;
        }
        entry.record.statistics = statistics.unwrap_or_default();
        entry.stats = None;
        if entry.in_background {
            return;
        }
        entry.record.end(ended, outcome);
        let slow = self.slow.is_slow(&entry.record).then(|| entry.record.clone());
        // Writing a line may wait for whoever reads the log.
        drop(entries);
        if let Some(record) = slow {
            slow::log(&record);
        }
    }

    /// What an execution in the background will have been, once that is written down.
    pub(crate) fn ending(&self, id: QueryId, ended: DateTime<Utc>, outcome: Result<(), &Error>) -> Option<QueryRecord> {
        let entries = self.entries.lock();
        let mut record = entries.by_id.get(&id)?.current();
        record.end(ended, outcome);
        Some(record)
    }

    /// The end of an execution in the background.
    pub(crate) fn close(&self, record: QueryRecord) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.by_id.get_mut(&record.id) else { return };
        let slow = self.slow.is_slow(&record).then(|| record.clone());
        entry.record = record;
        entry.stats = None;
        entry.in_background = false;
        drop(entries);
        if let Some(record) = slow {
            slow::log(&record);
        }
    }

    pub(crate) fn record(&self, who: &Principal, id: QueryId) -> Result<QueryRecord> {
        let entries = self.entries.lock();
        match entries.by_id.get(&id).filter(|entry| may_see(who, &entry.record)) {
            Some(entry) => Ok(entry.current()),
            None => Err(not_found(id)),
        }
    }

    /// Asks a running or queued execution to stop. No effect on one that has ended.
    pub(crate) fn cancel(&self, who: &Principal, id: QueryId) -> Result<QueryRecord> {
        let entries = self.entries.lock();
        let Some(entry) = entries.by_id.get(&id).filter(|entry| may_see(who, &entry.record)) else {
            return Err(not_found(id));
        };
        entry.cancel.cancel();
        Ok(entry.current())
    }

    /// Newest first; `before`: only what is older than this one.
    pub(crate) fn list(&self, who: &Principal, limit: usize, before: Option<QueryId>) -> Vec<QueryRecord> {
        let entries = self.entries.lock();
        let end = match before {
            None => entries.order.len(),
            Some(id) => entries.order.iter().position(|other| *other == id).unwrap_or(0),
        };
        let newest_first = entries.order.iter().take(end).rev().filter_map(|id| entries.by_id.get(id));
        newest_first.filter(|entry| may_see(who, &entry.record)).take(limit).map(Entry::current).collect()
    }
}

impl QueryRecord {
    fn end(&mut self, ended: DateTime<Utc>, outcome: Result<(), &Error>) {
        self.state = state_of(outcome);
        self.error = outcome.err().map(|error| (error.kind(), error.message().to_owned()));
        self.ended = Some(ended);
    }
}

impl Entry {
    fn current(&self) -> QueryRecord {
        let mut record = self.record.clone();
        if let Some(stats) = &self.stats {
            record.statistics = stats.snapshot();
        }
        record
    }
}

impl Entries {
    /// What still runs is never forgotten; admission bounds how much that is.
    fn trim(&mut self, capacity: usize) {
        let mut at = 0;
        while self.order.len() > capacity && at < self.order.len() {
            let id = self.order[at];
            if self.by_id.get(&id).is_none_or(|entry| entry.record.ended.is_some()) {
                self.by_id.remove(&id);
                self.order.remove(at);
            } else {
                at += 1;
            }
        }
    }
}

fn state_of(outcome: Result<(), &Error>) -> QueryState {
    match outcome {
        Ok(()) => QueryState::Succeeded,
        Err(error) if error.kind() == ErrorKind::Cancelled => QueryState::Cancelled,
        Err(_) => QueryState::Failed,
    }
}

/// One's own executions, and for an administrator everyone's.
pub(crate) fn may_see(who: &Principal, record: &QueryRecord) -> bool {
    who.role() == Role::Admin || who.name() == record.principal
}

pub(crate) fn not_found(id: QueryId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no query {id}")).with_hint(
        "The history remembers a bounded number of queries, and across a restart those that ran in the background.",
    )
}

/// The text as the history has it.
pub(crate) fn cut(sql: &str) -> String {
    let mut end = sql.len().min(MAX_SQL_BYTES);
    while !sql.is_char_boundary(end) {
        end -= 1;
    }
    sql[..end].to_owned()
}
