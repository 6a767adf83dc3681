//! Authentication and admission for all APIs.

use std::{sync::Arc, time::Duration};

use lakebed_types::{Clock, Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

use crate::{
    AdmitOptions, Admitted, Limits, Principal,
    queue::{Places, Refused},
};

/// How long cancelled queries get to give their places back before a shutdown goes on without them.
const UNWIND_TIME: Duration = Duration::from_secs(1);

/// Authentication and admission for all APIs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limits: Arc<Limits>,
    everyone: Principal,
    clock: Arc<dyn Clock>,
    places: Places,
    /// The parent of every query's token.
    shutdown: CancellationToken,
}

impl Access {
    /// A server whose callers are all the same principal.
    pub fn new(limits: Limits, everyone: Principal, clock: Arc<dyn Clock>) -> Self {
        let places = Places::new(&limits);
        let inner = Inner { limits: Arc::new(limits), everyone, clock, places, shutdown: CancellationToken::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Every caller is the server's one principal, whatever the `Authorization` header says.
    ///
    /// # Errors
    /// None yet; `unauthenticated` once there are keys.
    pub fn authenticate(&self, _authorization: Option<&str>) -> Result<Principal> {
        Ok(self.inner.everyone.clone())
    }

    /// Waits for a turn: fair by principal, first come first served within one. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// `queue_full`, `queue_timeout`, `unavailable` while draining.
    pub async fn admit(&self, who: &Principal, options: &AdmitOptions) -> Result<Admitted> {
        let inner = &self.inner;
        let asked = inner.clock.instant();
        let turn = tokio::time::timeout(inner.limits.queue_wait, inner.places.take(who.name()));
        let place = match turn.await {
            Ok(Ok(place)) => place,
            Ok(Err(refused)) => return Err(self.refusal(&refused)),
            Err(_) => return Err(self.waited_too_long()),
        };
        let started = inner.clock.instant();
        Ok(Admitted {
            principal: who.clone(),
            limits: inner.limits.clone(),
            started,
            run_time: inner.limits.run_time_for(options),
            queued: started.saturating_duration_since(asked),
            cancellation: inner.shutdown.child_token(),
            _place: place,
        })
    }

    fn refusal(&self, refused: &Refused) -> Error {
        match refused {
            Refused::Full => {
                let message = format!("{} queries wait already", self.inner.limits.queue_length);
                Error::new(ErrorKind::QueueFull, message).with_hint("Try again in a few seconds.")
            }
            Refused::Closed => Error::new(ErrorKind::Unavailable, "the server is shutting down")
                .with_hint("Try again when it is back."),
        }
    }

    fn waited_too_long(&self) -> Error {
        let waited = self.inner.limits.queue_wait;
        Error::new(ErrorKind::QueueTimeout, format!("the query waited {waited:?} for its turn"))
            .with_hint("Try again later; the server runs as many queries as it may.")
    }

    /// No new admissions from now on, and those who wait are refused; resolves when the last permit is back, or when
    /// `grace` is over: then the rest is cancelled and gets a second to end.
    pub async fn drain(&self, grace: Duration) {
        self.inner.places.close();
        if tokio::time::timeout(grace, self.inner.places.all_returned()).await.is_ok() {
            return;
        }
        tracing::warn!(queries = self.running(), "cancelling the queries that are still running");
        self.inner.shutdown.cancel();
        if tokio::time::timeout(UNWIND_TIME, self.inner.places.all_returned()).await.is_err() {
            tracing::warn!(queries = self.running(), "some queries did not end in time");
        }
    }

    /// Queries that run now.
    pub fn running(&self) -> usize {
        self.inner.places.running()
    }

    /// Queries that wait now.
    pub fn queued(&self) -> usize {
        self.inner.places.queued()
    }

    /// Whether a shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.inner.places.is_closed()
    }

    /// The server's limits.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
