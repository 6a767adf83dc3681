//! What the engine does not count, seen from outside: while the process has more memory than it should, kept columns are
//! dropped, then its largest query is ended, and nothing new begins.

use std::time::{Duration, Instant};

use lakebed_types::{Error, ErrorKind, QueryId, format_bytes};
use parking_lot::Mutex;

use crate::{history::Candidate, service::Engine};

/// The allocator hands memory back a while after it was freed; only then it is known whether that was enough.
const PAUSE: Duration = Duration::from_secs(1);

/// Ends queries while the process has too much memory.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// In bytes.
    limit: Option<u64>,
    /// When memory was freed last, and the query that was ended for it, if one was.
    last: Mutex<Option<(Instant, Option<QueryId>)>>,
}

impl Watchdog {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit, last: Mutex::new(None) }
    }

    /// Looks at the memory that the process has; the query that was ended for it.
    pub(crate) async fn look(&self, engine: &Engine, resident: u64) -> Option<QueryId> {
        metrics::gauge!("lakebed_resident_memory_bytes").set(resident as f64);
        let limit = self.limit?;
        engine.access.set_starved(resident > limit);
        if resident <= limit || !self.is_due(engine) {
            return None;
        }
        let dropped = engine.caches.drop_columns().await;
        if dropped > 0 {
            tracing::warn!(bytes = dropped, "dropping the kept columns: the process has too much memory");
            *self.last.lock() = Some((engine.clock.instant(), None));
            return None;
        }
        let largest = engine.history.candidates().into_iter().max_by_key(|candidate| candidate.memory_bytes)?;
        *self.last.lock() = Some((engine.clock.instant(), Some(largest.id)));
        Some(end(&largest, resident, limit))
    }

    /// One after the other: the last query has ended, and the memory had time to come back.
    fn is_due(&self, engine: &Engine) -> bool {
        let Some((at, query)) = *self.last.lock() else { return true };
        query.is_none_or(|id| engine.history.has_ended(id))
            && engine.clock.instant().saturating_duration_since(at) >= PAUSE
    }
}

fn end(query: &Candidate, resident: u64, limit: u64) -> QueryId {
    let (resident, limit, own) = (format_bytes(resident), format_bytes(limit), format_bytes(query.memory_bytes));
    tracing::warn!(query_id = %query.id, workgroup = query.workgroup, resident, limit, reserved = own, "ending the largest query");
    metrics::counter!("lakebed_watchdog_kills_total", "workgroup" => query.workgroup.clone()).increment(1);
    let message = format!(
        "the server ran short of memory and this was its largest query, with {own} (workgroup `{}`: resident_memory = {limit}, \
         in use {resident})",
        query.workgroup,
    );
    let hint = "Read less at once, or try again when the server has less to do.";
    query.cancel.end(Error::new(ErrorKind::MemoryPressure, message).with_hint(hint));
    query.id
}
