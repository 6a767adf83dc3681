//! The façade: rows in, flushes and merges on demand, tail and status.

use std::{
    num::NonZero,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use chrono::{NaiveDate, TimeDelta};
use lakebed_access::Principal;
use lakebed_catalog::Catalog;
use lakebed_storage::Location;
use lakebed_tables::Buffers;
use lakebed_types::{Clock, Error, Result, StatementKind, TableName};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::{
    append,
    body::{AppendOptions, RowsBody},
    create, flush,
    inner::{Inner, Recovery},
    keys::Keys,
    log::{Log, LogFolder},
    maintain, merge,
    receipt::{FlushReceipt, MergeReceipt, Receipt, TableStatus, Tail},
    recover,
    rules::TableRules,
    settings::IngestSettings,
    table::{IngestTable, Tables, parse_rules},
    tail,
};

/// For how long the end waits for maintenance that is under way.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Ingestion. Cheap to clone.
#[derive(Debug, Clone)]
pub struct IngestService {
    pub(crate) inner: Arc<Inner>,
}

impl IngestService {
    /// Takes the log's folder, checks what is in it, and begins to read it in the background; see [`Self::recovered`].
    ///
    /// # Errors
    /// Those of [`Self::folder`] and [`Self::open_in`].
    pub async fn open(
        settings: IngestSettings,
        catalog: Catalog,
        buffers: Buffers,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let folder = Self::folder(&settings).await?;
        Self::open_in(folder, settings, catalog, buffers, clock).await
    }

    /// Takes the log's folder alone: for a process that wants to know that no other one has it before it does anything
    /// else.
    ///
    /// # Errors
    /// `conflict` where another process has it; `disk_failed`.
    pub async fn folder(settings: &IngestSettings) -> Result<LogFolder> {
        let (wal_dir, node) = (settings.wal_dir.clone(), settings.node.clone());
        let taking = tokio::task::spawn_blocking(move || LogFolder::open(&wal_dir, &node));
        taking.await.map_err(|error| Error::internal("taking the log's folder was given up").with_source(error))?
    }

    /// Checks what is in the log's folder, and begins to read it in the background; see [`Self::recovered`].
    ///
    /// # Errors
    /// `corrupt_file` where the log is damaged, with a way out; `disk_failed`.
    pub async fn open_in(
        folder: LogFolder,
        settings: IngestSettings,
        catalog: Catalog,
        buffers: Buffers,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let faults = settings.faults.clone();
        let checking = tokio::task::spawn_blocking(move || -> Result<_> {
            let files = recover::check(&folder, &faults)?;
            Ok((folder, files))
        });
        let (folder, files) =
            checking.await.map_err(|error| Error::internal("checking the log was given up").with_source(error))??;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let inner = Arc::new(Inner {
            app_id: folder.app_id().to_owned(),
            keys: Arc::new(Keys::new(settings.keys_lifetime, settings.keys)),
            settings,
            catalog,
            buffers,
            clock,
            log: OnceLock::new(),
            tables: Tables::default(),
            shut: Mutex::default(),
            in_flight: AtomicU64::new(0),
            probed: Mutex::default(),
            decoding: Arc::new(Semaphore::new(cores)),
            recovery: watch::Sender::new(Recovery::UnderWay),
            closing: AtomicBool::new(false),
            maintenance: tokio::sync::Mutex::default(),
        });
        recover::begin(inner.clone(), folder, files);
        Ok(Self { inner })
    }

    /// Ends when the rows of the last run are back, or cannot be read: see [`Self::failure`]. Rows are refused with
    /// `unavailable` before.
    pub async fn recovered(&self) {
        let mut recovery = self.inner.recovery.subscribe();
        // The sender lives as long as the service.
        drop(recovery.wait_for(|recovery| *recovery != Recovery::UnderWay).await);
    }

    /// Why no rows are taken, where that does not pass by itself: the log cannot be read, or a sync of it has failed.
    pub fn failure(&self) -> Option<Error> {
        self.inner.failure()
    }

    /// Makes a table for rows, or changes the rules of one that is there. Whether it is new. `location`: a Delta table that
    /// is there already, such as one that another node writes.
    ///
    /// # Errors
    /// `permission_denied`; `already_exists` for a table of another kind or with other columns; `invalid_request` for
    /// rules that do not fit the columns; `unsupported` for types that no such table has; those of the store.
    pub async fn create_table(
        &self,
        who: &Principal,
        table: &TableName,
        schema: Option<SchemaRef>,
        rules: TableRules,
        comment: Option<String>,
        location: Option<Location>,
    ) -> Result<bool> {
        create::create(&self.inner, who, table, schema, rules, comment, location).await
    }

    /// Appends a body's rows. What was acknowledged is visible to every query that begins then.
    ///
    /// With [`crate::OnError::RejectBatch`] and a bad row nothing is kept, and the receipt says so: `accepted` is 0 and
    /// `lsn` is None.
    ///
    /// # Errors
    /// `permission_denied`, `table_not_found`, `unsupported` for tables that take no rows; `invalid_request` for a body
    /// that is not of its format; `request_too_large`; `ingest_busy` with a time to wait; `unavailable` at the beginning,
    /// at the end, for a table that could not be opened when the log was read, and after a failure of the disk,
    /// `disk_failed` at it.
    pub async fn append(
        &self,
        who: &Principal,
        table: &TableName,
        body: RowsBody,
        options: AppendOptions,
    ) -> Result<Receipt> {
        let (started, ack) = (self.inner.clock.instant(), options.ack);
        let receipt = append::append(&self.inner, who, table, body, options).await?;
        let took = self.inner.clock.instant().saturating_duration_since(started);
        metrics::histogram!("lakebed_ingest_append_seconds", "ack" => ack.name()).record(took.as_secs_f64());
        Ok(receipt)
    }

    /// Commits all rows of a table that were acknowledged before.
    ///
    /// # Errors
    /// `permission_denied`, `table_not_found`, `unsupported`, `unavailable`, and those of the store. The rows stay where
    /// they are then, and a later flush has them.
    pub async fn flush(&self, who: &Principal, table: &TableName) -> Result<FlushReceipt> {
        let table = self.for_writer(who, table).await?.0;
        self.inner.ready()?;
        flush::flush(&self.inner, &table).await
    }

    /// Merges the files of a day, or of all days with more than one.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn merge(&self, who: &Principal, table: &TableName, day: Option<NaiveDate>) -> Result<MergeReceipt> {
        let (table, rules) = self.for_writer(who, table).await?;
        let target_bytes = parse_rules(&rules)?.merge.target_bytes.unwrap_or(self.inner.settings.merge_bytes);
        merge::merge(&self.inner, &table, day, target_bytes).await
    }

    /// New rows of a table on this node, from a position or from now on.
    ///
    /// # Errors
    /// `table_not_found`, `unsupported`; `expired` where rows after the position are no longer in memory.
    pub async fn tail(&self, who: &Principal, table: &TableName, from: Option<u64>) -> Result<Tail> {
        who.may_run(StatementKind::Select)?;
        let table = self.inner.declared(who, table).await?.table;
        tail::tail(table.name.clone(), table.buffer.clone(), from)
    }

    /// Begins what is due. To be called about once a second; does not wait for the work.
    pub async fn tick(&self) {
        maintain::tick(&self.inner);
    }

    /// Takes no more rows, flushes all, and gives the log's folder free. Rows that cannot be flushed stay in the log.
    pub async fn close(&self) {
        self.inner.closing.store(true, Ordering::Release);
        self.recovered().await;
        let tables = self.inner.tables.all();
        let flushes = tables.iter().map(async |table| {
            if let Err(error) = flush::flush(&self.inner, table).await {
                tracing::warn!(table = %table.name, ?error, "rows stay in the write-ahead log until the next start");
            }
        });
        futures::future::join_all(flushes).await;
        // A merge that takes longer is given up with the process; the table is whole either way.
        drop(tokio::time::timeout(LAST_WORK, self.inner.maintenance.lock()).await);
        let inner = self.inner.clone();
        // It waits for what is being written.
        drop(tokio::task::spawn_blocking(move || inner.log.get().map(Log::close)).await);
    }

    /// How it stands with each table that rows came in for, by name.
    pub fn status(&self) -> Vec<TableStatus> {
        self.inner.tables.all().iter().map(|table| self.status_of(table)).collect()
    }

    fn status_of(&self, table: &IngestTable) -> TableStatus {
        let (now, instant) = (self.inner.clock.now(), self.inner.clock.instant());
        let since = |then| now - TimeDelta::from_std(instant.saturating_duration_since(then)).unwrap_or_default();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TableStatus {
            table: table.name.clone(),
            buffered_rows: table.buffer.rows(),
            buffered_bytes: table.buffer.bytes(),
            oldest: table.buffer.oldest().map(since),
            lsn: table.buffer.last_lsn(),
            flushed_lsn: table.flushed_lsn(),
            version: Some(table.delta.state().version()),
            accepted_rows: count(&table.counts.accepted),
            rejected_rows: count(&table.counts.rejected),
            flushes: count(&table.counts.flushes),
            merges: count(&table.counts.merges),
            last_error: table.last_error.lock().clone(),
        }
    }

    async fn for_writer(&self, who: &Principal, table: &TableName) -> Result<(Arc<IngestTable>, String)> {
        who.may_run(StatementKind::Insert)?;
        let declared = self.inner.declared(who, table).await?;
        Ok((declared.table, declared.rules))
    }
}
