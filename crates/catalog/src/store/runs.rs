//! Statements on crawlers, their runs and the entries of their reports.

use chrono::{DateTime, Utc};
use lakebed_types::{DatabaseName, Error, Result};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::{
    INSERT_ROWS,
    codec::{column, count, integer, location, optional_time, time},
};
use crate::{Change, CrawlReport, Crawler, Outcome, ReportEntry, RunState, failure::store_failed};

/// Runs that are kept of one crawler, with their entries.
const KEPT_RUNS: i64 = 100;

/// Adds a crawler; false if there is one of this name.
pub(crate) async fn insert_crawler(connection: &mut SqliteConnection, crawler: &Crawler) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO crawlers (name, location, database_name, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&crawler.name)
    .bind(crawler.location.to_string())
    .bind(crawler.database.as_str())
    .bind(crawler.created.timestamp_micros())
    .execute(connection)
    .await
    .map_err(store_failed)?;
    Ok(done.rows_affected() > 0)
}

/// All crawlers by name.
pub(crate) async fn crawlers(connection: &mut SqliteConnection) -> Result<Vec<Crawler>> {
    let rows = sqlx::query("SELECT name, location, database_name, created FROM crawlers ORDER BY name")
        .fetch_all(connection)
        .await
        .map_err(store_failed)?;
    let crawler = |row: &SqliteRow| {
        Ok(Crawler {
            name: column(row, "name")?,
            location: location(row, "location")?,
            database: DatabaseName::new(column(row, "database_name")?)?,
            created: time(row, "created")?,
        })
    };
    rows.iter().map(crawler).collect()
}

/// Removes a crawler and its runs; false if there is none.
pub(crate) async fn delete_crawler(connection: &mut SqliteConnection, name: &str) -> Result<bool> {
    sqlx::query("DELETE FROM runs WHERE crawler = ?")
        .bind(name)
        .execute(&mut *connection)
        .await
        .map_err(store_failed)?;
    let done = sqlx::query("DELETE FROM crawlers WHERE name = ?")
        .bind(name)
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(done.rows_affected() > 0)
}

/// Records that a run has begun, and forgets the oldest of its crawler.
pub(crate) async fn begin(connection: &mut SqliteConnection, report: &CrawlReport) -> Result<()> {
    sqlx::query("INSERT INTO runs (id, crawler, location, database_name, state, started) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(&report.id)
        .bind(&report.crawler)
        .bind(report.location.to_string())
        .bind(report.database.as_str())
        .bind(RunState::Running.as_str())
        .bind(report.started.timestamp_micros())
        .execute(&mut *connection)
        .await
        .map_err(store_failed)?;
    sqlx::query(
        "DELETE FROM runs WHERE crawler = ?1 AND sequence NOT IN
         (SELECT sequence FROM runs WHERE crawler = ?1 ORDER BY sequence DESC LIMIT ?2)",
    )
    .bind(&report.crawler)
    .bind(KEPT_RUNS)
    .execute(connection)
    .await
    .map_err(store_failed)?;
    Ok(())
}

/// Records how a run ended, with its entries.
pub(crate) async fn end(connection: &mut SqliteConnection, report: &CrawlReport) -> Result<()> {
    let row = sqlx::query(
        "UPDATE runs SET state = ?, ended = ?, listed = ?, inspected = ?, reused = ?, error = ? WHERE id = ?
         RETURNING sequence",
    )
    .bind(report.state.as_str())
    .bind(report.ended.map(|ended| ended.timestamp_micros()))
    .bind(integer(report.listed))
    .bind(integer(report.inspected))
    .bind(integer(report.reused))
    .bind(&report.error)
    .bind(&report.id)
    .fetch_optional(&mut *connection)
    .await
    .map_err(store_failed)?;
    // Its crawler may have been dropped meanwhile.
    let Some(row) = row else { return Ok(()) };
    let run: i64 = column(&row, "sequence")?;
    let numbered: Vec<(usize, &ReportEntry)> = report.entries.iter().enumerate().collect();
    for chunk in numbered.chunks(INSERT_ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO report_entries (run, position, path, outcome, table_name, reason, files, bytes, change) ",
        );
        insert.push_values(chunk, |mut row, (position, entry)| {
            row.push_bind(run).push_bind(*position as i64).push_bind(entry.path.clone());
            row.push_bind(entry.outcome.as_str()).push_bind(entry.table.clone()).push_bind(entry.reason.clone());
            row.push_bind(integer(entry.files)).push_bind(integer(entry.bytes)).push_bind(entry.change.as_str());
        });
        insert.build().persistent(false).execute(&mut *connection).await.map_err(store_failed)?;
    }
    Ok(())
}

/// Runs that are still `running` in a catalog that is just being opened have lost their process.
pub(crate) async fn interrupt_all(connection: &mut SqliteConnection, now: DateTime<Utc>) -> Result<()> {
    interrupt(connection, None, now).await
}

/// Marks a run as interrupted if it still runs; None = all.
pub(crate) async fn interrupt(connection: &mut SqliteConnection, id: Option<&str>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("UPDATE runs SET state = ?1, ended = ?2 WHERE state = ?3 AND (?4 IS NULL OR id = ?4)")
        .bind(RunState::Interrupted.as_str())
        .bind(now.timestamp_micros())
        .bind(RunState::Running.as_str())
        .bind(id)
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Runs without entries, newest first; None = of all crawlers.
pub(crate) async fn list(
    connection: &mut SqliteConnection,
    crawler: Option<&str>,
    limit: usize,
) -> Result<Vec<CrawlReport>> {
    let rows = sqlx::query("SELECT * FROM runs WHERE ?1 IS NULL OR crawler = ?1 ORDER BY sequence DESC LIMIT ?2")
        .bind(crawler)
        .bind(integer(limit as u64))
        .fetch_all(connection)
        .await
        .map_err(store_failed)?;
    rows.iter().map(run).collect()
}

/// One run with its entries.
pub(crate) async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Option<CrawlReport>> {
    let row = sqlx::query("SELECT * FROM runs WHERE id = ?")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(store_failed)?;
    let Some(row) = row else { return Ok(None) };
    let entries = entries(connection, column(&row, "sequence")?).await?;
    Ok(Some(CrawlReport { entries, ..run(&row)? }))
}

/// The entries of the newest successful run over this location into this database.
pub(crate) async fn last_entries(connection: &mut SqliteConnection, report: &CrawlReport) -> Result<Vec<ReportEntry>> {
    let row = sqlx::query(
        "SELECT sequence FROM runs WHERE location = ? AND database_name = ? AND crawler = ? AND state = ?
         ORDER BY sequence DESC LIMIT 1",
    )
    .bind(report.location.to_string())
    .bind(report.database.as_str())
    .bind(&report.crawler)
    .bind(RunState::Succeeded.as_str())
    .fetch_optional(&mut *connection)
    .await
    .map_err(store_failed)?;
    match row {
        Some(row) => entries(connection, column(&row, "sequence")?).await,
        None => Ok(Vec::new()),
    }
}

async fn entries(connection: &mut SqliteConnection, run: i64) -> Result<Vec<ReportEntry>> {
    let rows = sqlx::query("SELECT * FROM report_entries WHERE run = ? ORDER BY position")
        .bind(run)
        .fetch_all(connection)
        .await
        .map_err(store_failed)?;
    rows.iter().map(entry).collect()
}

fn entry(row: &SqliteRow) -> Result<ReportEntry> {
    Ok(ReportEntry {
        path: column(row, "path")?,
        outcome: word(row, "outcome", Outcome::from_word)?,
        table: column(row, "table_name")?,
        reason: column(row, "reason")?,
        files: count(row, "files")?,
        bytes: count(row, "bytes")?,
        change: word(row, "change", Change::from_word)?,
    })
}

fn run(row: &SqliteRow) -> Result<CrawlReport> {
    Ok(CrawlReport {
        id: column(row, "id")?,
        crawler: column(row, "crawler")?,
        location: location(row, "location")?,
        database: DatabaseName::new(column(row, "database_name")?)?,
        state: word(row, "state", RunState::from_word)?,
        started: time(row, "started")?,
        ended: optional_time(row, "ended")?,
        dry_run: false,
        listed: count(row, "listed")?,
        inspected: count(row, "inspected")?,
        reused: count(row, "reused")?,
        error: column(row, "error")?,
        entries: Vec::new(),
    })
}

fn word<T>(row: &SqliteRow, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T> {
    read(column(row, name)?).ok_or_else(|| Error::internal(format!("the catalog holds an unknown `{name}`")))
}
