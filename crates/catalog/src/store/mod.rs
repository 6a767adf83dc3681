//! SQLite: the connection, its migrations, and one file of statements for each kind of record.
//!
//! Nothing outside this folder names a table of the database. Reads take any connection; writes take their turn first,
//! so that one never waits for another inside SQLite.

pub(crate) mod codec;
pub(crate) mod databases;
pub(crate) mod keys;
pub(crate) mod objects;
pub(crate) mod runs;
pub(crate) mod tables;
pub(crate) mod workgroups;

use std::{path::Path, time::Duration};

use lakebed_types::{Error, ErrorKind, Result};
use sqlx::{
    SqlSafeStr, Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::failure::store_failed;

/// Connections to a catalog file; readers never wait for the writer.
const CONNECTIONS: u32 = 4;
/// How long a statement waits for a lock that another program, such as a backup, holds on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows in one INSERT: far below SQLite's bound on variables, and enough to make the statement's cost small.
pub(crate) const INSERT_ROWS: usize = 500;

/// The catalog's database.
#[derive(Debug)]
pub(crate) struct Store {
    pool: SqlitePool,
    turn: Mutex<()>,
}

/// A transaction that writes. Rolled back when dropped without `commit`.
pub(crate) struct Write<'a> {
    transaction: Transaction<'static, Sqlite>,
    pool: &'a SqlitePool,
    _turn: MutexGuard<'a, ()>,
}

impl Store {
    /// Opens or creates the file and brings it to the newest version.
    pub(crate) async fn open(file: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode this risks the last commits at a power cut, never the file; a crawl finds them again.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS);
        Self::connect(pool, options).await.map_err(|error| error.context(format!("catalog {}", file.display())))
    }

    /// A database in memory. It lives in its one connection, so that one must never be closed.
    pub(crate) async fn in_memory() -> Result<Self> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        Self::connect(pool, options).await
    }

    async fn connect(pool: SqlitePoolOptions, options: SqliteConnectOptions) -> Result<Self> {
        let pool = pool.connect_with(options).await.map_err(store_failed)?;
        migrations().run(&pool).await.map_err(migration_failed)?;
        Ok(Self { pool, turn: Mutex::new(()) })
    }

    /// A connection to read with. Never taken while a `Write` is held: in memory there is only one.
    pub(crate) async fn read(&self) -> Result<PoolConnection<Sqlite>> {
        self.pool.acquire().await.map_err(store_failed)
    }

    /// Waits for its turn and begins a transaction.
    pub(crate) async fn write(&self) -> Result<Write<'_>> {
        let turn = self.turn.lock().await;
        let transaction = self.pool.begin().await.map_err(store_failed)?;
        Ok(Write { transaction, pool: &self.pool, _turn: turn })
    }

    /// Ends all connections; the file is complete afterwards.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Write<'_> {
    /// The connection inside the transaction.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Makes it last.
    pub(crate) async fn commit(self) -> Result<()> {
        self.transaction.commit().await.map_err(store_failed)
    }

    /// Makes it last through a power cut too. A checkpoint brings the log to the disk before anything else.
    pub(crate) async fn commit_durably(self) -> Result<()> {
        self.transaction.commit().await.map_err(store_failed)?;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_all(self.pool).await.map_err(store_failed)?;
        Ok(())
    }
}

/// Each is checksummed when it is applied: a file once released never changes, a new one is added.
fn migrations() -> Migrator {
    let list = [
        (1, "catalog", include_str!("0001_catalog.sql")),
        (2, "keys", include_str!("0002_keys.sql")),
        (3, "workgroups", include_str!("0003_workgroups.sql")),
        (4, "delta", include_str!("0004_delta.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(list.into_iter().map(migration).collect())
}

fn migration_failed(error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::VersionTooNew(..) => {
            Error::new(ErrorKind::Conflict, "it was written by another version of Lakebed")
                .with_hint("Use that version, or a new data directory: crawling again finds the same tables.")
                .with_source(error)
        }
        MigrateError::Execute(cause) => store_failed(cause),
        other => Error::internal("its tables cannot be brought to this version").with_source(other),
    }
}
