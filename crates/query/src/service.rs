//! The façade: everything that an API can ask of the engine.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use lakebed_access::{Access, AdmitOptions, Admitted, Principal};
use lakebed_catalog::Catalog;
use lakebed_storage::Location;
use lakebed_tables::{Buffers, ReadCaches, TableBuffer};
use lakebed_types::{Clock, Error, ErrorKind, Estimate, QueryId, QueryState, QueryStatistics, Result, TableName};

use crate::{
    admit, background,
    cancel::Cancel,
    gauges,
    history::{History, QueryRecord},
    ingest::{self, Ingest},
    page::{self, ParquetPage},
    prepare,
    prepared::{Description, PreparedQuery, QueryOptions},
    result_cache::ResultCache,
    rows::{self, RowsRequest},
    run::{self, BatchStream, RunningQuery},
    runtime::CpuRuntime,
    session::Sessions,
    settings::QuerySettings,
    spool::{ResultPage, Spool},
    stats::Price,
    system::{IngestState, IngestStatus},
    watchdog::Watchdog,
};

/// Renders the process's metrics.
type MetricsPage = Box<dyn Fn() -> String + Send + Sync>;

/// The engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct QueryService {
    engine: Arc<Engine>,
}

/// What all statements share.
pub(crate) struct Engine {
    pub(crate) settings: QuerySettings,
    pub(crate) price: Price,
    pub(crate) catalog: Catalog,
    pub(crate) access: Access,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cpu: CpuRuntime,
    pub(crate) sessions: Sessions,
    pub(crate) caches: ReadCaches,
    pub(crate) history: History,
    pub(crate) spool: Option<Spool>,
    pub(crate) results: ResultCache,
    pub(crate) watchdog: Watchdog,
    pub(crate) metrics: OnceLock<MetricsPage>,
    pub(crate) buffers: OnceLock<Buffers>,
    pub(crate) ingest: OnceLock<IngestState>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Engine {
    /// Rows of a table that are not in files yet.
    pub(crate) fn buffer(&self, name: &TableName) -> Option<Arc<TableBuffer>> {
        self.buffers.get()?.table(name)
    }

    /// The process's metrics now, as Prometheus' text; empty where nobody collects them.
    pub(crate) fn metrics_page(&self) -> String {
        gauges::set(self);
        self.metrics.get().map(|page| page()).unwrap_or_default()
    }
}

impl QueryService {
    /// Starts the threads for queries. Empties the spill directory. Takes over the results in the spool directory that an
    /// earlier process kept there, and removes all else from it: no other process may use it.
    ///
    /// # Errors
    /// `disk_failed` if a directory cannot be made, read or emptied.
    pub fn new(settings: QuerySettings, catalog: Catalog, access: Access, clock: Arc<dyn Clock>) -> Result<Self> {
        access.set_memory(settings.memory_bytes, settings.memory_per_query_bytes);
        let history = History::new(settings.history_entries, access.clone(), clock.clone());
        let spool = Spool::open(&settings, clock.clone())?.map(|(spool, records)| {
            records.into_iter().for_each(|record| history.restore(record));
            spool
        });
        let engine = Engine {
            cpu: CpuRuntime::new(settings.threads)?,
            sessions: Sessions::new(&settings, catalog.storage(), access.memory().clone())?,
            caches: ReadCaches::new(settings.metadata_cache_bytes, settings.column_cache_bytes),
            history,
            spool,
            results: ResultCache::new(settings.result_cache_bytes),
            price: Price::new(settings.price_per_tib_usd),
            watchdog: Watchdog::new(settings.resident_memory_bytes),
            metrics: OnceLock::new(),
            buffers: OnceLock::new(),
            ingest: OnceLock::new(),
            settings,
            catalog,
            access,
            clock,
        };
        Ok(Self { engine: Arc::new(engine) })
    }

    /// The catalog that names are looked up in.
    pub fn catalog(&self) -> &Catalog {
        &self.engine.catalog
    }

    /// Who admits queries.
    pub fn access(&self) -> &Access {
        &self.engine.access
    }

    /// Checks and plans a statement for a principal, against the snapshots of now. Nothing of the data is read.
    ///
    /// # Errors
    /// Everything that is wrong with the statement, and `permission_denied`. Goes into the history.
    pub async fn prepare(&self, who: &Principal, sql: &str, options: &QueryOptions) -> Result<PreparedQuery> {
        let prepared = prepare::prepare(&self.engine, who, sql, options).await;
        if let Err(error) = &prepared {
            self.remember_refused(who, sql, options, error);
        }
        prepared
    }

    /// What a statement is whose parameters have no values yet. Not for running: nothing of it goes into the history,
    /// unless it is refused.
    ///
    /// # Errors
    /// As for [`QueryService::prepare`].
    pub async fn describe(&self, who: &Principal, sql: &str, options: &QueryOptions) -> Result<Description> {
        let described = prepare::describe(&self.engine, who, sql, options).await;
        if let Err(error) = &described {
            self.remember_refused(who, sql, options, error);
        }
        described
    }

    /// Checks where rows that the caller sends may go. They are read once it runs, and on an error, theirs included,
    /// nothing is left behind. The result is one row with the number of rows.
    ///
    /// # Errors
    /// `permission_denied`, `table_not_found`, `already_exists`, `unknown_column`, `unsupported` for a table that the
    /// server does not write, `invalid_request` for columns without names of their own.
    pub async fn prepare_ingest(
        &self,
        who: &Principal,
        ingest: Ingest,
        schema: SchemaRef,
        batches: BatchStream,
        options: &QueryOptions,
    ) -> Result<PreparedQuery> {
        ingest::prepare(&self.engine, who, ingest, schema, batches, options).await
    }

    /// The threads for queries: what computes on a result, such as encoding it, belongs there and not on those that talk
    /// to clients.
    pub fn threads(&self) -> &tokio::runtime::Handle {
        self.engine.cpu.handle()
    }

    fn remember_refused(&self, who: &Principal, sql: &str, options: &QueryOptions, error: &Error) {
        let now = self.engine.clock.now();
        let id = QueryId::random();
        if error.kind() == ErrorKind::Internal {
            tracing::error!(query_id = %id, error = ?error, "a statement could not be planned");
        }
        metrics::counter!("lakebed_queries_total", "kind" => "unknown", "state" => "refused").increment(1);
        let record = QueryRecord {
            id,
            principal: who.name().to_owned(),
            workgroup: who.workgroup().to_owned(),
            source: options.source.into(),
            database: options.database.clone(),
            sql: sql.to_owned(),
            kind: None,
            state: QueryState::Queued,
            queue_position: None,
            submitted: now,
            ended: None,
            statistics: QueryStatistics::default(),
            error: None,
        };
        self.engine.history.add(record, None, Cancel::default());
        self.engine.history.end(id, now, None, Err(error));
    }

    /// What running it would read. No data is read, no request made.
    ///
    /// # Errors
    /// `internal` if a statistic cannot be evaluated.
    #[expect(clippy::unused_async, reason = "the façade's promise: an estimate may one day ask a worker")]
    pub async fn estimate(&self, prepared: &PreparedQuery) -> Result<Estimate> {
        admit::estimate_of(&self.engine, prepared)
    }

    /// Waits for a prepared statement's turn: first what the catalog says of it is held against the workgroup's limits,
    /// then it is in the history as queued. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// `scan_too_large`, `budget_exhausted`; `cancelled` by its id; and those of [`Access::admit`].
    pub async fn admit(&self, who: &Principal, prepared: &PreparedQuery, options: &AdmitOptions) -> Result<Admitted> {
        admit::admit(&self.engine, who, prepared, options).await
    }

    /// Runs it. The stream owns the permit: dropping it cancels the query and frees everything.
    ///
    /// # Errors
    /// What fails before the first row can come; later failures end the stream.
    pub async fn run(&self, admitted: Admitted, prepared: PreparedQuery) -> Result<RunningQuery> {
        run::start(self.engine.clone(), admitted, prepared).await
    }

    /// A statement for rows of one table without SQL text from the caller: column names and a boolean filter
    /// expression (checked like any SQL), `sort` as `-price,name`.
    ///
    /// # Errors
    /// As for [`QueryService::prepare`].
    pub async fn prepare_rows(
        &self,
        who: &Principal,
        table: &TableName,
        rows: &RowsRequest,
        options: &QueryOptions,
    ) -> Result<PreparedQuery> {
        let limits = self.engine.settings.sql.clone();
        let (name, request) = (table.clone(), rows.clone());
        let text = move || rows::statement(&name, &request, &limits);
        let text = self.engine.cpu.plan(self.engine.settings.sql.planning, text).await?;
        self.prepare(who, &text, options).await
    }

    /// A page of one Parquet file by its location (inside the allow-list), straight from the right row group.
    ///
    /// # Errors
    /// `location_not_allowed`, `object_not_found`, `corrupt_file` and the store's own.
    pub async fn parquet_page(
        &self,
        admitted: Admitted,
        location: &Location,
        offset: u64,
        limit: usize,
    ) -> Result<ParquetPage> {
        page::read(&self.engine, admitted, location, offset, limit).await
    }

    /// Starts a query that runs without anyone waiting; its result goes to the spool. Returns when it is queued.
    ///
    /// # Errors
    /// Everything that is wrong with the statement; `unavailable` while the space for results is used up.
    pub async fn submit(
        &self,
        who: &Principal,
        sql: &str,
        options: &QueryOptions,
        timeout: Option<Duration>,
    ) -> Result<QueryId> {
        background::submit(&self.engine, who, sql, options, timeout).await
    }

    /// History, newest first; what this principal may see. `before`: page on from this record.
    pub fn history(&self, who: &Principal, limit: usize, before: Option<QueryId>) -> Vec<QueryRecord> {
        self.engine.history.list(who, limit, before)
    }

    /// One execution.
    ///
    /// # Errors
    /// `not_found`.
    pub fn record(&self, who: &Principal, id: QueryId) -> Result<QueryRecord> {
        background::record(&self.engine, who, id)
    }

    /// Stops a query, running or queued. Idempotent; `not_found` if there is no such query.
    ///
    /// # Errors
    /// `not_found`.
    pub fn cancel(&self, who: &Principal, id: QueryId) -> Result<QueryRecord> {
        match self.engine.history.cancel(who, id) {
            Err(error) if error.kind() == ErrorKind::NotFound => background::record(&self.engine, who, id),
            answer => answer,
        }
    }

    /// Rows `offset..offset+limit` of a background query's result, from the spool. `conflict` while it runs, `expired` after
    /// its lifetime, its own error where it failed.
    ///
    /// # Errors
    /// As said, and `not_found` if there is no such query.
    pub async fn results(&self, who: &Principal, id: QueryId, offset: u64, limit: usize) -> Result<ResultPage> {
        background::results(&self.engine, who, id, offset, limit).await
    }

    /// The whole result of a background query as a stream.
    ///
    /// # Errors
    /// As for [`QueryService::results`].
    pub async fn result_stream(&self, who: &Principal, id: QueryId) -> Result<(SchemaRef, BatchStream)> {
        background::result_stream(&self.engine, who, id).await
    }

    /// From the next query on, scanning a TiB has this price in US dollars.
    pub fn set_price_per_tib(&self, usd: f64) {
        self.engine.price.set(usd);
    }

    /// Queries that take this long or longer are logged at their end, those that run now included; None: none is.
    pub fn set_slow_query(&self, from: Option<Duration>) {
        self.engine.history.slow().set(from);
    }

    /// Waits until the ends of the queries in the background are written down, so long at most. The last step of a
    /// shutdown: whatever is not by then is told as interrupted after the next start.
    pub async fn written_down(&self, within: Duration) {
        const LOOK: Duration = Duration::from_millis(10);
        let Some(spool) = &self.engine.spool else { return };
        let written = async {
            while spool.has_open() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(within, written).await.is_err() {
            tracing::warn!("queries in the background did not end in time");
        }
    }

    /// Ends what is past its lifetime. Called by the server's duty loop.
    pub fn sweep(&self) {
        if let Some(spool) = &self.engine.spool {
            spool.sweep();
        }
    }

    /// Holds the memory that the process has against its limit. Where it is over, kept columns are dropped, and if that is
    /// not enough the largest query is ended. Called by a server several times a second. The query that was ended.
    pub async fn watch_memory(&self, resident_bytes: u64) -> Option<QueryId> {
        self.engine.watchdog.look(&self.engine, resident_bytes).await
    }

    /// Says where `system.metrics` and [`QueryService::metrics`] find the process's metrics, as Prometheus' text. The first
    /// call counts.
    pub fn set_metrics(&self, page: impl Fn() -> String + Send + Sync + 'static) {
        if self.engine.metrics.set(Box::new(page)).is_err() {
            tracing::debug!("metrics were already published");
        }
    }

    /// Says where `system.ingest` finds what is taken in. The first call counts.
    pub fn set_ingest_status(&self, state: impl Fn() -> Vec<IngestStatus> + Send + Sync + 'static) {
        if self.engine.ingest.set(Box::new(state)).is_err() {
            tracing::debug!("the state of ingestion was already published");
        }
    }

    /// Says where rows are that are accepted and not yet in files: queries read them beside the files. The first call
    /// counts.
    pub fn set_buffers(&self, buffers: Buffers) {
        if self.engine.buffers.set(buffers).is_err() {
            tracing::debug!("buffers were already there");
        }
    }

    /// The process's metrics now, as Prometheus' text.
    pub fn metrics(&self) -> String {
        self.engine.metrics_page()
    }

    /// Bytes that all queries have reserved now.
    pub fn memory_reserved(&self) -> u64 {
        self.engine.sessions.memory_reserved()
    }
}
