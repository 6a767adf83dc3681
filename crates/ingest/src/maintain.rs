//! What is done by the clock: flushes of what is old, merges of closed days, the end of days that are not kept,
//! checkpoints, vacuum.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Days, NaiveDate, Utc};
use lakebed_access::Principal;
use lakebed_catalog::TableKind;
use lakebed_tables::PartitionSize;
use lakebed_types::{Result, TableName};

use crate::{
    faults::Window,
    inner::Inner,
    leased, merge,
    rules::TableRules,
    table::{IngestTable, parse_rules},
};

/// Between two looks at the days of all tables, at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Between two attempts at a partition that cannot be merged.
const MERGE_AGAIN: Duration = Duration::from_secs(3600);

/// When things were last done.
#[derive(Debug, Default)]
pub(crate) struct Last {
    looked: Option<Instant>,
    vacuumed: HashMap<TableName, Instant>,
    failed: FailedMerges,
}

/// When merges of these partitions failed.
type FailedMerges = HashMap<(TableName, Option<String>), Instant>;

/// Begins flushes that are due, and maintenance unless it is under way.
pub(crate) fn tick(inner: &Arc<Inner>) {
    let now = inner.clock.instant();
    let mut lag = Duration::ZERO;
    for table in inner.tables.all() {
        let age = table.buffer.oldest().map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest));
        lag = lag.max(age);
        let is_old = table.buffer.rows() > 0 && age >= inner.settings.flush_age;
        if is_old || table.buffer.bytes() >= inner.settings.flush_bytes {
            inner.flush_in_background(&table);
        }
        inner.sweep(&table);
    }
    metrics::gauge!("lakebed_ingest_flush_lag_seconds").set(lag.as_secs_f64());
    metrics::gauge!("lakebed_ingest_buffer_bytes").set(inner.buffers.bytes() as f64);
    metrics::gauge!("lakebed_ingest_wal_bytes").set(inner.log.get().map_or(0, |log| log.bytes()) as f64);
    let inner = inner.clone();
    tokio::spawn(async move {
        if let Ok(mut last) = inner.maintenance.try_lock() {
            maintain(&inner, &mut last).await;
        }
    });
}

async fn maintain(inner: &Arc<Inner>, last: &mut Last) {
    let now = inner.clock.instant();
    let vacuum_every = inner.settings.vacuum_every;
    let look_every = LOOK_EVERY.min(vacuum_every);
    if last.looked.is_some_and(|looked| now.saturating_duration_since(looked) < look_every) || inner.ready().is_err() {
        return;
    }
    last.looked = Some(now);
    forget_dropped(inner).await;
    let tables = match inner.catalog.seen_by(&Principal::system("ingest")).all_tables().await {
        Ok(tables) => tables,
        Err(error) => return tracing::warn!(?error, "the tables cannot be listed for maintenance"),
    };
    let is_there = |name: &TableName| tables.iter().any(|table| table.name == *name);
    last.vacuumed.retain(|name, _| is_there(name));
    last.failed.retain(|(name, _), at| now.saturating_duration_since(*at) < MERGE_AGAIN && is_there(name));
    for table in tables {
        if inner.is_closing() {
            return;
        }
        let TableKind::Delta { rules, .. } = &table.kind else { continue };
        let vacuumed = last.vacuumed.get(&table.name).copied();
        let is_due = vacuumed.is_some_and(|at| now.saturating_duration_since(at) >= vacuum_every);
        match one_table(inner, &table.name, rules, is_due, &mut last.failed).await {
            Ok(()) if is_due || vacuumed.is_none() => drop(last.vacuumed.insert(table.name, now)),
            Ok(()) => {}
            Err(error) => tracing::warn!(table = %table.name, ?error, "a table's maintenance failed"),
        }
    }
}

async fn forget_dropped(inner: &Arc<Inner>) {
    for table in inner.tables.all() {
        // Nobody opens one of its name meanwhile.
        let _opening = inner.tables.opening.lock().await;
        // Somebody may have done so since the list was made.
        if !inner.tables.has(&table) {
            continue;
        }
        match inner.is_there(&table).await {
            Ok(true) => {}
            Ok(false) => inner.forget(&table).await,
            Err(error) => tracing::warn!(table = %table.name, ?error, "cannot find out whether a table is still there"),
        }
    }
}

async fn one_table(
    inner: &Arc<Inner>,
    name: &TableName,
    rules: &str,
    is_vacuum_due: bool,
    failed: &mut FailedMerges,
) -> Result<()> {
    let rules = parse_rules(rules)?;
    let table = inner.open_table(name).await?;
    let now = inner.clock.now();
    if let Some(days) = rules.retention_days
        && let Err(error) = retire(inner, &table, now, days).await
    {
        tracing::warn!(table = %table.name, ?error, "days that are no longer kept cannot be removed");
    }
    if !rules.merge.off
        && let Err(error) = merge_closed(inner, &table, &rules, now, failed).await
    {
        tracing::warn!(table = %table.name, ?error, "cannot find out what is to be merged");
    }
    if table.delta.state().commits_since_checkpoint() >= inner.settings.checkpoint_every {
        leased::alone(inner, &table, "log", checkpoint(inner, &table)).await?;
    }
    if is_vacuum_due {
        let every = inner.settings.vacuum_every;
        leased::once_every(inner, &table, "vacuum", every, vacuum(inner, &table)).await?;
    }
    Ok(())
}

/// Writes a checkpoint unless another node has done so, and removes versions that an earlier one has stood for long enough.
async fn checkpoint(inner: &Inner, table: &IngestTable) -> Result<()> {
    let removed_for = inner.settings.vacuum_after;
    if table.delta.look_for_checkpoint(removed_for).await? < inner.settings.checkpoint_every {
        return Ok(());
    }
    table.delta.checkpoint(removed_for).await?;
    inner.settings.faults.at(Window::Checkpointed)?;
    let removed = table.delta.clean_log().await?;
    if removed > 0 {
        tracing::info!(table = %table.name, removed, "old versions of the log are no longer kept");
    }
    Ok(())
}

async fn vacuum(inner: &Inner, table: &IngestTable) -> Result<()> {
    let removed = table.delta.vacuum(inner.settings.vacuum_after).await?;
    if removed > 0 {
        tracing::info!(table = %table.name, removed, "files that no longer belong to the table are deleted");
    }
    Ok(())
}

/// Takes days out that are no longer kept.
async fn retire(inner: &Inner, table: &IngestTable, now: DateTime<Utc>, days: u32) -> Result<()> {
    let Some(first_kept) = now.date_naive().checked_sub_days(Days::new(days.into())) else { return Ok(()) };
    let state = table.delta.state();
    let too_old = |value: &Option<String>| day(value.as_deref()).is_some_and(|day| day < first_kept);
    for value in state.partitions().into_keys().filter(too_old) {
        let deadline = inner.clock.instant() + inner.settings.commit_deadline;
        let removed = table.delta.remove_partition(value.as_deref(), deadline).await?;
        tracing::info!(table = %table.name, day = value, rows = removed.rows, "a day is no longer kept");
    }
    Ok(())
}

/// Merges what has come in many pieces, each partition by one of several nodes: a day that is closed as a whole, and again
/// some time after rows came late; rows without a day, and tables without days, which go on for ever, as far as it is worth it.
/// One that cannot be merged is left alone for a while.
async fn merge_closed(
    inner: &Inner,
    table: &IngestTable,
    rules: &TableRules,
    now: DateTime<Utc>,
    failed: &mut FailedMerges,
) -> Result<()> {
    let most = rules.merge.files.unwrap_or(inner.settings.merge_files).max(2) as u64;
    let after = rules.merge.after_seconds.map_or(inner.settings.merge_after, Duration::from_secs);
    let target_bytes = rules.merge.target_bytes.unwrap_or(inner.settings.merge_bytes);
    let passed = |at: DateTime<Utc>| now.signed_duration_since(at).to_std().is_ok_and(|ago| ago >= after);
    let is_worth_it =
        |value: &Option<String>, size: &PartitionSize| match day(value.as_deref()).and_then(|day| day.succ_opt()) {
            Some(next) if !passed(next.and_time(chrono::NaiveTime::MIN).and_utc()) => false,
            Some(_) => {
                let came_late = size.runs > 1 && size.merged_runs > 0;
                size.runs >= most || (came_late && size.newest.is_some_and(passed))
            }
            None => size.loose_runs >= most,
        };
    let is_due = |value: &Option<String>, size: &PartitionSize| {
        is_worth_it(value, size) && !failed.contains_key(&(table.name.clone(), value.clone()))
    };
    if !table.delta.state().partitions().iter().any(|(value, size)| is_due(value, size)) {
        return Ok(());
    }
    // Another node may have been at it meanwhile.
    let partitions = table.delta.refresh().await?.partitions().into_iter();
    let due: Vec<_> = partitions.filter(|(value, size)| is_due(value, size)).map(|(value, _)| value).collect();
    for value in due {
        let is_day = day(value.as_deref()).is_some();
        if let Err(error) = merge::by_the_clock(inner, table, value.as_deref(), target_bytes, is_day).await {
            tracing::warn!(table = %table.name, day = value.as_deref(), ?error, "a merge failed, and waits an hour");
            failed.insert((table.name.clone(), value), inner.clock.instant());
        }
    }
    Ok(())
}

fn day(value: Option<&str>) -> Option<NaiveDate> {
    value?.parse().ok()
}
