//! The right to run one thing now.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{Limit, Limits, Principal, queue::Place};

/// The right to run one thing now. Holds the permit; dropping it gives the place to the next in the queue.
#[derive(Debug)]
pub struct Admitted {
    pub(crate) principal: Principal,
    pub(crate) limits: Arc<Limits>,
    pub(crate) started: Instant,
    pub(crate) run_time: Duration,
    pub(crate) run_time_limit: Option<Limit>,
    pub(crate) queued: Duration,
    pub(crate) cancellation: CancellationToken,
    pub(crate) place: Place,
}

impl Admitted {
    /// On whose behalf it runs.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When it must have ended, by the clock that admitted it.
    pub fn deadline(&self) -> Instant {
        self.started + self.run_time
    }

    /// From its admission to its deadline.
    pub fn run_time(&self) -> Duration {
        self.run_time
    }

    /// The limit that the run time is; None where the caller asked for less.
    pub fn run_time_limit(&self) -> Option<Limit> {
        self.run_time_limit
    }

    /// Bytes of memory that are kept for it, whatever other queries take.
    pub fn memory_bytes(&self) -> usize {
        self.place.memory_bytes()
    }

    /// How long it waited for its turn.
    pub fn queued(&self) -> Duration {
        self.queued
    }

    /// Cancelled when the query shall stop: by whoever holds it, or by a shutdown. The deadline does not cancel it.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// The limits of its workgroup, as they were when it was admitted.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
}
