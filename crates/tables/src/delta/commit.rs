//! The commit protocol: exactly at the next version, and whether it landed says the log.
//!
//! A store's answer to the creation of a version may be lost, or be a refusal that is caused by our own first attempt. So
//! after anything but a plain success the log is read again, and it alone says whether ours is in it.

use std::{sync::Arc, time::Instant};

use lakebed_types::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::{action::Action, backoff::Backoff, replay::Replay, state::DeltaState, table::DeltaTable};

/// What to do at the newest state.
pub(super) enum Next {
    /// Nothing: it is in the log already, or there is nothing to do.
    Done,
    /// Nothing: what it builds on is no longer there.
    Lost,
    /// Try these actions as the next version.
    Commit(Vec<Action>),
}

/// How it ended.
pub(super) enum Ended {
    /// The state that holds it.
    Done(Arc<DeltaState>),
    /// What it built on is no longer there.
    Lost(Arc<DeltaState>),
}

impl DeltaTable {
    /// Asks `decide` at the newest state what to do, until it is done, lost, or the deadline is over. Data files are never
    /// removed here: an attempt whose outcome is not known may have landed.
    ///
    /// # Errors
    /// The last attempt's error once the deadline is over; at once what no further attempt can change.
    pub(super) async fn commit(
        &self,
        deadline: Instant,
        decide: impl Fn(&DeltaState) -> Result<Next>,
    ) -> Result<Ended> {
        let _turn = self.committing.lock().await;
        let mut backoff = Backoff::default();
        loop {
            let error = match self.attempt(&decide).await {
                Ok(ended) => return Ok(ended),
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => error,
            };
            if self.clock.instant() >= deadline {
                let text = format!("no commit to {} within the time", self.location());
                return Err(error.context(text).with_hint("It may have landed; the same commit again finds out."));
            }
            tracing::debug!(table = %self.location(), attempt = backoff.attempts(), ?error, "a commit is tried again");
            match error.kind() {
                ErrorKind::AlreadyExists | ErrorKind::Conflict => backoff.wait_for_turn().await,
                _ => backoff.wait().await,
            }
        }
    }

    async fn attempt(&self, decide: &impl Fn(&DeltaState) -> Result<Next>) -> Result<Ended> {
        let state = self.refresh().await?;
        let ended = match decide(&state)? {
            Next::Done => Ended::Done(state),
            Next::Lost => Ended::Lost(state),
            Next::Commit(actions) => return self.create_next(&state, actions).await,
        };
        // Whoever wrote what was read may have ended before it was sure to stay.
        self.log.sync().await?;
        Ok(ended)
    }

    async fn create_next(&self, state: &DeltaState, actions: Vec<Action>) -> Result<Ended> {
        self.log.create_commit(state.version() + 1, &actions).await?;
        let mut replay = Replay::after(state);
        replay.apply(state.version() + 1, actions);
        let next = replay.finish(&self.storage, &self.location).await?;
        Ok(Ended::Done(self.install(next)))
    }
}

/// What another attempt cannot change. A disk that has failed is among it: what was written may be seen, and gone with the
/// power.
fn is_final(error: &Error) -> bool {
    use ErrorKind as K;
    !matches!(
        error.kind(),
        K::AlreadyExists | K::Conflict | K::StoreUnreachable | K::StoreFailed | K::StoreTokenExpired
    )
}

/// The first line of a commit: what was done, for people.
pub(super) fn info(now_ms: i64, operation: &str, parameters: Value) -> Action {
    let info = json!({
        "timestamp": now_ms,
        "operation": operation,
        "operationParameters": parameters,
        "engineInfo": concat!("lakebed/", env!("CARGO_PKG_VERSION")),
    });
    Action { commit_info: Some(info), ..Action::default() }
}
