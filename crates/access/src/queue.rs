//! Places and the queue for them: fair by principal, first come first served within one.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::Limits;

/// Hands out places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    capacity_per_principal: usize,
    queue_length: usize,
    state: Mutex<State>,
    /// How many places are taken, for those who wait for none.
    running: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    running: usize,
    running_by: HashMap<String, usize>,
    queued: usize,
    next_ticket: u64,
    /// Principals with waiting queries, in the order of their turns. No queue in it is empty.
    turns: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    principal: String,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    wake: oneshot::Sender<()>,
}

/// Why there is no place, and will be none by waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    Full,
    /// No new ones are let in.
    Closed,
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shared = Shared {
            capacity: limits.running_queries.max(1),
            capacity_per_principal: limits.running_queries_per_principal.max(1),
            queue_length: limits.queue_length,
            state: Mutex::default(),
            running: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(crate) async fn take(&self, principal: &str) -> Result<Place, Refused> {
        let mut turn = {
            let mut state = self.shared.state.lock();
            if state.closed {
                return Err(Refused::Closed);
            }
            if self.shared.has_room(&state, principal) {
                self.shared.occupy(&mut state, principal);
                return Ok(Place { shared: self.shared.clone(), principal: principal.to_owned() });
            }
            if state.queued >= self.shared.queue_length {
                return Err(Refused::Full);
            }
            let (ticket, woken) = state.enqueue(principal);
            gauge!("lakebed_queries_queued").set(state.queued as f64);
            Turn { shared: &self.shared, principal, ticket, woken, over: false }
        };
        let woken = (&mut turn.woken).await;
        turn.over = true;
        match woken {
            Ok(()) => Ok(Place { shared: self.shared.clone(), principal: principal.to_owned() }),
            Err(_) => Err(Refused::Closed),
        }
    }

    /// Lets nobody in from now on, and sends those away who wait.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.queued = 0;
        state.turns.clear();
        gauge!("lakebed_queries_queued").set(0.0);
    }

    /// Resolves when no place is taken.
    pub(crate) async fn all_returned(&self) {
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = self.shared.running.subscribe().wait_for(|running| *running == 0).await;
    }

    pub(crate) fn running(&self) -> usize {
        self.shared.state.lock().running
    }

    pub(crate) fn queued(&self) -> usize {
        self.shared.state.lock().queued
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state.lock().closed
    }
}

impl Shared {
    fn has_room(&self, state: &State, principal: &str) -> bool {
        let own = state.running_by.get(principal).copied().unwrap_or_default();
        state.running < self.capacity && own < self.capacity_per_principal
    }

    fn occupy(&self, state: &mut State, principal: &str) {
        state.running += 1;
        *state.running_by.entry(principal.to_owned()).or_default() += 1;
        self.publish(state);
    }

    /// Gives a place back, and it to the next whose turn it is.
    fn vacate(&self, principal: &str) {
        let mut state = self.state.lock();
        state.running -= 1;
        if let Some(own) = state.running_by.get_mut(principal) {
            *own -= 1;
            if *own == 0 {
                state.running_by.remove(principal);
            }
        }
        self.dispatch(&mut state);
        self.publish(&state);
    }

    /// Lets in as many as there is room for, one of each principal in turn.
    fn dispatch(&self, state: &mut State) {
        while let Some(at) = state.turns.iter().position(|waiting| self.has_room(state, &waiting.principal)) {
            let Some(mut waiting) = state.turns.remove(at) else { return };
            let Some(waiter) = waiting.queue.pop_front() else { continue };
            state.queued -= 1;
            // A waiter that is gone already took itself out of the queue, or will give the place back.
            if waiter.wake.send(()).is_ok() {
                self.occupy(state, &waiting.principal);
            }
            if !waiting.queue.is_empty() {
                state.turns.push_back(waiting);
            }
        }
        gauge!("lakebed_queries_queued").set(state.queued as f64);
    }

    fn publish(&self, state: &State) {
        gauge!("lakebed_queries_running").set(state.running as f64);
        self.running.send_replace(state.running);
    }
}

impl State {
    fn enqueue(&mut self, principal: &str) -> (u64, oneshot::Receiver<()>) {
        let (wake, woken) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.queued += 1;
        let waiter = Waiter { ticket, wake };
        match self.turns.iter_mut().find(|waiting| waiting.principal == principal) {
            Some(waiting) => waiting.queue.push_back(waiter),
            None => self.turns.push_back(Waiting { principal: principal.to_owned(), queue: [waiter].into() }),
        }
        (ticket, woken)
    }

    /// Whether the waiter was still in the queue.
    fn leave(&mut self, principal: &str, ticket: u64) -> bool {
        let Some(at) = self.turns.iter().position(|waiting| waiting.principal == principal) else { return false };
        let queue = &mut self.turns[at].queue;
        let before = queue.len();
        queue.retain(|waiter| waiter.ticket != ticket);
        let left = queue.len() < before;
        if queue.is_empty() {
            self.turns.remove(at);
        }
        self.queued -= usize::from(left);
        left
    }
}

/// One query's wait.
struct Turn<'a> {
    shared: &'a Shared,
    principal: &'a str,
    ticket: u64,
    woken: oneshot::Receiver<()>,
    over: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let left = {
            let mut state = self.shared.state.lock();
            let left = state.leave(self.principal, self.ticket);
            gauge!("lakebed_queries_queued").set(state.queued as f64);
            left
        };
        // Woken, and gone before it could take its place: the next shall have it.
        if !left && self.woken.try_recv().is_ok() {
            self.shared.vacate(self.principal);
        }
    }
}

/// A place among the running. Dropping it gives it to the next.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    principal: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.vacate(&self.principal);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
