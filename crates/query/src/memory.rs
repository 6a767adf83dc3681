//! Memory in two levels: what the server may reserve, and what one query may.
//!
//! Operators that can spill share a query's memory fairly once it gets scarce, and leave headroom for those that cannot.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::{
    common::{DataFusionError, Result},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
};
use lakebed_types::format_bytes;
use parking_lot::Mutex;

/// Above this part of a query's memory, each spilling operator is held to its fair share.
const FAIR_ABOVE_PERCENT: usize = 60;
/// Spilling operators together leave the rest to operators that cannot spill.
const SPILLABLE_PERCENT: usize = 90;

/// What all queries together have reserved.
#[derive(Debug)]
pub(crate) struct ServerMemory {
    limit: usize,
    used: AtomicUsize,
}

impl ServerMemory {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn try_grow(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|total| *total <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// One query's memory. Whatever it still holds at its end goes back to the server.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    server: Arc<ServerMemory>,
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
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
}

impl QueryMemory {
    pub(crate) fn new(server: Arc<ServerMemory>, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(server.limit);
        Self { server, limit, state: Mutex::default() }
    }

    /// The most that was reserved at once, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.state.lock().peak
    }

    fn fits(&self, state: &State, reservation: &MemoryReservation, additional: usize) -> bool {
        let total = state.used().saturating_add(additional);
        if !reservation.consumer().can_spill() {
            return total <= self.limit;
        }
        let for_spilling = percent(self.limit, SPILLABLE_PERCENT);
        let share = for_spilling.saturating_sub(state.unspillable) / state.spilling_consumers.max(1);
        total <= for_spilling
            && (total <= percent(self.limit, FAIR_ABOVE_PERCENT) || reservation.size() + additional <= share)
    }

    fn refused(
        &self,
        what: &str,
        limit: usize,
        used: usize,
        reservation: &MemoryReservation,
        bytes: usize,
    ) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "{what} may reserve {} of memory: {} asked for {} more while {} were in use",
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
        self.server.used.fetch_add(additional, Ordering::Relaxed);
        self.state.lock().add(reservation.consumer().can_spill(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.server.used.fetch_sub(shrink, Ordering::Relaxed);
        let mut state = self.state.lock();
        match reservation.consumer().can_spill() {
            true => state.spillable = state.spillable.saturating_sub(shrink),
            false => state.unspillable = state.unspillable.saturating_sub(shrink),
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state.lock();
        if !self.fits(&state, reservation, additional) {
            return Err(self.refused("a query", self.limit, state.used(), reservation, additional));
        }
        if !self.server.try_grow(additional) {
            return Err(self.refused("the server", self.server.limit, self.server.used(), reservation, additional));
        }
        state.add(reservation.consumer().can_spill(), additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.state.lock().used()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query(used: {}, limit: {})", format_bytes(self.reserved() as u64), format_bytes(self.limit as u64))
    }
}

impl Drop for QueryMemory {
    fn drop(&mut self) {
        self.server.used.fetch_sub(self.state.lock().used(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(server: u64, query: u64) -> (Arc<ServerMemory>, Arc<dyn MemoryPool>) {
        let server = Arc::new(ServerMemory::new(server));
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryMemory::new(server.clone(), query));
        (server, pool)
    }

    #[test]
    fn the_server_limit_holds_across_queries() {
        let (server, first) = pool(1000, 800);
        let second: Arc<dyn MemoryPool> = Arc::new(QueryMemory::new(server.clone(), 800));
        let a = MemoryConsumer::new("a").register(&first);
        let b = MemoryConsumer::new("b").register(&second);
        a.try_grow(700).unwrap();
        let error = b.try_grow(400).unwrap_err().to_string();
        assert!(error.contains("the server may reserve 1000 B") && error.contains("b asked for 400 B"), "{error}");
        drop(a);
        b.try_grow(400).unwrap();
        assert_eq!(server.used(), 400);
        drop(b);
        assert_eq!(server.used(), 0);
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
