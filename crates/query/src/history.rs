//! What ran and what runs: the executions that the server remembers.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use chrono::{DateTime, Utc};
use lakebed_access::{Access, Principal, QueueTicket, Role};
use lakebed_types::{
    Clock, DatabaseName, Error, ErrorKind, QueryId, QueryState, QueryStatistics, Result, StatementKind,
};
use parking_lot::Mutex;

use crate::{
    cancel::Cancel,
    slow::{self, SlowQueries},
    stats::{StatsHandle, millis},
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
    /// Under which workgroup.
    pub workgroup: String,
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
    /// While it is queued: its place in the queue, from 1 on.
    pub queue_position: Option<usize>,
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
    access: Access,
    clock: Arc<dyn Clock>,
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
    cancel: Cancel,
    /// Its end counts once the spool has written it down, and not before.
    in_background: bool,
    /// Since when it waits for its turn, and what it is known by there.
    waiting: Option<(Instant, QueueTicket)>,
}

/// A query that runs, for whoever must end one.
pub(crate) struct Candidate {
    pub(crate) id: QueryId,
    pub(crate) workgroup: String,
    /// Bytes that it has reserved.
    pub(crate) memory_bytes: u64,
    pub(crate) cancel: Cancel,
}

impl Entry {
    fn new(record: QueryRecord, stats: Option<StatsHandle>, cancel: Cancel) -> Self {
        Self { record, stats, cancel, in_background: false, waiting: None }
    }
}

impl History {
    pub(crate) fn new(capacity: usize, access: Access, clock: Arc<dyn Clock>) -> Self {
        let slow = SlowQueries::default();
        Self { entries: Mutex::default(), capacity: capacity.max(1), slow, access, clock }
    }

    /// Which executions are logged at their end.
    pub(crate) fn slow(&self) -> &SlowQueries {
        &self.slow
    }

    /// Remembers an execution; whoever cancels it by id cancels this.
    pub(crate) fn add(&self, mut record: QueryRecord, stats: Option<StatsHandle>, cancel: Cancel) {
        record.sql = cut(&record.sql);
        self.insert(Entry::new(record, stats, cancel));
    }

    /// Remembers an execution that waits for its turn, and that ends with [`History::close`].
    pub(crate) fn add_background(&self, record: QueryRecord, cancel: Cancel) {
        self.insert(Entry { in_background: true, ..Entry::new(record, None, cancel) });
    }

    /// Remembers an execution of an earlier process.
    pub(crate) fn restore(&self, record: QueryRecord) {
        self.insert(Entry::new(record, None, Cancel::default()));
    }

    fn insert(&self, entry: Entry) {
        let mut entries = self.entries.lock();
        let id = entry.record.id;
        if entries.by_id.insert(id, entry).is_none() {
            entries.order.push_back(id);
        }
        entries.trim(self.capacity);
    }

    /// It waits for its turn from now on.
    pub(crate) fn wait(&self, id: QueryId, ticket: QueueTicket) {
        let since = self.clock.instant();
        if let Some(entry) = self.entries.lock().by_id.get_mut(&id) {
            entry.waiting = Some((since, ticket));
        }
    }

    /// It was refused, whether it is remembered already or not.
    pub(crate) fn refuse(&self, record: QueryRecord, now: DateTime<Utc>, error: &Error) {
        let id = record.id;
        if !self.entries.lock().by_id.contains_key(&id) {
            self.add(record, None, Cancel::default());
        }
        self.end(id, now, None, Err(error));
    }

    /// A queued execution starts.
    pub(crate) fn start(&self, id: QueryId, stats: StatsHandle, cancel: Cancel) -> bool {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.by_id.get_mut(&id) else { return false };
        if entry.cancel.is_cancelled() {
            cancel.cancel();
        }
        entry.record.state = QueryState::Running;
        entry.stats = Some(stats);
        entry.cancel = cancel;
        entry.waiting = None;
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
        entry.waiting = None;
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
        let mut record = self.current(entries.by_id.get(&id)?);
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
        entry.waiting = None;
        entry.in_background = false;
        drop(entries);
        if let Some(record) = slow {
            slow::log(&record);
        }
    }

    pub(crate) fn record(&self, who: &Principal, id: QueryId) -> Result<QueryRecord> {
        let entries = self.entries.lock();
        match entries.by_id.get(&id).filter(|entry| may_see(who, &entry.record)) {
            Some(entry) => Ok(self.current(entry)),
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
        Ok(self.current(entry))
    }

    /// Newest first; `before`: only what is older than this one.
    pub(crate) fn list(&self, who: &Principal, limit: usize, before: Option<QueryId>) -> Vec<QueryRecord> {
        let entries = self.entries.lock();
        let end = match before {
            None => entries.order.len(),
            Some(id) => entries.order.iter().position(|other| *other == id).unwrap_or(0),
        };
        let newest_first = entries.order.iter().take(end).rev().filter_map(|id| entries.by_id.get(id));
        let seen: Vec<&Entry> = newest_first.filter(|entry| may_see(who, &entry.record)).take(limit).collect();
        self.all_current(&seen)
    }

    /// What waits and what runs, the oldest first.
    pub(crate) fn under_way(&self, who: &Principal) -> Vec<QueryRecord> {
        let entries = self.entries.lock();
        let all = entries.order.iter().filter_map(|id| entries.by_id.get(id));
        let seen: Vec<&Entry> =
            all.filter(|entry| entry.record.ended.is_none() && may_see(who, &entry.record)).collect();
        self.all_current(&seen)
    }

    /// The queries that run, of all principals.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let entries = self.entries.lock();
        let candidate = |entry: &Entry| {
            let memory_bytes = entry.stats.as_ref()?.memory_reserved();
            let (id, workgroup, cancel) = (entry.record.id, entry.record.workgroup.clone(), entry.cancel.clone());
            (!cancel.is_cancelled()).then_some(Candidate { id, workgroup, memory_bytes, cancel })
        };
        entries.by_id.values().filter_map(candidate).collect()
    }

    /// Whether it is over, or forgotten.
    pub(crate) fn has_ended(&self, id: QueryId) -> bool {
        self.entries.lock().by_id.get(&id).is_none_or(|entry| entry.record.ended.is_some())
    }

    fn current(&self, entry: &Entry) -> QueryRecord {
        let positions = if entry.waiting.is_some() { self.access.queue_positions() } else { HashMap::new() };
        entry.current(&positions, self.clock.instant())
    }

    fn all_current(&self, entries: &[&Entry]) -> Vec<QueryRecord> {
        let someone_waits = entries.iter().any(|entry| entry.waiting.is_some());
        let positions = if someone_waits { self.access.queue_positions() } else { HashMap::new() };
        let now = self.clock.instant();
        entries.iter().map(|entry| entry.current(&positions, now)).collect()
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
    fn current(&self, positions: &HashMap<QueueTicket, usize>, now: Instant) -> QueryRecord {
        let mut record = self.record.clone();
        if let Some(stats) = &self.stats {
            record.statistics = stats.snapshot();
        }
        if let Some((since, ticket)) = &self.waiting {
            record.queue_position = positions.get(ticket).copied();
            record.statistics.queue_ms = millis(now.saturating_duration_since(*since));
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
