//! Idempotency keys: what was kept under which key, and for how long that is remembered.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use lakebed_types::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{log::KeptKey, pressure::busy};

/// Keys in one record of the log.
const RECORD_KEYS: usize = 10_000;

/// The keys that are remembered.
#[derive(Debug)]
pub(crate) struct Keys {
    lifetime: TimeDelta,
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<String, KeptKey>,
    /// Oldest first.
    order: VecDeque<String>,
    under_way: HashSet<String>,
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Nothing: the rows are this request's to bring.
    New(ClaimedKey),
    /// Its rows are there.
    Known(KeptKey),
}

/// A key whose rows are on their way; free again when dropped.
#[derive(Debug)]
pub(crate) struct ClaimedKey {
    keys: Arc<Keys>,
    pub(crate) key: String,
    pub(crate) body: String,
}

impl Keys {
    pub(crate) fn new(lifetime: Duration, most: usize) -> Self {
        let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        Self { lifetime, most, state: Mutex::default() }
    }

    /// Asks whether this key's rows are there. `table_id`: tells a table from an earlier one of its name. `body`: what
    /// [`digest`] says of it.
    ///
    /// # Errors
    /// `conflict` where the key came with another body, `ingest_busy` where its rows are on their way.
    pub(crate) fn claim(
        self: &Arc<Self>,
        table_id: &str,
        key: &str,
        body: String,
        now: DateTime<Utc>,
    ) -> Result<Claim> {
        let digest = hex(Sha256::digest(format!("{table_id}\n{key}")));
        let mut state = self.state.lock();
        self.expire(&mut state, now);
        if let Some(kept) = state.kept.get(&digest) {
            return match kept.body == body {
                true => Ok(Claim::Known(kept.clone())),
                false => Err(Error::new(ErrorKind::Conflict, "the idempotency key came with other rows before")
                    .with_hint("Use a new key for new rows.")),
            };
        }
        if !state.under_way.insert(digest.clone()) {
            return Err(busy("key", "a request with this idempotency key is under way"));
        }
        Ok(Claim::New(ClaimedKey { keys: self.clone(), key: digest, body }))
    }

    /// Remembers a key whose rows are in the log.
    pub(crate) fn keep(&self, key: KeptKey) {
        let mut state = self.state.lock();
        // Every file of the log begins with those of the files before it: they keep their places.
        if state.kept.insert(key.key.clone(), key.clone()).is_none() {
            state.order.push_back(key.key);
        }
        while state.order.len() > self.most {
            let oldest = state.order.pop_front();
            oldest.and_then(|oldest| state.kept.remove(&oldest));
        }
    }

    /// All that are remembered, in pieces for records of the log.
    pub(crate) fn pieces(&self, now: DateTime<Utc>) -> Vec<Vec<KeptKey>> {
        let mut state = self.state.lock();
        self.expire(&mut state, now);
        let all: Vec<KeptKey> = state.order.iter().filter_map(|key| state.kept.get(key)).cloned().collect();
        all.chunks(RECORD_KEYS).map(<[KeptKey]>::to_vec).collect()
    }

    fn expire(&self, state: &mut State, now: DateTime<Utc>) {
        while let Some(oldest) = state.order.front().and_then(|key| state.kept.get(key))
            && oldest.at + self.lifetime < now
        {
            let oldest = oldest.key.clone();
            state.order.pop_front();
            state.kept.remove(&oldest);
        }
    }
}

impl Drop for ClaimedKey {
    fn drop(&mut self) {
        self.keys.state.lock().under_way.remove(&self.key);
    }
}

/// Stands for a body.
pub(crate) fn digest(body: &[u8]) -> String {
    hex(Sha256::digest(body))
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    use std::fmt::Write;
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
