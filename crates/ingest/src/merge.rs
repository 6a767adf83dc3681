//! Merging the files of days, on demand and by the clock.

use std::sync::{Arc, atomic::Ordering};

use chrono::{NaiveDate, SecondsFormat};
use lakebed_tables::{Held, MergeOptions, MergeOutcome, merge_partition};
use lakebed_types::{Error, ErrorKind, Result};
use uuid::Uuid;

use crate::{
    faults::Window,
    inner::Inner,
    leased::{self, Turn},
    receipt::MergeReceipt,
    table::IngestTable,
};

/// How the partition of rows without a day is listed: as its folder is named.
const NO_DAY: &str = "__HIVE_DEFAULT_PARTITION__";

/// Merges one day, or all that are not merged; those that another node is at are left to it.
pub(crate) async fn merge(
    inner: &Arc<Inner>,
    table: &Arc<IngestTable>,
    day: Option<NaiveDate>,
    target_bytes: u64,
) -> Result<MergeReceipt> {
    let state = table.delta.refresh().await?;
    let day = day.map(|day| day.format("%Y-%m-%d").to_string());
    if day.is_some() && state.partition_column().is_none() {
        return Err(Error::new(ErrorKind::InvalidRequest, format!("`{}` has no days", table.name))
            .with_hint("Leave the day out to merge all files."));
    }
    let wanted = |value: &Option<String>| day.is_none() || *value == day;
    // What is one run is merged: no lease has to be asked for.
    let partitions = state.partitions().into_iter().filter(|(value, size)| size.runs > 1 && wanted(value));
    let values: Vec<Option<String>> = partitions.map(|(value, _)| value).collect();
    let mut receipt = MergeReceipt {
        version: state.version(),
        days: Vec::new(),
        lost: Vec::new(),
        files_before: 0,
        files_after: 0,
        rows: 0,
    };
    for value in values {
        let _turn = table.merging.lock().await;
        match under_lease(inner, table, value.as_deref(), target_bytes, true).await? {
            Turn::Done(outcome) => add(&mut receipt, value, outcome),
            Turn::Elsewhere(held) => match value {
                Some(value) if day.is_none() => receipt.lost.push(value),
                None if state.partition_column().is_some() => receipt.lost.push(NO_DAY.to_owned()),
                value => return Err(elsewhere(inner, table, value.as_deref(), &held)),
            },
        }
    }
    Ok(receipt)
}

/// Merges one day unless somebody is at it. `full`: all of it, however large what is merged already.
pub(crate) async fn by_the_clock(
    inner: &Inner,
    table: &IngestTable,
    value: Option<&str>,
    target_bytes: u64,
    full: bool,
) -> Result<()> {
    let Ok(_turn) = table.merging.try_lock() else { return Ok(()) };
    if let Turn::Elsewhere(held) = under_lease(inner, table, value, target_bytes, full).await? {
        tracing::debug!(table = %table.name, day = value, ?held, "another node merges");
    }
    Ok(())
}

fn elsewhere(inner: &Inner, table: &IngestTable, value: Option<&str>, held: &Held) -> Error {
    let what = value.map_or_else(|| format!("`{}`", table.name), |day| format!("{day} of `{}`", table.name));
    let until = held.until.to_rfc3339_opts(SecondsFormat::Secs, true);
    let left = (held.until - inner.clock.now()).to_std().unwrap_or_default();
    Error::new(ErrorKind::Conflict, format!("{what} is being merged by `{}`", held.holder))
        .with_hint(format!("Its lease ends at {until} unless it prolongs it. Ask again then."))
        .with_retry_after(left)
}

/// Merges one day unless another node is at it.
async fn under_lease(
    inner: &Inner,
    table: &IngestTable,
    value: Option<&str>,
    target_bytes: u64,
    full: bool,
) -> Result<Turn<MergeOutcome>> {
    let what = format!("merge-{}", value.unwrap_or("all"));
    let turn = leased::alone(inner, table, &what, async {
        let outcome = one(inner, table, value, target_bytes, full).await?;
        inner.settings.faults.at(Window::Merged)?;
        Ok(outcome)
    });
    let turn = turn.await;
    table.note(&turn);
    turn
}

async fn one(
    inner: &Inner,
    table: &IngestTable,
    value: Option<&str>,
    target_bytes: u64,
    full: bool,
) -> Result<MergeOutcome> {
    let options = MergeOptions {
        target_bytes,
        full,
        name_prefix: Uuid::new_v4().to_string(),
        commit_for: inner.settings.commit_deadline,
        ..MergeOptions::default()
    };
    let started = inner.clock.instant();
    let outcome = merge_partition(&table.delta, value, options, &|progress| {
        tracing::debug!(table = %table.name, day = value, ?progress, "merging");
    })
    .await;
    let state = match &outcome {
        Ok(outcome) if outcome.lost => "lost",
        Ok(_) => "done",
        Err(_) => "failed",
    };
    metrics::counter!("lakebed_ingest_merges_total", "state" => state).increment(1);
    let took = inner.clock.instant().saturating_duration_since(started);
    metrics::histogram!("lakebed_ingest_merge_seconds").record(took.as_secs_f64());
    if state == "done" {
        table.counts.merges.fetch_add(1, Ordering::Relaxed);
    }
    outcome
}

fn add(receipt: &mut MergeReceipt, value: Option<String>, outcome: MergeOutcome) {
    receipt.version = receipt.version.max(outcome.version);
    receipt.files_before += outcome.files_read;
    receipt.files_after += outcome.files_written;
    receipt.rows += outcome.rows;
    if let Some(day) = value {
        match outcome.lost {
            true => receipt.lost.push(day),
            false if outcome.rounds > 0 => receipt.days.push(day),
            false => {}
        }
    }
}
