//! The catalog: opening and closing it, and what all its parts share.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use lakebed_storage::Storage;
use lakebed_types::{Clock, DatabaseName, Error, ErrorKind, Result, TableName};
use parking_lot::Mutex;

use crate::{
    Freshness,
    lock::CatalogLock,
    snapshot::Slots,
    store::{Store, databases, runs},
};

/// The catalog. Cheap to clone. The file is free for another process when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

/// Settings of the catalog. Plain data.
#[derive(Debug, Clone)]
pub struct CatalogSettings {
    /// The policy of tables that have none of their own; `on_query:5s` by default.
    pub default_freshness: Freshness,
    /// Objects that one crawl or look reads at once; 32 by default.
    pub parallel_requests: usize,
    /// Files below one location; a listing beyond that fails. One million by default.
    pub max_files: usize,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self {
            default_freshness: Freshness::OnQuery { min_age: Duration::from_secs(5) },
            parallel_requests: 32,
            max_files: 1_000_000,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) storage: Storage,
    pub(crate) settings: CatalogSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) slots: Slots,
    /// Crawls that run in this process, by database and location.
    pub(crate) crawling: Mutex<HashSet<String>>,
    /// Second names, each with the table that it means.
    pub(crate) aliases: Mutex<HashMap<TableName, TableName>>,
    // Last: released when the connections are gone.
    _lock: Option<CatalogLock>,
}

impl Catalog {
    /// Opens or creates the catalog file and its folder, takes the lock beside it, runs migrations. Runs that a process
    /// left behind become `interrupted`.
    ///
    /// # Errors
    /// `conflict` if another process has it open (the message says which) or another version wrote it; `disk_failed`.
    pub async fn open(file: &Path, storage: Storage, settings: CatalogSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|cause| {
                Error::new(ErrorKind::DiskFailed, format!("cannot create folder {}: {cause}", folder.display()))
                    .with_source(cause)
            })?;
        }
        let lock = CatalogLock::take(file)?;
        let store = Store::open(file).await?;
        Self::begin(store, storage, settings, clock, Some(lock)).await
    }

    /// A catalog in memory, gone with its last clone: for one command, and for tests.
    ///
    /// # Errors
    /// `internal` if SQLite fails.
    pub async fn in_memory(storage: Storage, settings: CatalogSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::begin(Store::in_memory().await?, storage, settings, clock, None).await
    }

    async fn begin(
        store: Store,
        storage: Storage,
        settings: CatalogSettings,
        clock: Arc<dyn Clock>,
        lock: Option<CatalogLock>,
    ) -> Result<Self> {
        let now = clock.now();
        let mut write = store.write().await?;
        databases::insert(write.connection(), &DatabaseName::default_database(), None, now).await?;
        runs::interrupt_all(write.connection(), now).await?;
        write.commit().await?;
        let inner = Inner {
            store,
            storage,
            settings,
            clock,
            slots: Slots::default(),
            crawling: Mutex::default(),
            aliases: Mutex::default(),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ends the connections to the catalog file, waiting for what runs. Every later call fails; for an orderly shutdown.
    pub async fn close(&self) {
        self.inner.store.close().await;
    }

    /// The stores that the catalog's locations lie in.
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }
}
