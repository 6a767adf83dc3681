//! The catalog file keeps the workgroups and what they have scanned.

use async_trait::async_trait;
use lakebed_access::{Usage, Workgroup, WorkgroupStore};
use lakebed_types::Result;

use crate::{Catalog, store::workgroups};

#[async_trait]
impl WorkgroupStore for Catalog {
    async fn load(&self) -> Result<Vec<Workgroup>> {
        workgroups::all(&mut *self.inner.store.read().await?).await
    }

    async fn load_usage(&self) -> Result<Vec<(String, Usage)>> {
        workgroups::all_usage(&mut *self.inner.store.read().await?).await
    }

    async fn put(&self, workgroup: &Workgroup) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        workgroups::put(write.connection(), workgroup).await?;
        write.commit_durably().await
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        workgroups::delete(write.connection(), name).await?;
        write.commit_durably().await
    }

    async fn save_usage(&self, usage: &[(String, Usage)]) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        for (workgroup, usage) in usage {
            workgroups::put_usage(write.connection(), workgroup, usage).await?;
        }
        write.commit().await
    }
}
