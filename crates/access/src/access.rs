//! Authentication and admission for all APIs.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lakebed_types::{Clock, Error, ErrorKind, Result};
use parking_lot::RwLock;

use crate::{
    AdmitOptions, Admitted, IssuerSettings, KeySource, Keys, Limits, Principal,
    credentials::presented_token,
    issuer::{Issuer, Rejection},
    logins::{FailedLogins, no_key},
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
    keys: Keys,
    /// Whose tokens are believed, besides the keys.
    issuer: RwLock<Option<Arc<Issuer>>>,
    /// Whether there ever was an issuer: taking it away must not open the server.
    had_issuer: AtomicBool,
    failed_logins: FailedLogins,
    clock: Arc<dyn Clock>,
    places: Places,
}

impl Access {
    /// A server without keys: all callers are the same principal. Keys that are made last as long as the process.
    pub fn new(limits: Limits, everyone: Principal, clock: Arc<dyn Clock>) -> Self {
        Self::with_keys(limits, everyone, Keys::in_memory(clock.clone()), clock)
    }

    /// A server with keys. `everyone` is who callers are while there is no key; no key's role is higher than its.
    pub fn with_keys(limits: Limits, everyone: Principal, keys: Keys, clock: Arc<dyn Clock>) -> Self {
        let places = Places::new(&limits);
        let failed_logins = FailedLogins::new();
        let (issuer, had_issuer) = (RwLock::default(), AtomicBool::new(false));
        let inner =
            Inner { limits: Arc::new(limits), everyone, keys, issuer, had_issuer, failed_logins, clock, places };
        Self { inner: Arc::new(inner) }
    }

    /// The principal of an `Authorization` header. While there was neither a key nor an issuer it is the server's one
    /// principal, whatever the header says. `address`: where the request came from, None where that is not known.
    ///
    /// # Errors
    /// `unauthenticated` without a valid key or token; `too_many_logins` for a wrong one after too many wrong ones;
    /// `permission_denied` for a token whose claims give no right; `unavailable` while its issuer's keys cannot be had.
    pub async fn authenticate(&self, authorization: Option<&str>, address: Option<IpAddr>) -> Result<Principal> {
        let inner = &self.inner;
        if !self.wants_credentials() {
            return Ok(inner.everyone.clone());
        }
        let issuer = inner.issuer.read().clone();
        let authorization = authorization.ok_or_else(no_key)?;
        let identified = match (issuer, presented_token(authorization)) {
            (Some(issuer), Some(token)) => issuer.identify(&token, address).await,
            _ => inner.keys.identify(authorization, address).map_err(Rejection::from),
        };
        match identified {
            Ok(principal) => Ok(principal.at_most(inner.everyone.role())),
            Err(Rejection::Failed(error)) => Err(error),
            Err(Rejection::Refused(refusal)) => {
                Err(inner.failed_logins.refuse(&refusal, address, inner.clock.instant()))
            }
        }
    }

    /// Whether requests need a key or a token: from the first key or issuer on, and for good.
    pub fn wants_credentials(&self) -> bool {
        self.inner.had_issuer.load(Ordering::Acquire) || self.inner.keys.are_required()
    }

    /// Believes the tokens of this issuer from now on, and no other's. What runs for tokens of another is ended.
    pub fn set_issuer(&self, issuer: Option<(IssuerSettings, Arc<dyn KeySource>)>) {
        if issuer.is_some() {
            self.inner.had_issuer.store(true, Ordering::Release);
        }
        let mut current = self.inner.issuer.write();
        let same = |settings: &IssuerSettings| current.as_ref().filter(|before| before.name() == settings.issuer);
        let session = match issuer.as_ref().and_then(|(settings, _)| same(settings)) {
            Some(before) => before.session().clone(),
            None => {
                current.iter().for_each(|before| before.session().cancel());
                self.inner.keys.root().child_token()
            }
        };
        let clock = self.inner.clock.clone();
        *current = issuer.map(|(settings, source)| Arc::new(Issuer::new(settings, source, clock, session)));
    }

    /// Gets the issuer's keys before the first token comes.
    ///
    /// # Errors
    /// `unavailable` if they cannot be had; tokens are refused until they can.
    pub async fn warm_issuer(&self) -> Result<()> {
        let issuer = self.inner.issuer.read().clone();
        match issuer {
            Some(issuer) => issuer.warm().await,
            None => Ok(()),
        }
    }

    /// The keys of the server.
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Waits for a turn: fair by principal, first come first served within one. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// `queue_full`, `queue_timeout`, `unavailable` while draining, `unauthenticated` if the key was revoked meanwhile, or its
    /// issuer is trusted no more.
    pub async fn admit(&self, who: &Principal, options: &AdmitOptions) -> Result<Admitted> {
        let inner = &self.inner;
        let asked = inner.clock.instant();
        let turn = tokio::time::timeout(inner.limits.queue_wait, inner.places.take(who.name()));
        let place = match turn.await {
            Ok(Ok(place)) => place,
            Ok(Err(refused)) => return Err(self.refusal(&refused)),
            Err(_) => return Err(self.waited_too_long()),
        };
        let session = who.session().unwrap_or(inner.keys.root());
        if session.is_cancelled() {
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                "the key was revoked, or the issuer is trusted no more",
            ));
        }
        let started = inner.clock.instant();
        Ok(Admitted {
            principal: who.clone(),
            limits: inner.limits.clone(),
            started,
            run_time: inner.limits.run_time_for(options),
            queued: started.saturating_duration_since(asked),
            cancellation: session.child_token(),
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
        self.inner.keys.root().cancel();
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
