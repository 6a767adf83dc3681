//! Waiting between attempts: longer each time, and never for as long as another writer does.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const FIRST_MS: u64 = 10;
const LONGEST_MS: u64 = 2_000;
const TURN_MS: u64 = 20;

/// The waits between the attempts at one thing.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Waits after an attempt that failed.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    /// Waits a moment after another writer was first. The store works, so a longer wait would only lose more turns.
    pub(super) async fn wait_for_turn(&mut self) {
        self.attempts = 0;
        tokio::time::sleep(Duration::from_millis(random() % (TURN_MS + 1))).await;
    }

    /// Attempts that failed since the last lost turn.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    fn next(&mut self) -> Duration {
        let most = (FIRST_MS << self.attempts.min(10)).min(LONGEST_MS);
        self.attempts += 1;
        Duration::from_millis(most / 2 + random() % (most / 2 + 1))
    }
}

/// A number that no other process draws at the same time: the keys of the standard library's hash maps are random.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..20).map(|_| backoff.next().as_millis()).collect();
        assert!(waits[0] >= 5 && waits[0] <= 10, "{waits:?}");
        assert!(waits[19] >= 1_000 && waits[19] <= 2_000, "{waits:?}");
    }
}
