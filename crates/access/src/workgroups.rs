//! The workgroups of a server, in memory: made, changed, dropped, and what each has used.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use lakebed_types::{Clock, Error, ErrorKind, Result};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    DEFAULT_WORKGROUP, GroupLimits, Limit, Limits, Principal, Usage, Workgroup, WorkgroupStore, audit, breach,
    rate::Rate,
    usage::Meter,
    workgroup::{NoGroupStore, check_name},
};

/// Workgroups that a server has.
const MAX_WORKGROUPS: usize = 1_000;

/// The workgroups of a server. Cheap to clone.
///
/// All are in memory, so that no query waits for the store, and a change holds from that moment for what begins.
#[derive(Debug, Clone)]
pub struct Workgroups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn WorkgroupStore>,
    clock: Arc<dyn Clock>,
    groups: RwLock<Groups>,
    /// Whoever changes the workgroups holds it.
    turn: tokio::sync::Mutex<()>,
    /// Counts changes, for those who wait under a limit.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Groups {
    default: Arc<Group>,
    others: HashMap<String, Arc<Group>>,
}

#[derive(Debug)]
struct Group {
    record: Workgroup,
    limits: Arc<Limits>,
    meter: Arc<Meter>,
    rate: Arc<Rate>,
}

impl Workgroups {
    /// Reads all workgroups.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(store: Arc<dyn WorkgroupStore>, clock: Arc<dyn Clock>) -> Result<Self> {
        let records = store.load().await?;
        let mut usage: HashMap<String, Usage> = store.load_usage().await?.into_iter().collect();
        let this = Self::empty(store, clock);
        {
            let groups = &mut *this.inner.groups.write();
            if let Some(usage) = usage.remove(DEFAULT_WORKGROUP) {
                groups.default = Arc::new(Group { meter: Arc::new(Meter::new(usage)), ..groups.default.copy() });
            }
            for record in records {
                let meter = usage.remove(&record.name).map_or_else(|| Meter::empty(this.now()), Meter::new);
                let limits = Arc::new(record.limits.over(&groups.default.limits));
                let group = Group { limits, meter: Arc::new(meter), rate: Arc::default(), record };
                groups.others.insert(group.record.name.clone(), Arc::new(group));
            }
        }
        Ok(this)
    }

    /// Only `default`, and those that will be made last as long as this process.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self::empty(Arc::new(NoGroupStore), clock)
    }

    fn empty(store: Arc<dyn WorkgroupStore>, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let record = Workgroup {
            name: DEFAULT_WORKGROUP.to_owned(),
            limits: GroupLimits::default(),
            created: now,
            changed: now,
        };
        let (limits, meter) = (Arc::new(Limits::default()), Arc::new(Meter::empty(now)));
        let default = Arc::new(Group { record, limits, meter, rate: Arc::default() });
        let groups = RwLock::new(Groups { default, others: HashMap::new() });
        let (turn, changes) = (tokio::sync::Mutex::default(), watch::Sender::new(0));
        Self { inner: Arc::new(Inner { store, clock, groups, turn, changes }) }
    }

    /// The limits of the workgroup `default`, which the others follow where they set none.
    pub fn set_default(&self, limits: Limits) {
        let groups = &mut *self.inner.groups.write();
        for group in groups.others.values_mut() {
            *group = Arc::new(Group { limits: Arc::new(group.record.limits.over(&limits)), ..group.copy() });
        }
        groups.default = Arc::new(Group { limits: Arc::new(limits), ..groups.default.copy() });
        self.inner.changes.send_modify(|changes| *changes += 1);
    }

    /// All workgroups: `default`, then the others by name.
    pub fn list(&self) -> Vec<Workgroup> {
        let groups = self.inner.groups.read();
        let mut others: Vec<Workgroup> = groups.others.values().map(|group| group.record.clone()).collect();
        others.sort_by(|left, right| left.name.cmp(&right.name));
        std::iter::once(groups.default.record.clone()).chain(others).collect()
    }

    /// One workgroup.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, name: &str) -> Result<Workgroup> {
        let groups = self.inner.groups.read();
        match groups.named(name) {
            Some(group) => Ok(group.record.clone()),
            None => Err(not_found(name)),
        }
    }

    /// Makes a workgroup, or replaces the limits of one that is there. Whether it is new.
    ///
    /// # Errors
    /// `invalid_request` for a bad name or limit; `conflict` for `default`, and for more than 1,000; those of the store.
    pub async fn put(&self, by: &Principal, name: &str, limits: GroupLimits) -> Result<bool> {
        check_name(name)?;
        limits.check()?;
        refuse_default(name, "changed")?;
        let _turn = self.inner.turn.lock().await;
        let (old, count) = {
            let groups = self.inner.groups.read();
            (groups.others.get(name).cloned(), groups.others.len())
        };
        if old.is_none() && count >= MAX_WORKGROUPS {
            return Err(Error::new(ErrorKind::Conflict, format!("there are {MAX_WORKGROUPS} workgroups"))
                .with_hint("Drop one that no key names."));
        }
        let now = self.now();
        let created = old.as_ref().map_or(now, |old| old.record.created);
        let record = Workgroup { name: name.to_owned(), limits, created, changed: now };
        self.inner.store.put(&record).await?;
        self.insert(record, old.as_deref());
        audit::changed(by, if old.is_some() { "change workgroup" } else { "create workgroup" }, &name);
        Ok(old.is_none())
    }

    fn insert(&self, record: Workgroup, old: Option<&Group>) {
        let groups = &mut *self.inner.groups.write();
        let limits = Arc::new(record.limits.over(&groups.default.limits));
        let (meter, rate) = match old {
            Some(old) => (old.meter.clone(), old.rate.clone()),
            None => (Arc::new(Meter::empty(self.now())), Arc::default()),
        };
        groups.others.insert(record.name.clone(), Arc::new(Group { record, limits, meter, rate }));
        self.inner.changes.send_modify(|changes| *changes += 1);
    }

    /// Drops a workgroup that no key names; whoever calls has seen to that.
    pub(crate) async fn drop(&self, by: &Principal, name: &str) -> Result<()> {
        refuse_default(name, "dropped")?;
        let _turn = self.inner.turn.lock().await;
        self.get(name)?;
        self.inner.store.remove(name).await?;
        self.inner.groups.write().others.remove(name);
        self.inner.changes.send_modify(|changes| *changes += 1);
        audit::changed(by, "drop workgroup", &name);
        Ok(())
    }

    /// The limits that hold now for what begins. Those of `default` where there is no such workgroup any more.
    pub fn limits(&self, name: &str) -> Arc<Limits> {
        self.group(name).limits.clone()
    }

    /// What was scanned today and this month.
    pub fn usage(&self, name: &str) -> Usage {
        self.group(name).meter.read(self.now())
    }

    /// Counts bytes that were scanned.
    pub fn charge(&self, name: &str, bytes: u64) {
        self.group(name).meter.add(bytes, self.now());
    }

    /// Whether `more` bytes are within what the workgroup may scan today and this month. `limits`: the query's.
    ///
    /// # Errors
    /// `budget_exhausted`, with the time from which there is more.
    pub fn check_budget(&self, name: &str, limits: &Limits, more: u64) -> Result<()> {
        self.group(name).meter.check(name, limits, more, self.now())
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `too_many_requests`, with the time after which the next may come.
    pub fn count_request(&self, name: &str) -> Result<()> {
        let group = self.group(name);
        let Some(per_second) = group.limits.requests_per_second else { return Ok(()) };
        let taken = group.rate.take(per_second, self.inner.clock.instant());
        taken.map_err(|wait: Duration| {
            breach(
                name,
                Limit::RequestsPerSecond,
                per_second,
                ErrorKind::TooManyRequests,
                "too many requests came in a second",
            )
            .with_hint("Send fewer at once, or try again later.")
            .with_retry_after(wait)
        })
    }

    /// Tells the store what was scanned since the last time. Called by the server's duty loop every few seconds, and at its
    /// end.
    ///
    /// # Errors
    /// Those of the store; it is told the next time.
    pub async fn save_usage(&self) -> Result<()> {
        // Whoever drops a workgroup shall not find it again.
        let _turn = self.inner.turn.lock().await;
        let groups: Vec<Arc<Group>> = {
            let groups = self.inner.groups.read();
            groups.others.values().chain([&groups.default]).cloned().collect()
        };
        let new = |group: &Arc<Group>| Some((group.record.name.clone(), group.meter.take_new()?));
        let usage: Vec<(String, Usage)> = groups.iter().filter_map(new).collect();
        if usage.is_empty() {
            return Ok(());
        }
        let saved = self.inner.store.save_usage(&usage).await;
        if saved.is_err() {
            let told = |group: &&Arc<Group>| usage.iter().any(|(name, _)| *name == group.record.name);
            groups.iter().filter(told).for_each(|group| group.meter.put_back());
        }
        saved
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    fn group(&self, name: &str) -> Arc<Group> {
        let groups = self.inner.groups.read();
        groups.named(name).unwrap_or(&groups.default).clone()
    }

    fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }
}

impl Groups {
    fn named(&self, name: &str) -> Option<&Arc<Group>> {
        if name == DEFAULT_WORKGROUP { Some(&self.default) } else { self.others.get(name) }
    }
}

impl Group {
    fn copy(&self) -> Self {
        let Self { record, limits, meter, rate } = self;
        Self { record: record.clone(), limits: limits.clone(), meter: meter.clone(), rate: rate.clone() }
    }
}

fn not_found(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no workgroup `{}`", name.escape_debug()))
        .with_hint("`GET /v1/workgroups` lists them.")
}

fn refuse_default(name: &str, done: &str) -> Result<()> {
    if name != DEFAULT_WORKGROUP {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, format!("the workgroup `{name}` cannot be {done}"))
        .with_hint("Its limits stand in the section [limits] of the settings file."))
}

#[cfg(test)]
#[path = "workgroups_tests.rs"]
mod tests;
