//! The right to run one thing now.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{Limits, Principal, queue::Place};

/// The right to run one thing now. Holds the permit; dropping it gives the place to the next in the queue.
#[derive(Debug)]
pub struct Admitted {
    pub(crate) principal: Principal,
    pub(crate) limits: Arc<Limits>,
    pub(crate) started: Instant,
    pub(crate) run_time: Duration,
    pub(crate) queued: Duration,
    pub(crate) cancellation: CancellationToken,
    pub(crate) _place: Place,
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

    /// How long it waited for its turn.
    pub fn queued(&self) -> Duration {
        self.queued
    }

    /// Cancelled when the query shall stop: by whoever holds it, or by a shutdown. The deadline does not cancel it.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// The server's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
