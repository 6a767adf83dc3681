//! A key as it is kept, and what its keeper must be able to do.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lakebed_types::Result;

use crate::{Grants, Role, secret::SecretDigest};

/// A key as it is kept: everything but its secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The public half of the key's text.
    pub id: String,
    /// Whose key it is: the principal's name in history and logs. No two keys share one.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it may see.
    pub grants: Grants,
    /// The workgroup that it works under.
    pub workgroup: String,
    /// To know the secret again.
    pub digest: SecretDigest,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it ends by itself; None: never.
    pub expires: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked: Option<DateTime<Utc>>,
    /// When it last let a request in, to the minute across a restart.
    pub last_used: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Whether it lets requests in at this time.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.revoked.is_none() && !self.has_expired(now)
    }

    /// `valid`, `expired` or `revoked`.
    pub fn state(&self, now: DateTime<Utc>) -> &'static str {
        match self.revoked {
            Some(_) => "revoked",
            None if self.has_expired(now) => "expired",
            None => "valid",
        }
    }

    pub(crate) fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// When it ended or will end.
    pub(crate) fn end(&self) -> Option<DateTime<Utc>> {
        self.revoked.or(self.expires)
    }
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// 1 to 64 letters, digits and `-_.@`; not yet taken.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it may see.
    pub grants: Grants,
    /// The workgroup that it works under; it must be there.
    pub workgroup: String,
    /// When it ends by itself; None: never.
    pub expires: Option<DateTime<Utc>>,
}

/// Where keys are kept. What a call has said is durable when it returns, except for uses.
#[async_trait]
pub trait KeyStore: Send + Sync + std::fmt::Debug {
    /// All keys, those that have ended too.
    async fn load(&self) -> Result<Vec<ApiKey>>;
    /// Adds a key.
    async fn insert(&self, key: &ApiKey) -> Result<()>;
    /// Marks a key as revoked.
    async fn revoke(&self, id: &str, revoked: DateTime<Utc>) -> Result<()>;
    /// Removes the record of a key that has ended.
    async fn forget(&self, id: &str) -> Result<()>;
    /// Notes when keys were last used.
    async fn record_uses(&self, uses: &[(String, DateTime<Utc>)]) -> Result<()>;
}

/// Keeps nothing: the keys of a server that has no catalog file live as long as the server.
#[derive(Debug)]
pub(crate) struct NoStore;

#[async_trait]
impl KeyStore for NoStore {
    async fn load(&self) -> Result<Vec<ApiKey>> {
        Ok(Vec::new())
    }

    async fn insert(&self, _: &ApiKey) -> Result<()> {
        Ok(())
    }

    async fn revoke(&self, _: &str, _: DateTime<Utc>) -> Result<()> {
        Ok(())
    }

    async fn forget(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn record_uses(&self, _: &[(String, DateTime<Utc>)]) -> Result<()> {
        Ok(())
    }
}
