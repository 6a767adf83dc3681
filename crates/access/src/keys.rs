//! The keys of a server, in memory: made, known again, revoked.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use lakebed_types::{Clock, Error, ErrorKind, Result};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    ApiKey, DEFAULT_WORKGROUP, KeyStore, KeyText, NewKey, Principal, Role, Workgroups, audit,
    credentials::presented_key, key::NoStore, logins::Refusal,
};

/// Keys that are kept, those that have ended included.
const MAX_KEYS: usize = 10_000;
const MAX_NAME_CHARS: usize = 64;
/// Keys that the refusal to drop their workgroup names.
const SHOWN_USERS: usize = 5;
/// Names of principals that are no keys.
const RESERVED_NAMES: [&str; 2] = ["anonymous", "local"];
/// Microseconds between two notes of one key's use.
const USE_PERIOD_MICROS: i64 = 60_000_000;
/// Microseconds without a use after which the next one is a login again.
const REST_MICROS: i64 = 600_000_000;

/// The keys of a server. Cheap to clone.
///
/// All are in memory, so that no request waits for the store, and a key that is revoked lets nobody in from that moment.
#[derive(Debug, Clone)]
pub struct Keys {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn KeyStore>,
    workgroups: Workgroups,
    clock: Arc<dyn Clock>,
    by_id: RwLock<HashMap<String, Arc<Entry>>>,
    /// Whoever changes the keys holds it.
    turn: tokio::sync::Mutex<()>,
    /// The parent of all sessions.
    root: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    key: ApiKey,
    principal: Principal,
    /// Cancelled at the key's revocation, and with it what runs on its behalf.
    session: CancellationToken,
    /// Microseconds since 1970 of the last use, and of the last use that the store knows of; 0 is never.
    used: AtomicI64,
    noted: AtomicI64,
}

impl Keys {
    /// Reads all keys. `workgroups`: those that keys may name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(store: Arc<dyn KeyStore>, workgroups: Workgroups, clock: Arc<dyn Clock>) -> Result<Self> {
        let keys = store.load().await?;
        let this = Self::empty(store, workgroups, clock);
        let entries = keys.into_iter().map(|key| (key.id.clone(), this.inner.entry(key)));
        this.inner.by_id.write().extend(entries);
        Ok(this)
    }

    /// No keys yet, and those that will be made last as long as this process; so do workgroups.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self::empty(Arc::new(NoStore), Workgroups::in_memory(clock.clone()), clock)
    }

    fn empty(store: Arc<dyn KeyStore>, workgroups: Workgroups, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            store,
            workgroups,
            clock,
            by_id: RwLock::default(),
            turn: tokio::sync::Mutex::new(()),
            root: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether a request needs a key: from the first key on, and for good. That all keys have ended does not open the
    /// server again.
    pub fn are_required(&self) -> bool {
        !self.inner.by_id.read().is_empty()
    }

    /// All keys, the newest first.
    pub fn list(&self) -> Vec<ApiKey> {
        let mut keys: Vec<ApiKey> = self.inner.by_id.read().values().map(|entry| entry.current()).collect();
        keys.sort_by(|left, right| (right.created, &left.id).cmp(&(left.created, &right.id)));
        keys
    }

    /// One key, by id or by name.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, id_or_name: &str) -> Result<ApiKey> {
        Ok(self.inner.find(id_or_name)?.current())
    }

    /// Makes a key. Its text is told here and never again.
    ///
    /// # Errors
    /// `invalid_request` for a bad name, an end in the past, or grants of an administrator; `not_found` for a workgroup
    /// that is not there; `already_exists` for a name that is taken; `conflict` while there is no administrator's key, unless it is to be one, and if there are 10,000
    /// valid keys; those of the store.
    pub async fn create(&self, by: &Principal, new: NewKey) -> Result<(ApiKey, KeyText)> {
        let _turn = self.inner.turn.lock().await;
        let now = self.inner.clock.now();
        check_new(&new, now)?;
        self.inner.workgroups.get(&new.workgroup)?;
        self.check_place(&new, now)?;
        self.make_room(now).await?;
        let text = KeyText::random()?;
        let key = ApiKey {
            id: text.id().to_owned(),
            name: new.name,
            role: new.role,
            grants: new.grants,
            workgroup: new.workgroup,
            digest: text.digest(),
            created: now,
            expires: new.expires,
            revoked: None,
            last_used: None,
        };
        self.inner.store.insert(&key).await?;
        self.inner.by_id.write().insert(key.id.clone(), self.inner.entry(key.clone()));
        audit::changed(by, "create key", &format_args!("{} ({}, {})", key.name, key.id, key.role.name()));
        Ok((key, text))
    }

    /// Ends a key now, by id or by name, and what runs on its behalf. One that was revoked before stays as it is.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator's key; those of the store, and then it is still valid.
    pub async fn revoke(&self, by: &Principal, id_or_name: &str) -> Result<ApiKey> {
        let _turn = self.inner.turn.lock().await;
        let entry = self.inner.find(id_or_name)?;
        if entry.key.revoked.is_some() {
            return Ok(entry.current());
        }
        let id = entry.key.id.as_str();
        let now = self.inner.clock.now();
        if entry.key.is_valid(now) && entry.key.role == Role::Admin && self.valid_admins(now) == 1 {
            let message = format!("key `{}` is the last of an administrator", entry.key.name);
            return Err(Error::new(ErrorKind::Conflict, message).with_hint("Make another with the role admin first."));
        }
        self.inner.store.revoke(id, now).await?;
        let ended = ApiKey { revoked: Some(now), ..entry.current() };
        self.inner.by_id.write().insert(id.to_owned(), self.inner.entry(ended.clone()));
        entry.session.cancel();
        audit::changed(by, "revoke key", &format_args!("{} ({id})", entry.key.name));
        Ok(ended)
    }

    /// The workgroups that keys name.
    pub fn workgroups(&self) -> &Workgroups {
        &self.inner.workgroups
    }

    /// Drops a workgroup, for good and with what it has scanned.
    ///
    /// # Errors
    /// `not_found`; `conflict` for `default`, and while a valid key names it; those of the store.
    pub async fn drop_workgroup(&self, by: &Principal, name: &str) -> Result<()> {
        let _turn = self.inner.turn.lock().await;
        let now = self.inner.clock.now();
        let names_it = |key: &ApiKey| key.workgroup == name && key.is_valid(now);
        let mut users: Vec<String> = self.list().into_iter().filter(names_it).map(|key| key.name).collect();
        if users.is_empty() || name == DEFAULT_WORKGROUP {
            return self.inner.workgroups.drop(by, name).await;
        }
        let count = users.len();
        users.truncate(SHOWN_USERS);
        let more = if count > SHOWN_USERS { format!(" and {} more", count - SHOWN_USERS) } else { String::new() };
        let message = format!("the workgroup `{name}` is in use by the keys {}{more}", users.join(", "));
        Err(Error::new(ErrorKind::Conflict, message).with_hint("Revoke these keys first."))
    }

    /// Tells the store of uses that it does not know of, at most one a minute for each key. Called by the server's duty
    /// loop.
    ///
    /// # Errors
    /// Those of the store; the uses are told the next time.
    pub async fn note_uses(&self) -> Result<()> {
        let due: Vec<(Arc<Entry>, i64)> = {
            let by_id = self.inner.by_id.read();
            by_id.values().filter_map(|entry| Some((entry.clone(), entry.use_to_note()?))).collect()
        };
        if due.is_empty() {
            return Ok(());
        }
        let uses: Vec<_> = due.iter().filter_map(|(entry, used)| Some((entry.key.id.clone(), time(*used)?))).collect();
        self.inner.store.record_uses(&uses).await?;
        due.iter().for_each(|(entry, used)| entry.noted.store(*used, Ordering::Relaxed));
        Ok(())
    }

    /// The principal that an `Authorization` header stands for.
    pub(crate) fn identify(&self, authorization: &str, address: Option<IpAddr>) -> Result<Principal, Refusal> {
        let presented = presented_key(authorization).ok_or(Refusal::Unreadable)?;
        let id = presented.id().to_owned();
        let found = self.inner.by_id.read().get(&id).cloned();
        let Some(entry) = found.filter(|entry| entry.key.digest.is_of(&presented)) else {
            return Err(Refusal::Wrong { id });
        };
        let now = self.inner.clock.now();
        if entry.key.revoked.is_some() {
            return Err(Refusal::Revoked { id });
        }
        if entry.key.has_expired(now) {
            return Err(Refusal::Expired { id });
        }
        let before = entry.used.swap(now.timestamp_micros(), Ordering::Relaxed);
        if now.timestamp_micros() - before >= REST_MICROS {
            audit::login(&entry.principal, &id, address);
        }
        Ok(entry.principal.clone())
    }

    /// The token whose cancellation ends everything that runs.
    pub(crate) fn root(&self) -> &CancellationToken {
        &self.inner.root
    }

    fn check_place(&self, new: &NewKey, now: DateTime<Utc>) -> Result<()> {
        if self.inner.by_id.read().values().any(|entry| entry.key.name == new.name) {
            let error = Error::new(ErrorKind::AlreadyExists, format!("there is a key `{}` already", new.name));
            return Err(error.with_hint("Choose another name: the history tells principals apart by it."));
        }
        if new.role != Role::Admin && self.valid_admins(now) == 0 {
            return Err(Error::new(ErrorKind::Conflict, "the first key must be an administrator's")
                .with_hint("Make one with the role admin; from then on every request needs a key."));
        }
        Ok(())
    }

    fn valid_admins(&self, now: DateTime<Utc>) -> usize {
        let is_admin = |entry: &&Arc<Entry>| entry.key.role == Role::Admin && entry.key.is_valid(now);
        self.inner.by_id.read().values().filter(is_admin).count()
    }

    /// Forgets the key that ended first, where there are too many.
    async fn make_room(&self, now: DateTime<Utc>) -> Result<()> {
        let oldest = {
            let by_id = self.inner.by_id.read();
            if by_id.len() < MAX_KEYS {
                return Ok(());
            }
            let ended = by_id.values().filter(|entry| !entry.key.is_valid(now));
            ended.min_by_key(|entry| entry.key.end()).map(|entry| entry.key.id.clone())
        };
        let Some(oldest) = oldest else {
            return Err(Error::new(ErrorKind::Conflict, format!("there are {MAX_KEYS} valid keys"))
                .with_hint("Revoke one that is not needed any more."));
        };
        self.inner.store.forget(&oldest).await?;
        self.inner.by_id.write().remove(&oldest);
        Ok(())
    }
}

impl Inner {
    fn entry(&self, key: ApiKey) -> Arc<Entry> {
        let session = self.root.child_token();
        let used = key.last_used.map_or(0, |time| time.timestamp_micros());
        Arc::new(Entry {
            principal: Principal::of_key(&key, session.clone()),
            session,
            used: AtomicI64::new(used),
            noted: AtomicI64::new(used),
            key,
        })
    }

    fn find(&self, id_or_name: &str) -> Result<Arc<Entry>> {
        let by_id = self.by_id.read();
        let by_name = || by_id.values().find(|entry| entry.key.name == id_or_name);
        let found = by_id.get(id_or_name).or_else(by_name).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no key `{}`", id_or_name.escape_debug())))
    }
}

impl Entry {
    fn current(&self) -> ApiKey {
        ApiKey { last_used: time(self.used.load(Ordering::Relaxed)), ..self.key.clone() }
    }

    fn use_to_note(&self) -> Option<i64> {
        let used = self.used.load(Ordering::Relaxed);
        (used - self.noted.load(Ordering::Relaxed) >= USE_PERIOD_MICROS).then_some(used)
    }
}

fn time(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).filter(|_| micros != 0)
}

fn check_new(new: &NewKey, now: DateTime<Utc>) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let length = new.name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&length) || !new.name.chars().all(allowed) {
        return Err(Error::invalid_request("this is not a name for a key")
            .with_hint("Names have 1 to 64 letters, digits, `-`, `_`, `.` and `@`."));
    }
    if RESERVED_NAMES.contains(&new.name.as_str()) {
        return Err(Error::invalid_request(format!("the name `{}` is the server's own", new.name))
            .with_hint("Choose another name."));
    }
    if new.expires.is_some_and(|expires| expires <= now) {
        return Err(Error::invalid_request("the key would have expired already"));
    }
    if new.role == Role::Admin && !new.grants.is_everything() {
        return Err(Error::invalid_request("an administrator sees everything")
            .with_hint("Leave the grants out, or choose the role read or write."));
    }
    Ok(())
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
