//! The catalog file keeps the keys.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lakebed_access::{ApiKey, KeyStore};
use lakebed_types::Result;

use crate::{Catalog, store::keys};

#[async_trait]
impl KeyStore for Catalog {
    async fn load(&self) -> Result<Vec<ApiKey>> {
        keys::all(&mut *self.inner.store.read().await?).await
    }

    async fn insert(&self, key: &ApiKey) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        keys::insert(write.connection(), key).await?;
        write.commit_durably().await
    }

    async fn revoke(&self, id: &str, revoked: DateTime<Utc>) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        keys::revoke(write.connection(), id, revoked).await?;
        write.commit_durably().await
    }

    async fn forget(&self, id: &str) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        keys::delete(write.connection(), id).await?;
        write.commit().await
    }

    async fn record_uses(&self, uses: &[(String, DateTime<Utc>)]) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        for (id, at) in uses {
            keys::used(write.connection(), id, *at).await?;
        }
        write.commit().await
    }
}
