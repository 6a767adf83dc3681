//! An issuer's keys, kept between requests and fetched again now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lakebed_types::{Clock, Error, ErrorKind, Result};
use parking_lot::Mutex;

use super::{
    KeySource, Rejection, TokenAlgorithm,
    key_set::{KeySet, PublicKey},
};
use crate::logins::Refusal;

/// After this time the keys are fetched again, while those that are there are still used.
const FRESH: Duration = Duration::from_secs(600);
/// At least this lies between two fetches, however many tokens name keys that are not known.
const PAUSE: Duration = Duration::from_secs(30);

/// An issuer's keys. One fetch at a time.
#[derive(Debug)]
pub(super) struct KeyCache {
    source: Arc<dyn KeySource>,
    clock: Arc<dyn Clock>,
    stale: Duration,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    tried: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Kept {
    keys: Arc<KeySet>,
    fetched: Instant,
}

impl KeyCache {
    pub(super) fn new(source: Arc<dyn KeySource>, clock: Arc<dyn Clock>, stale: Duration) -> Self {
        Self { source, clock, stale, state: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }

    /// Fetches the keys, unless that was just tried.
    pub(super) async fn warm(&self) -> Result<()> {
        self.refresh().await;
        self.usable().map(drop)
    }

    /// The key of a token. Waits for the issuer only where no usable key of that id is there.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: TokenAlgorithm,
    ) -> Result<PublicKey, Rejection> {
        if let Ok(kept) = self.usable()
            && let Some(key) = kept.keys.find(id, algorithm)
        {
            if self.age(&kept) >= FRESH && self.may_try() {
                let this = self.clone();
                tokio::spawn(async move { this.refresh().await });
            }
            return Ok(key.clone());
        }
        self.refresh().await;
        let kept = self.usable().map_err(Rejection::Failed)?;
        kept.keys.find(id, algorithm).cloned().ok_or(Rejection::Refused(Refusal::TokenKey))
    }

    fn age(&self, kept: &Kept) -> Duration {
        self.clock.instant().saturating_duration_since(kept.fetched)
    }

    fn usable(&self) -> Result<Kept> {
        let kept = self.state.lock().kept.clone();
        kept.filter(|kept| self.age(kept) < self.stale).ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "the keys of the token's issuer cannot be fetched")
                .with_hint("Try again in a minute; the server's log says what is wrong.")
        })
    }

    fn may_try(&self) -> bool {
        let tried = self.state.lock().tried;
        tried.is_none_or(|tried| self.clock.instant().saturating_duration_since(tried) >= PAUSE)
    }

    async fn refresh(&self) {
        let _turn = self.turn.lock().await;
        if !self.may_try() {
            return;
        }
        self.state.lock().tried = Some(self.clock.instant());
        let fetched = self.source.fetch().await.and_then(|json| KeySet::parse(&json));
        let outcome = if fetched.is_ok() { "fetched" } else { "failed" };
        metrics::counter!("lakebed_issuer_key_fetches_total", "outcome" => outcome).increment(1);
        match fetched {
            Ok(keys) => {
                let kept = Kept { keys: Arc::new(keys), fetched: self.clock.instant() };
                self.state.lock().kept = Some(kept);
            }
            Err(error) => tracing::warn!(?error, "the issuer's keys cannot be fetched; those from before stay in use"),
        }
    }
}
