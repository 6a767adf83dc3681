//! A clock that stands still until a test moves it.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeZone, Utc};
use lakebed_types::{Clock, SystemClock};
use parking_lot::Mutex;

/// Stands still at 2024-01-01 00:00:00 UTC until it is moved.
#[derive(Debug)]
pub struct MockClock {
    start: Instant,
    passed: Mutex<Duration>,
}

impl MockClock {
    /// A clock at its beginning.
    pub fn new() -> Self {
        Self { start: SystemClock.instant(), passed: Mutex::new(Duration::ZERO) }
    }

    /// Lets time pass, for both readings.
    pub fn advance(&self, time: Duration) {
        *self.passed.lock() += time;
    }
}

impl Default for MockClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MockClock {
    fn now(&self) -> DateTime<Utc> {
        let start = Utc.timestamp_nanos(1_704_067_200_000_000_000);
        start + chrono::TimeDelta::from_std(*self.passed.lock()).unwrap_or(chrono::TimeDelta::MAX)
    }

    fn instant(&self) -> Instant {
        self.start + *self.passed.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_when_told() {
        let clock = MockClock::new();
        let (day, instant) = (clock.now(), clock.instant());
        assert_eq!(day.to_rfc3339(), "2024-01-01T00:00:00+00:00");
        assert_eq!(clock.instant(), instant);
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now() - day, chrono::TimeDelta::seconds(90));
        assert_eq!(clock.instant() - instant, Duration::from_secs(90));
    }
}
