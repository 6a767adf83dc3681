//! Time as a dependency, so that tests can hold it still.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// Where the time comes from. Everything that stores or compares times takes one of these.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time of day, in UTC.
    fn now(&self) -> DateTime<Utc>;
    /// A reading that never goes back, for durations and deadlines.
    fn instant(&self) -> Instant;
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}
