//! The memory that queries may reserve, admitted query by query.
//!
//! Each query is let in with a grant that is kept for it until its end. What it takes beyond, up to its limit, it borrows
//! from what nobody was granted; a part of the server's memory is lent to nobody, so that new queries can begin while
//! large ones run.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// A query's grant at most, as a part of all.
const GRANT_PERCENT: usize = 5;
/// What may be granted and borrowed together before borrowing ends; the rest is for the grants of new queries.
const BORROWED_PERCENT: usize = 90;

/// What all queries together may reserve, and have.
#[derive(Debug)]
pub struct ServerMemory {
    limit: AtomicUsize,
    per_query: AtomicUsize,
    /// Granted, and borrowed beyond that.
    committed: AtomicUsize,
    reserved: AtomicUsize,
    /// The process has more memory than it should: nothing new begins.
    starved: AtomicBool,
}

impl Default for ServerMemory {
    fn default() -> Self {
        Self {
            limit: AtomicUsize::new(usize::MAX),
            per_query: AtomicUsize::new(usize::MAX),
            committed: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            starved: AtomicBool::new(false),
        }
    }
}

impl ServerMemory {
    /// So much for all queries, and for one whose workgroup says nothing else, in bytes.
    pub fn new(limit: u64, per_query: u64) -> Self {
        let memory = Self::default();
        memory.set(limit, per_query);
        memory
    }

    /// Sets both, in bytes.
    pub(crate) fn set(&self, limit: u64, per_query: u64) {
        self.limit.store(usize::try_from(limit).unwrap_or(usize::MAX), Ordering::Relaxed);
        self.per_query.store(usize::try_from(per_query).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// What all queries together may reserve, in bytes.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// What one query may reserve, in bytes: its workgroup's limit, or the server's share, and never more than all.
    pub fn limit_of_query(&self, workgroup: Option<u64>) -> usize {
        let own = workgroup.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        own.unwrap_or_else(|| self.per_query.load(Ordering::Relaxed)).min(self.limit())
    }

    /// Bytes that all queries have reserved now.
    pub fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    /// A query reserves `bytes`, of which `borrowed` are beyond its grant. False where there are not so many.
    pub fn try_reserve(&self, bytes: usize, borrowed: usize) -> bool {
        if borrowed > 0 && !self.commit(borrowed, percent(self.limit(), BORROWED_PERCENT)) {
            return false;
        }
        self.reserved.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// The same where it has happened already.
    pub fn reserve(&self, bytes: usize, borrowed: usize) {
        self.committed.fetch_add(borrowed, Ordering::Relaxed);
        self.reserved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A query gives `bytes` back, of which `borrowed` were beyond its grant.
    pub fn release(&self, bytes: usize, borrowed: usize) {
        self.committed.fetch_sub(borrowed, Ordering::Relaxed);
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The memory that a new query begins with, if there is so much. `queries`: how many may run at once.
    pub(crate) fn grant(self: &Arc<Self>, queries: usize) -> Option<MemoryGrant> {
        if self.starved.load(Ordering::Relaxed) {
            return None;
        }
        let limit = self.limit();
        let share = percent(limit, GRANT_PERCENT).min(limit / queries.max(1));
        let bytes = if limit == usize::MAX { 0 } else { share.min(self.per_query.load(Ordering::Relaxed)) };
        self.commit(bytes, limit).then(|| MemoryGrant { memory: self.clone(), bytes })
    }

    /// Whether nothing new may begin from now on.
    pub(crate) fn set_starved(&self, starved: bool) {
        self.starved.store(starved, Ordering::Relaxed);
    }

    fn commit(&self, bytes: usize, limit: usize) -> bool {
        let fits = |committed: usize| committed.checked_add(bytes).filter(|total| *total <= limit);
        self.committed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

fn percent(whole: usize, percent: usize) -> usize {
    if whole == usize::MAX { whole } else { (whole as u128 * percent as u128 / 100) as usize }
}

/// What a query may reserve whatever others do. Dropping it gives it back.
#[derive(Debug)]
pub struct MemoryGrant {
    memory: Arc<ServerMemory>,
    bytes: usize,
}

impl MemoryGrant {
    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for MemoryGrant {
    fn drop(&mut self) {
        self.memory.committed.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_kept_and_the_rest_is_lent_but_for_a_reserve() {
        let memory = Arc::new(ServerMemory::new(1000, 1000));
        let first = memory.grant(4).unwrap();
        assert_eq!(first.bytes(), 50);
        assert!(memory.try_reserve(900, 850));
        assert!(!memory.try_reserve(1, 1), "the last tenth is not lent");
        let rest = [memory.grant(4).unwrap(), memory.grant(4).unwrap()];
        assert!(memory.grant(4).is_none(), "a new query waits for memory");
        memory.release(900, 850);
        assert!(memory.grant(4).is_some());
        drop((first, rest));
        assert!(memory.try_reserve(900, 900));
        assert_eq!(memory.reserved(), 900);
    }

    #[test]
    fn a_query_has_its_workgroups_memory_and_never_more_than_all() {
        let memory = ServerMemory::new(1000, 250);
        assert_eq!(memory.limit_of_query(None), 250);
        assert_eq!(memory.limit_of_query(Some(700)), 700);
        assert_eq!(memory.limit_of_query(Some(7000)), 1000);
    }

    #[test]
    fn a_starved_server_lets_nothing_begin() {
        let memory = Arc::new(ServerMemory::new(1000, 1000));
        memory.set_starved(true);
        assert!(memory.grant(1).is_none());
        memory.set_starved(false);
        assert!(memory.grant(1).is_some());
    }
}
