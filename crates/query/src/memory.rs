//! Memory in two levels: what the server may reserve, and what one query may.
//!
//! Operators that can spill share a query's memory fairly once it gets scarce, and leave headroom for those that cannot.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{DataFusionError, Result},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
};
use lakebed_access::ServerMemory;
use lakebed_types::format_bytes;
use parking_lot::Mutex;

/// Above this part of a query's memory, each spilling operator is held to its fair share.
const FAIR_ABOVE_PERCENT: usize = 60;
/// Spilling operators together leave the rest to operators that cannot spill.
const SPILLABLE_PERCENT: usize = 90;

/// How the message of a query that may not have more begins.
pub(crate) const QUERY_MAY: &str = "a query may reserve";
/// How it begins where all queries together may not have more.
pub(crate) const SERVER_MAY: &str = "the server may reserve";

/// One query's memory. Whatever it still holds at its end goes back to the server.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    server: Arc<ServerMemory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Kept for this query, whatever others take.
    granted: usize,
    spilling_consumers: usize,
    spillable: usize,
    unspillable: usize,
    peak: usize,
}

impl State {
    fn used(&self) -> usize {
        self.spillable + self.unspillable
    }

    fn add(&mut self, spills: bool, bytes: usize) {
        match spills {
            true => self.spillable += bytes,
            false => self.unspillable += bytes,
        }
        self.peak = self.peak.max(self.used());
    }

    /// Of `bytes` more, how many are beyond the grant.
    fn borrowed_by(&self, bytes: usize) -> usize {
        let beyond = |used: usize| used.saturating_sub(self.granted);
        beyond(self.used().saturating_add(bytes)) - beyond(self.used())
    }
}

impl QueryMemory {
    /// Until it is bound, as much as a query has whose workgroup says nothing else, and no grant.
    pub(crate) fn new(server: Arc<ServerMemory>) -> Self {
        let limit = server.limit_of_query(None);
        let state = State { limit, granted: 0, spilling_consumers: 0, spillable: 0, unspillable: 0, peak: 0 };
        Self { server, state: Mutex::new(state) }
    }

    /// What its workgroup gives it, and what was granted when it was admitted, in bytes. Its limit.
    pub(crate) fn bind(&self, limit: Option<u64>, granted: usize) -> usize {
        let mut state = self.state.lock();
        let borrowed = state.used().saturating_sub(state.granted);
        state.limit = self.server.limit_of_query(limit);
        state.granted = granted.min(state.limit);
        let still_borrowed = state.used().saturating_sub(state.granted);
        self.server.release(0, borrowed.saturating_sub(still_borrowed));
        state.limit
    }

    /// What is reserved now, in bytes.
    pub(crate) fn used(&self) -> usize {
        self.state.lock().used()
    }

    /// The most that was reserved at once, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.state.lock().peak
    }

    fn fits(state: &State, reservation: &MemoryReservation, additional: usize) -> bool {
        let total = state.used().saturating_add(additional);
        if !reservation.consumer().can_spill() {
            return total <= state.limit;
        }
        let for_spilling = percent(state.limit, SPILLABLE_PERCENT);
        let share = for_spilling.saturating_sub(state.unspillable) / state.spilling_consumers.max(1);
        total <= for_spilling
            && (total <= percent(state.limit, FAIR_ABOVE_PERCENT) || reservation.size() + additional <= share)
    }

    fn refused(
        what: &str,
        limit: usize,
        used: usize,
        reservation: &MemoryReservation,
        bytes: usize,
    ) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "{what} {} of memory: {} asked for {} more while {} were in use",
            format_bytes(limit as u64),
            reservation.consumer().name(),
            format_bytes(bytes as u64),
            format_bytes(used as u64),
        ))
    }
}

fn percent(whole: usize, percent: usize) -> usize {
    whole / 100 * percent
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.state.lock().spilling_consumers += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            let mut state = self.state.lock();
            state.spilling_consumers = state.spilling_consumers.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut state = self.state.lock();
        self.server.reserve(additional, state.borrowed_by(additional));
        state.add(reservation.consumer().can_spill(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut state = self.state.lock();
        let before = state.used().saturating_sub(state.granted);
        match reservation.consumer().can_spill() {
            true => state.spillable = state.spillable.saturating_sub(shrink),
            false => state.unspillable = state.unspillable.saturating_sub(shrink),
        }
        let after = state.used().saturating_sub(state.granted);
        self.server.release(shrink, before - after);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state.lock();
        if !Self::fits(&state, reservation, additional) {
            return Err(Self::refused(QUERY_MAY, state.limit, state.used(), reservation, additional));
        }
        if !self.server.try_reserve(additional, state.borrowed_by(additional)) {
            let (limit, used) = (self.server.limit(), self.server.reserved());
            return Err(Self::refused(SERVER_MAY, limit, used, reservation, additional));
        }
        state.add(reservation.consumer().can_spill(), additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.state.lock().used()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.state.lock().limit)
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let (used, limit) = (format_bytes(state.used() as u64), format_bytes(state.limit as u64));
        write!(f, "query(used: {used}, limit: {limit})")
    }
}

impl Drop for QueryMemory {
    fn drop(&mut self) {
        let state = self.state.lock();
        self.server.release(state.used(), state.used().saturating_sub(state.granted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(server: u64, query: u64) -> (Arc<ServerMemory>, Arc<dyn MemoryPool>) {
        let server = Arc::new(ServerMemory::new(server, query));
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryMemory::new(server.clone()));
        (server, pool)
    }

    #[test]
    fn the_server_limit_holds_across_queries() {
        let (server, first) = pool(1000, 800);
        let second: Arc<dyn MemoryPool> = Arc::new(QueryMemory::new(server.clone()));
        let a = MemoryConsumer::new("a").register(&first);
        let b = MemoryConsumer::new("b").register(&second);
        a.try_grow(700).unwrap();
        let error = b.try_grow(400).unwrap_err().to_string();
        assert!(error.contains("the server may reserve 1000 B") && error.contains("b asked for 400 B"), "{error}");
        drop(a);
        b.try_grow(400).unwrap();
        assert_eq!(server.reserved(), 400);
        drop(b);
        assert_eq!(server.reserved(), 0);
    }

    #[test]
    fn a_grant_is_there_whatever_others_take() {
        let server = Arc::new(ServerMemory::new(1000, 1000));
        let query = Arc::new(QueryMemory::new(server.clone()));
        let granted: Arc<dyn MemoryPool> = query.clone();
        let other: Arc<dyn MemoryPool> = Arc::new(QueryMemory::new(server.clone()));
        let a = MemoryConsumer::new("a").register(&granted);
        let b = MemoryConsumer::new("b").register(&other);
        assert_eq!(query.bind(Some(200), 100), 200);
        b.try_grow(900).unwrap();
        a.try_grow(100).unwrap();
        assert!(a.try_grow(1).unwrap_err().to_string().contains("the server may reserve"));
        b.shrink(400);
        a.try_grow(100).unwrap();
        assert!(a.try_grow(1).unwrap_err().to_string().contains("a query may reserve 200 B"));
        a.shrink(150);
        assert!(b.try_grow(401).is_err() && b.try_grow(400).is_ok(), "what was borrowed is back");
        drop((a, b));
        assert_eq!(server.reserved(), 0);
    }

    #[test]
    fn spilling_operators_leave_headroom_and_share() {
        let (_, pool) = pool(10_000, 1000);
        let a = MemoryConsumer::new("a").with_can_spill(true).register(&pool);
        let b = MemoryConsumer::new("b").with_can_spill(true).register(&pool);
        let join = MemoryConsumer::new("join").register(&pool);
        a.try_grow(600).unwrap();
        assert!(a.try_grow(10).is_err(), "above the fair share");
        b.try_grow(300).unwrap();
        assert!(b.try_grow(1).is_err(), "the last tenth is for operators that cannot spill");
        join.try_grow(100).unwrap();
        assert!(join.try_grow(1).is_err());
    }
}
