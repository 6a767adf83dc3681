//! What all parts of the service share.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lakebed_access::Principal;
use lakebed_catalog::{Catalog, TableKind};
use lakebed_storage::Location;
use lakebed_tables::Buffers;
use lakebed_types::{Clock, Error, ErrorKind, Result, TableName};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::{
    flush,
    keys::Keys,
    log::Log,
    settings::IngestSettings,
    table::{IngestTable, Tables},
};

/// What all parts of the service share.
pub(crate) struct Inner {
    pub(crate) settings: IngestSettings,
    pub(crate) catalog: Catalog,
    pub(crate) buffers: Buffers,
    pub(crate) clock: Arc<dyn Clock>,
    /// Who commits: this node in this life.
    pub(crate) app_id: String,
    /// There once the earlier log has been read.
    pub(crate) log: OnceLock<Log>,
    pub(crate) tables: Tables,
    /// Tables that could not be opened when the log was read, and why. Their rows stay in the log until the next start.
    pub(crate) shut: Mutex<HashMap<TableName, String>>,
    pub(crate) keys: Arc<Keys>,
    /// Bytes of requests that are being read and decoded.
    pub(crate) in_flight: AtomicU64,
    /// Bodies that are decoded at once.
    pub(crate) decoding: Arc<Semaphore>,
    /// Folders whose store honours conditional writes.
    pub(crate) probed: Mutex<HashSet<Location>>,
    pub(crate) recovery: watch::Sender<Recovery>,
    pub(crate) closing: AtomicBool,
    /// Maintenance that is under way.
    pub(crate) maintenance: tokio::sync::Mutex<crate::maintain::Last>,
}

/// How far the earlier log has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recovery {
    UnderWay,
    Done,
    /// It cannot be read to its end.
    Failed(String),
}

/// A table's columns and rules as the catalog has them.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) table: Arc<IngestTable>,
    pub(crate) rules: String,
}

impl Inner {
    /// The log, where rows may come in.
    ///
    /// # Errors
    /// `unavailable` at the beginning, at the end, and after a failure.
    pub(crate) fn ready(&self) -> Result<&Log> {
        if self.is_closing() {
            return Err(Error::new(ErrorKind::Unavailable, "the server is stopping and takes no more rows"));
        }
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        self.log.get().ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "rows of the last run are still being read from the log")
                .with_retry_after(Duration::from_secs(1))
        })
    }

    /// Whether the service is ending.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Why no rows are taken, where that does not pass by itself.
    pub(crate) fn failure(&self) -> Option<Error> {
        if let Recovery::Failed(why) = &*self.recovery.borrow() {
            return Some(
                Error::new(ErrorKind::CorruptFile, why.clone()).with_hint("Look at the log's folder, and restart."),
            );
        }
        self.log.get().and_then(Log::failure)
    }

    /// The table as this principal sees it.
    ///
    /// # Errors
    /// `table_not_found`, `unsupported` for tables that no rows can come in for, and what opening it says.
    pub(crate) async fn declared(self: &Arc<Self>, who: &Principal, name: &TableName) -> Result<Declared> {
        let table = self.catalog.seen_by(who).table(name).await?;
        let TableKind::Delta { rules, .. } = table.kind else {
            return Err(Error::new(ErrorKind::Unsupported, format!("rows cannot come in for `{name}`"))
                .with_hint("Make a table for ingestion with PUT and an `ingest` member."));
        };
        Ok(Declared { table: self.open_table(&table.name).await?, rules })
    }

    /// Fails for a table that was shut when the log was read: a flush of new rows would say that those in the log, which
    /// are before them, are in files as well.
    fn check_not_shut(&self, name: &TableName) -> Result<()> {
        match self.shut.lock().get(name) {
            None => Ok(()),
            Some(why) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("`{name}` has rows in the write-ahead log and could not be opened when it was read: {why}"),
            )
            .with_hint("Repair the table and restart the server, which brings its rows back.")),
        }
    }

    /// The table, opened where it is not; opened anew where it is another one of the same name.
    ///
    /// # Errors
    /// `unavailable` where its rows are in the log alone until the next start; those of the catalog and the store.
    pub(crate) async fn open_table(self: &Arc<Self>, name: &TableName) -> Result<Arc<IngestTable>> {
        self.check_not_shut(name)?;
        let delta = self.catalog.delta(name).await?;
        let is_same = |table: &Arc<IngestTable>| Arc::ptr_eq(&table.delta, &delta);
        if let Some(table) = self.tables.get(name).filter(is_same) {
            return Ok(table);
        }
        let _opening = self.tables.opening.lock().await;
        if let Some(table) = self.tables.get(name).filter(is_same) {
            return Ok(table);
        }
        let state = delta.refresh().await?;
        self.alone(name, state.id()).await?;
        let earlier = self.tables.get(name);
        if let Some(earlier) = earlier.as_ref().filter(|earlier| earlier.id != state.id()) {
            self.forget(earlier).await;
        }
        // Dropped and taken in again: its rows in memory are still to be committed.
        let pending = match earlier.filter(|earlier| earlier.id == state.id()) {
            Some(earlier) => earlier.flushing.lock().await.take(),
            None => None,
        };
        let flushed = state.transaction(&self.app_id).and_then(|lsn| u64::try_from(lsn).ok()).unwrap_or(0);
        // A log that was cut or moved away may be behind what it has committed already.
        if let Some(log) = self.log.get() {
            log.raise(flushed);
        }
        let buffer = self.buffers.open(name, &self.app_id, state.id(), state.schema().clone());
        buffer.flushed(flushed, self.clock.instant());
        let table = Arc::new(IngestTable::new(name.clone(), delta, buffer, flushed, pending));
        self.tables.put(table.clone());
        Ok(table)
    }

    /// Fails where another name stands for the same Delta table: positions in the log are committed by table, so that
    /// the rows of one name would be taken for those of the other.
    async fn alone(self: &Arc<Self>, name: &TableName, id: &str) -> Result<()> {
        for other in self.tables.all().into_iter().filter(|other| other.name != *name && other.id == id) {
            if self.is_there(&other).await? {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("`{name}` is the same Delta table as `{}`", other.name),
                )
                .with_hint("Drop one of the two."));
            }
            self.forget(&other).await;
        }
        Ok(())
    }

    /// Whether the catalog still has this table, and not another one of its name.
    pub(crate) async fn is_there(&self, table: &IngestTable) -> Result<bool> {
        match self.catalog.seen_by(&Principal::system("ingest")).table(&table.name).await {
            Ok(found) => {
                Ok(matches!(found.kind, TableKind::Delta { location, .. } if location == *table.delta.location()))
            }
            Err(error) if matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::DatabaseNotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the catalog knows a table for rows by this name, whatever is at its place.
    pub(crate) async fn is_declared(&self, name: &TableName) -> Result<bool> {
        match self.catalog.seen_by(&Principal::system("ingest")).table(name).await {
            Ok(found) => Ok(matches!(found.kind, TableKind::Delta { .. })),
            Err(error) if matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::DatabaseNotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A table has been dropped: its rows go to its folder, where dropping leaves those that are there already, and it
    /// is forgotten. Rows that cannot be committed are lost with it. Call it with the tables' `opening` lock.
    pub(crate) async fn forget(self: &Arc<Self>, table: &Arc<IngestTable>) {
        if let Err(error) = flush::flush(self, table).await {
            tracing::warn!(table = %table.name, rows = table.buffer.rows(), ?error, "a dropped table loses its last rows");
        }
        if !self.tables.remove(table) {
            // Buffer and log are of a later one by now.
            return;
        }
        self.buffers.remove(&table.name, &table.id);
        if let Some(log) = self.log.get() {
            // Later positions are of another table of this name.
            log.flushed(&table.name, log.last_lsn()).await;
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}
