//! Leases: of several nodes one does a piece of work, and the others leave it to that one.
//!
//! For efficiency alone. What is done under a lease is right whoever does it, and however many: two that hold the same
//! lease, because a clock is wrong or a store has no conditional writes, lose time and nothing else.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use lakebed_storage::{Location, Mode, classify};
use lakebed_types::{Clock, Error, ErrorKind, Result};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::table::DeltaTable;

/// Attempts at a lease that others take and give back at the same moment.
const ATTEMPTS: u32 = 4;
/// Letters of a lease's name that come from what it is for.
const NAME: usize = 80;
/// A lease that ends later than so many times what is usual was written by a clock that goes wrong.
const ABSURD: i32 = 3;

/// Who has a lease, or had it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The node, as it stands in the table's log.
    pub holder: String,
    /// When it ends, unless it is prolonged.
    pub until: DateTime<Utc>,
}

/// What came of asking for a lease.
#[derive(Debug)]
pub enum Leased {
    /// It is ours.
    Ours(Box<Lease>),
    /// Another one has it.
    Theirs(Held),
}

/// A lease that we hold. Dropped, it stays ours until it ends by itself.
#[derive(Debug)]
pub struct Lease {
    store: Arc<dyn ObjectStore>,
    location: Location,
    clock: Arc<dyn Clock>,
    holder: String,
    lasts: Duration,
    until: DateTime<Utc>,
    /// The object as we know it; None where there is none.
    known: Option<UpdateVersion>,
}

/// The object.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    holder: String,
    until: String,
}

impl DeltaTable {
    /// Asks for the lease on a piece of work, for `lasts` from now. One that has ended is taken over, and one that `holder`
    /// has already is prolonged: after a restart a node has its own at once. It lies in the table's folder `_lakebed`, which
    /// readers of Delta tables leave alone as they do all folders that begin so.
    ///
    /// # Errors
    /// The store's; `conflict` where others take it and give it back all the time.
    pub async fn lease(&self, what: &str, holder: &str, lasts: Duration) -> Result<Leased> {
        let location = self.location.child(&format!("_lakebed/lease-{}.json", plain(what)))?;
        self.storage.check(&location, Mode::ReadWrite)?;
        let mut lease = Lease {
            store: self.storage.store(&location)?,
            location,
            clock: Arc::clone(&self.clock),
            holder: holder.to_owned(),
            lasts,
            until: DateTime::UNIX_EPOCH,
            known: None,
        };
        for _ in 0..ATTEMPTS {
            if let Some(held) = lease.look().await? {
                return Ok(Leased::Theirs(held));
            }
            if lease.write().await? {
                return Ok(Leased::Ours(Box::new(lease)));
            }
        }
        Err(Error::new(ErrorKind::Conflict, format!("others come before us at `{}` each time", lease.location)))
    }
}

impl Lease {
    /// Does the work, prolongs the lease meanwhile, and gives it back. What becomes of the lease means nothing to the work.
    pub async fn during<T>(mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = tokio::time::sleep(self.lasts / 3) => {
                    if let Err(error) = self.prolong().await {
                        tracing::debug!(lease = %self.location, ?error, "a lease was not prolonged");
                    }
                }
            }
        };
        self.give_back().await;
        done
    }

    async fn prolong(&mut self) -> Result<()> {
        // An answer that was lost leaves open what is there.
        if self.known.is_none() && self.look().await?.is_some() {
            return Ok(());
        }
        self.write().await.map(drop)
    }

    /// Gives it back, unless it has ended.
    pub async fn give_back(self) {
        // Then it may be another one's already.
        if self.clock.now() >= self.until || self.known.is_none() {
            return;
        }
        if let Err(error) = self.store.delete(self.location.path()).await {
            tracing::debug!(lease = %self.location, ?error, "a lease was not given back and ends by itself");
        }
    }

    /// Who has it, where that is another one. Else what is there is known then.
    async fn look(&mut self) -> Result<Option<Held>> {
        let failed = |error| classify(error, &self.location);
        let found = match self.store.get(self.location.path()).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => {
                self.known = None;
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let known = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(failed)?;
        self.known = Some(known);
        // One that cannot be read is nobody's.
        Ok(held(&bytes).filter(|held| held.holder != self.holder && self.counts(held)))
    }

    fn counts(&self, held: &Held) -> bool {
        let left = held.until - self.clock.now();
        left > TimeDelta::zero() && TimeDelta::from_std(self.lasts).is_ok_and(|lasts| left <= lasts * ABSURD)
    }

    /// Writes it as ours where nobody else has written meanwhile; whether that is so.
    async fn write(&mut self) -> Result<bool> {
        let until = self.clock.now() + self.lasts;
        let text = until.to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = serde_json::to_vec(&Written { holder: self.holder.clone(), until: text });
        let body: Bytes = body.map_err(|error| Error::internal("a lease has no text").with_source(error))?.into();
        let put = match self.known.take() {
            None => self.put(&body, PutMode::Create).await,
            Some(known) => match self.put(&body, PutMode::Update(known)).await {
                Err(error) if !is_refusal(&error) => self.replace(&body).await,
                put => put,
            },
        };
        match put {
            Ok(known) => {
                (self.known, self.until) = (Some(known), until);
                Ok(true)
            }
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(classify(error, &self.location)),
        }
    }

    /// For stores that create on condition and do not replace on condition, such as a local disk.
    async fn replace(&self, body: &Bytes) -> object_store::Result<UpdateVersion> {
        match self.store.delete(self.location.path()).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => self.put(body, PutMode::Create).await,
            Err(error) => Err(error),
        }
    }

    async fn put(&self, body: &Bytes, mode: PutMode) -> object_store::Result<UpdateVersion> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(self.location.path(), body.clone().into(), options).await?;
        Ok(UpdateVersion { e_tag: put.e_tag, version: put.version })
    }
}

/// Somebody else was first.
fn is_refusal(error: &StoreError) -> bool {
    matches!(error, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotFound { .. })
}

fn held(bytes: &[u8]) -> Option<Held> {
    let Written { holder, until } = serde_json::from_slice(bytes).ok()?;
    let until = DateTime::parse_from_rfc3339(&until).ok()?.to_utc();
    Some(Held { holder, until })
}

/// What a file's name may hold. Two works of one name wait for each other, and nothing worse.
fn plain(what: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    what.chars().take(NAME).map(letter).collect()
}
