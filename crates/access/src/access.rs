//! Authentication and admission for all APIs.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lakebed_types::{Clock, Error, ErrorKind, Result};
use parking_lot::RwLock;

use crate::{
    AdmitOptions, Admitted, DEFAULT_WORKGROUP, IssuerSettings, KeySource, Keys, Limit, Limits, Principal, QueueTicket,
    ServerMemory, Workgroups, breach,
    credentials::presented_token,
    issuer::{Issuer, Rejection},
    logins::{FailedLogins, no_key},
    queue::{Place, Places, Refused},
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
    everyone: Principal,
    keys: Keys,
    /// Whose tokens are believed, besides the keys.
    issuer: RwLock<Option<Arc<Issuer>>>,
    /// Whether there ever was an issuer: taking it away must not open the server.
    had_issuer: AtomicBool,
    failed_logins: FailedLogins,
    clock: Arc<dyn Clock>,
    memory: Arc<ServerMemory>,
    places: Places,
}

impl Access {
    /// A server without keys: all callers are the same principal. Keys that are made last as long as the process.
    pub fn new(limits: Limits, everyone: Principal, clock: Arc<dyn Clock>) -> Self {
        Self::with_keys(limits, everyone, Keys::in_memory(clock.clone()), clock)
    }

    /// A server with keys. `limits`: the server's and those of the workgroup `default`. `everyone` is who callers are while
    /// there is no key; no key's role is higher than its.
    pub fn with_keys(limits: Limits, everyone: Principal, keys: Keys, clock: Arc<dyn Clock>) -> Self {
        keys.workgroups().set_default(limits);
        let memory = Arc::<ServerMemory>::default();
        let places = Places::new(keys.workgroups().clone(), memory.clone());
        let failed_logins = FailedLogins::new();
        let (issuer, had_issuer) = (RwLock::default(), AtomicBool::new(false));
        let inner = Inner { everyone, keys, issuer, had_issuer, failed_logins, clock, memory, places };
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
            (Some(issuer), Some(token)) => issuer.identify(&token, address, self.workgroups()).await,
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

    /// The workgroups of the server.
    pub fn workgroups(&self) -> &Workgroups {
        self.inner.keys.workgroups()
    }

    /// Counts a request of this principal's workgroup.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn count_request(&self, who: &Principal) -> Result<()> {
        self.workgroups().count_request(who.workgroup())
    }

    /// Waits for a turn: fair by workgroup, within one by principal, first come first served within that; and for the
    /// memory that a query begins with. A change of the workgroup's limits holds for those who wait too. Dropping the
    /// future leaves the queue.
    ///
    /// # Errors
    /// `queue_full`, `queue_timeout`, `unavailable` while draining, `unauthenticated` if the key was revoked meanwhile, or its
    /// issuer is trusted no more.
    pub async fn admit(&self, who: &Principal, options: &AdmitOptions) -> Result<Admitted> {
        let inner = &self.inner;
        let asked = inner.clock.instant();
        let place = self.wait(who, options.ticket.unwrap_or_else(|| self.ticket())).await?;
        let session = who.session().unwrap_or(inner.keys.root());
        if session.is_cancelled() {
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                "the key was revoked, or the issuer is trusted no more",
            ));
        }
        let started = inner.clock.instant();
        let limits = self.limits_of(who);
        let (run_time, run_time_limit) = limits.run_time_for(options);
        Ok(Admitted {
            principal: who.clone(),
            limits,
            started,
            run_time,
            run_time_limit,
            queued: started.saturating_duration_since(asked),
            cancellation: session.child_token(),
            place,
        })
    }

    async fn wait(&self, who: &Principal, ticket: QueueTicket) -> Result<Place> {
        let inner = &self.inner;
        let since = inner.clock.instant();
        let mut changes = self.workgroups().changes();
        let mut place = pin!(inner.places.take(who, ticket));
        loop {
            let wait = self.limits_of(who).queue_wait;
            let left = wait.saturating_sub(inner.clock.instant().saturating_duration_since(since));
            tokio::select! {
                biased;
                place = &mut place => return place.map_err(|refused| refusal(who, &refused)),
                Ok(()) = changes.changed() => inner.places.look_again(),
                () = tokio::time::sleep(left) => return Err(waited_too_long(who, wait)),
            }
        }
    }

    /// To look up a query's place in the queue by.
    pub fn ticket(&self) -> QueueTicket {
        self.inner.places.ticket()
    }

    /// The places in the queue of all that wait, from 1 on.
    pub fn queue_positions(&self) -> HashMap<QueueTicket, usize> {
        self.inner.places.positions()
    }

    /// The memory that queries may reserve.
    pub fn memory(&self) -> &Arc<ServerMemory> {
        &self.inner.memory
    }

    /// How much memory all queries together may reserve, and one whose workgroup says nothing else, in bytes. Without it
    /// memory bounds nothing.
    pub fn set_memory(&self, all: u64, per_query: u64) {
        self.inner.memory.set(all, per_query);
    }

    /// While the process has more memory than it should, nothing new begins: it waits in the queue.
    pub fn set_starved(&self, starved: bool) {
        self.inner.memory.set_starved(starved);
        self.inner.places.look_again();
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

    /// Queries of a workgroup that run now, and that wait.
    pub fn counts(&self, workgroup: &str) -> (usize, usize) {
        self.inner.places.counts(workgroup)
    }

    /// Whether a shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.inner.places.is_closed()
    }

    /// The limits of the server, and of the workgroup `default`.
    pub fn limits(&self) -> Arc<Limits> {
        self.workgroups().limits(DEFAULT_WORKGROUP)
    }

    /// The limits that hold now for what this principal begins.
    pub fn limits_of(&self, who: &Principal) -> Arc<Limits> {
        self.workgroups().limits(who.workgroup())
    }
}

fn refusal(who: &Principal, refused: &Refused) -> Error {
    let full = |error: Error| error.with_hint("Try again in a few seconds.");
    match refused {
        Refused::Full(length) => {
            let what = format!("{length} queries wait already");
            full(breach(who.workgroup(), Limit::QueueLength, length, ErrorKind::QueueFull, what))
        }
        Refused::ServerFull(length) => {
            full(Error::new(ErrorKind::QueueFull, format!("{length} queries of all workgroups wait already")))
        }
        Refused::Closed => {
            Error::new(ErrorKind::Unavailable, "the server is shutting down").with_hint("Try again when it is back.")
        }
    }
}

fn waited_too_long(who: &Principal, wait: Duration) -> Error {
    let what = format!("the query waited {wait:?} for its turn");
    breach(who.workgroup(), Limit::QueueWait, format!("{wait:?}"), ErrorKind::QueueTimeout, what)
        .with_hint("Try again later; as many queries run as may.")
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
