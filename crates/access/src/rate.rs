//! Requests per second: as many at once as one second allows, then evenly.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// Counts the requests of one workgroup. What it keeps is the time at which all requests so far would have been sent if
/// they had come evenly.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    sent: Mutex<Option<Instant>>,
}

impl Rate {
    /// Counts a request; where it is one too many, after what time the next may come.
    pub(crate) fn take(&self, per_second: u64, now: Instant) -> Result<(), Duration> {
        let apart = Duration::from_nanos(1_000_000_000 / per_second.max(1));
        let mut sent = self.sent.lock();
        let before = sent.map_or(now, |sent| sent.max(now));
        let ahead = before.saturating_duration_since(now);
        match (ahead + apart).checked_sub(SECOND).filter(|over| !over.is_zero()) {
            Some(over) => Err(over),
            None => {
                *sent = Some(before + apart);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lakebed_types::{Clock, SystemClock};

    use super::*;

    #[test]
    fn a_second_holds_so_many() {
        for per_second in [1, 3, 7, 1000] {
            let (rate, start) = (Rate::default(), SystemClock.instant());
            (0..per_second).for_each(|_| rate.take(per_second, start).unwrap());
            let wait = rate.take(per_second, start).unwrap_err();
            assert!(wait <= SECOND / per_second as u32 + Duration::from_nanos(1), "{per_second}: {wait:?}");
            rate.take(per_second, start + wait).unwrap();
            assert!(rate.take(per_second, start + wait).is_err());
            let later = start + 10 * SECOND;
            (0..per_second).for_each(|_| rate.take(per_second, later).unwrap());
            assert!(rate.take(per_second, later).is_err(), "what was not sent is not saved up");
        }
    }
}
