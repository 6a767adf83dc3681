//! Places and the queue for them: fair by workgroup, within one by principal, first come first served within that.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::{
    DEFAULT_WORKGROUP, MemoryGrant, Principal, QueueTicket, ServerMemory, Workgroups,
    line::{Asker, Line, Next},
};

/// Queries that wait, of all workgroups together. Each holds its plan.
const MAX_QUEUED: usize = 10_000;

/// Hands out places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    workgroups: Workgroups,
    memory: Arc<ServerMemory>,
    state: Mutex<State>,
    tickets: AtomicU64,
    /// How many places are taken, for those who wait for none.
    running: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    running: usize,
    running_by: HashMap<String, Running>,
    line: Line<oneshot::Sender<MemoryGrant>>,
}

/// What runs of one workgroup.
#[derive(Debug, Default)]
struct Running {
    all: usize,
    by_principal: HashMap<String, usize>,
}

/// Why there is no place, and will be none by waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many of the workgroup wait as may: so many.
    Full(usize),
    /// As many wait as may, of all workgroups together: so many.
    ServerFull(usize),
    /// No new ones are let in.
    Closed,
}

impl Places {
    pub(crate) fn new(workgroups: Workgroups, memory: Arc<ServerMemory>) -> Self {
        let (state, tickets, running) = (Mutex::default(), AtomicU64::new(0), watch::Sender::new(0));
        Self { shared: Arc::new(Shared { workgroups, memory, state, tickets, running }) }
    }

    /// To be known in the queue by.
    pub(crate) fn ticket(&self) -> QueueTicket {
        QueueTicket(self.shared.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(crate) async fn take(&self, who: &Principal, ticket: QueueTicket) -> Result<Place, Refused> {
        let asker = Asker { workgroup: who.workgroup().to_owned(), principal: who.name().to_owned() };
        let mut turn = {
            let mut state = self.shared.state.lock();
            if state.closed {
                return Err(Refused::Closed);
            }
            if self.shared.has_room(&state, &asker)
                && self.shared.next(&state).is_none()
                && let Some(grant) = self.shared.grant()
            {
                self.shared.occupy(&mut state, &asker);
                return Ok(self.place(asker, grant));
            }
            let length = self.shared.workgroups.limits(&asker.workgroup).queue_length;
            if state.line.waiting_in(&asker.workgroup) >= length {
                return Err(Refused::Full(length));
            }
            if state.line.waiting() >= MAX_QUEUED {
                return Err(Refused::ServerFull(MAX_QUEUED));
            }
            let (wake, woken) = oneshot::channel();
            state.line.join(&asker, ticket, wake);
            publish_queued(&state);
            Turn { shared: &self.shared, asker: &asker, ticket, woken, over: false }
        };
        let woken = (&mut turn.woken).await;
        turn.over = true;
        drop(turn);
        woken.map(|grant| self.place(asker, grant)).map_err(|_| Refused::Closed)
    }

    fn place(&self, asker: Asker, grant: MemoryGrant) -> Place {
        Place { shared: self.shared.clone(), asker, grant: Some(grant) }
    }

    /// Looks again who may begin: a limit was changed, or memory came back.
    pub(crate) fn look_again(&self) {
        self.shared.dispatch(&mut self.shared.state.lock());
    }

    /// Lets nobody in from now on, and sends those away who wait.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.line = Line::default();
        publish_queued(&state);
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
        self.shared.state.lock().line.waiting()
    }

    /// Queries of a workgroup that run, and that wait.
    pub(crate) fn counts(&self, workgroup: &str) -> (usize, usize) {
        let state = self.shared.state.lock();
        let running = state.running_by.get(workgroup).map_or(0, |running| running.all);
        (running, state.line.waiting_in(workgroup))
    }

    /// The places in the queue, from 1 on.
    pub(crate) fn positions(&self) -> HashMap<QueueTicket, usize> {
        self.shared.state.lock().line.positions()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state.lock().closed
    }
}

impl Shared {
    fn has_room(&self, state: &State, asker: &Asker) -> bool {
        let limits = self.workgroups.limits(&asker.workgroup);
        if state.running >= limits.running_queries.max(1) {
            return false;
        }
        let Some(running) = state.running_by.get(&asker.workgroup) else { return true };
        let own = running.by_principal.get(&asker.principal).copied().unwrap_or_default();
        limits.concurrent_queries.is_none_or(|limit| running.all < limit.max(1))
            && own < limits.running_queries_per_principal.max(1)
    }

    /// Who waits and could begin, but for memory.
    fn next(&self, state: &State) -> Option<Next> {
        state.line.next(|asker| self.has_room(state, asker))
    }

    fn grant(&self) -> Option<MemoryGrant> {
        self.memory.grant(self.workgroups.limits(DEFAULT_WORKGROUP).running_queries)
    }

    fn occupy(&self, state: &mut State, asker: &Asker) {
        state.running += 1;
        let running = state.running_by.entry(asker.workgroup.clone()).or_default();
        running.all += 1;
        *running.by_principal.entry(asker.principal.clone()).or_default() += 1;
        self.publish(state);
    }

    /// Gives a place back, and it to the next whose turn it is.
    fn vacate(&self, asker: &Asker) {
        let mut state = self.state.lock();
        state.running -= 1;
        if let Some(running) = state.running_by.get_mut(&asker.workgroup) {
            running.all -= 1;
            if let Some(own) = running.by_principal.get_mut(&asker.principal) {
                *own -= 1;
            }
            running.by_principal.retain(|_, own| *own > 0);
            if running.all == 0 {
                state.running_by.remove(&asker.workgroup);
            }
        }
        self.dispatch(&mut state);
        self.publish(&state);
    }

    /// Lets in as many as there is room for, one of each workgroup in turn.
    fn dispatch(&self, state: &mut State) {
        while let Some(turn) = self.next(state) {
            let Some(grant) = self.grant() else { break };
            let Some((asker, wake)) = state.line.serve(turn) else { break };
            // A waiter that is gone already took itself out of the queue, or will give the place back.
            if wake.send(grant).is_ok() {
                self.occupy(state, &asker);
            }
        }
        publish_queued(state);
    }

    fn publish(&self, state: &State) {
        gauge!("lakebed_queries_running").set(state.running as f64);
        self.running.send_replace(state.running);
    }
}

fn publish_queued(state: &State) {
    gauge!("lakebed_queries_queued").set(state.line.waiting() as f64);
}

/// One query's wait.
struct Turn<'a> {
    shared: &'a Shared,
    asker: &'a Asker,
    ticket: QueueTicket,
    woken: oneshot::Receiver<MemoryGrant>,
    over: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let left = {
            let mut state = self.shared.state.lock();
            let left = state.line.leave(self.asker, self.ticket);
            publish_queued(&state);
            left
        };
        // Woken, and gone before it could take its place: the next shall have it.
        if !left && let Ok(grant) = self.woken.try_recv() {
            drop(grant);
            self.shared.vacate(self.asker);
        }
    }
}

/// A place among the running. Dropping it gives it to the next.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    asker: Asker,
    grant: Option<MemoryGrant>,
}

impl Place {
    /// Bytes of memory that come with it.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.grant.as_ref().map_or(0, MemoryGrant::bytes)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // First, so that the next can have it.
        self.grant = None;
        self.shared.vacate(&self.asker);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
