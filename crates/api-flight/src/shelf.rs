//! Things that the server keeps for its callers between calls: bounded in number for each caller and in all, and forgotten
//! when nobody has asked for them for a while.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use lakebed_types::Clock;
use parking_lot::Mutex;

/// Things by their ids, each with an owner. Whose owner has too many, or where all are too many, the one that was not used
/// for the longest time goes.
pub(crate) struct Shelf<K, T> {
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    things: Mutex<HashMap<K, Thing<T>>>,
}

/// How much a shelf keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Things of one owner.
    pub(crate) of_owner: usize,
    /// Things of all.
    pub(crate) of_all: usize,
    /// Time without use.
    pub(crate) idle: Duration,
}

struct Thing<T> {
    owner: String,
    used: Instant,
    value: T,
}

impl<K: Copy + Eq + Hash, T> Shelf<K, T> {
    pub(crate) fn new(clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        Self { clock, bounds, things: Mutex::default() }
    }

    /// Keeps a thing under an id, in place of what was there.
    pub(crate) fn put(&self, owner: &str, id: K, value: T) {
        let used = self.clock.instant();
        let mut things = self.things.lock();
        things.retain(|_, thing| !self.is_over(thing, used));
        if things.values().filter(|thing| thing.owner == owner).count() >= self.bounds.of_owner {
            drop_oldest(&mut things, |thing| thing.owner == owner);
        }
        if things.len() >= self.bounds.of_all {
            drop_oldest(&mut things, |_| true);
        }
        things.insert(id, Thing { owner: owner.to_owned(), used, value });
    }

    /// Takes a thing away from its owner's shelf.
    pub(crate) fn take(&self, owner: &str, id: K) -> Option<T> {
        let now = self.clock.instant();
        let mut things = self.things.lock();
        let is_there = things.get(&id).is_some_and(|thing| thing.owner == owner && !self.is_over(thing, now));
        if is_there { things.remove(&id).map(|thing| thing.value) } else { None }
    }

    /// Looks at a thing, which counts as use.
    pub(crate) fn with<R>(&self, owner: &str, id: K, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        let now = self.clock.instant();
        let mut things = self.things.lock();
        let thing = things.get_mut(&id).filter(|thing| thing.owner == owner && !self.is_over(thing, now))?;
        thing.used = now;
        Some(look(&mut thing.value))
    }

    /// Forgets what was not used for too long.
    pub(crate) fn sweep(&self) {
        let now = self.clock.instant();
        self.things.lock().retain(|_, thing| !self.is_over(thing, now));
    }

    /// How many things there are.
    pub(crate) fn len(&self) -> usize {
        self.things.lock().len()
    }

    fn is_over(&self, thing: &Thing<T>, now: Instant) -> bool {
        now.saturating_duration_since(thing.used) >= self.bounds.idle
    }
}

fn drop_oldest<K: Copy + Eq + Hash, T>(things: &mut HashMap<K, Thing<T>>, of: impl Fn(&Thing<T>) -> bool) {
    let oldest = things.iter().filter(|(_, thing)| of(thing)).min_by_key(|(_, thing)| thing.used).map(|(id, _)| *id);
    if let Some(id) = oldest {
        things.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use lakebed_testkit::MockClock;
    use uuid::Uuid;

    use super::*;

    fn shelf(clock: &Arc<MockClock>) -> Shelf<Uuid, u32> {
        let bounds = Bounds { of_owner: 2, of_all: 3, idle: Duration::from_secs(60) };
        Shelf::new(clock.clone(), bounds)
    }

    #[test]
    fn only_its_owner_finds_a_thing_and_takes_it_once() {
        let shelf = shelf(&Arc::new(MockClock::new()));
        let id = Uuid::new_v4();
        shelf.put("a", id, 7);
        assert_eq!((shelf.with("b", id, |value| *value), shelf.take("b", id)), (None, None));
        assert_eq!((shelf.take("a", id), shelf.take("a", id)), (Some(7), None));
    }

    #[test]
    fn who_has_too_many_loses_what_was_not_used_for_longest() {
        let clock = Arc::new(MockClock::new());
        let shelf = shelf(&clock);
        let ids: Vec<Uuid> = (0..5).map(|_| Uuid::new_v4()).collect();
        for id in &ids[..2] {
            shelf.put("a", *id, 0);
            clock.advance(Duration::from_secs(1));
        }
        shelf.with("a", ids[0], |_| ());
        clock.advance(Duration::from_secs(1));
        shelf.put("a", ids[2], 0);
        assert!(shelf.with("a", ids[1], |_| ()).is_none());
        clock.advance(Duration::from_secs(1));
        assert!(shelf.with("a", ids[0], |_| ()).is_some());
        clock.advance(Duration::from_secs(1));
        shelf.put("b", ids[3], 0);
        shelf.put("b", ids[4], 0);
        assert!(shelf.len() == 3 && shelf.with("a", ids[2], |_| ()).is_none(), "all together are bounded too");
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let clock = Arc::new(MockClock::new());
        let shelf = shelf(&clock);
        let (kept, left) = (Uuid::new_v4(), Uuid::new_v4());
        shelf.put("a", kept, 1);
        shelf.put("a", left, 2);
        clock.advance(Duration::from_secs(59));
        shelf.with("a", kept, |_| ());
        clock.advance(Duration::from_secs(1));
        assert_eq!(shelf.take("a", left), None);
        shelf.sweep();
        assert_eq!((shelf.len(), shelf.take("a", kept)), (1, Some(1)));
    }
}
