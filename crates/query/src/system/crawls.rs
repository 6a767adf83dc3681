//! `system.crawlers`, `system.crawl_runs`, `system.crawl_report`: what crawls found.

use arrow::array::RecordBatch;
use lakebed_catalog::{Change, Crawler, Outcome, RunState, Seen};
use lakebed_types::Result;

use crate::table_rows::Columns;

/// Runs that the tables show.
const RUNS: usize = 1_000;
/// Runs whose reports are shown line by line.
const REPORTED_RUNS: usize = 20;

pub(super) async fn crawlers(seen: Seen<'_>) -> Result<RecordBatch> {
    let crawlers: Vec<Crawler> = seen.crawlers().await?;
    let all = || crawlers.iter();
    Columns::default()
        .text("name", all().map(|c| c.name.clone()))
        .text("location", all().map(|c| c.location.to_string()))
        .text("database", all().map(|c| c.database.to_string()))
        .time("created", all().map(|c| c.created))
        .finish()
}

pub(super) async fn runs(seen: Seen<'_>) -> Result<RecordBatch> {
    let runs = seen.runs(RUNS).await?;
    let all = || runs.iter();
    Columns::default()
        .text("id", all().map(|r| r.id.clone()))
        .text("crawler", all().map(|r| r.crawler.clone()))
        .text("location", all().map(|r| r.location.to_string()))
        .text("database", all().map(|r| r.database.to_string()))
        .text("state", all().map(|r| state_name(r.state).to_owned()))
        .time("started", all().map(|r| r.started))
        .time("ended", all().map(|r| r.ended))
        .flag("dry_run", all().map(|r| r.dry_run))
        .count("listed", all().map(|r| r.listed))
        .count("inspected", all().map(|r| r.inspected))
        .count("reused", all().map(|r| r.reused))
        .text("error", all().map(|r| r.error.clone()))
        .finish()
}

pub(super) async fn report(seen: Seen<'_>) -> Result<RecordBatch> {
    let mut runs = Vec::new();
    for run in seen.runs(REPORTED_RUNS).await? {
        runs.push(seen.catalog().run(&run.id).await?);
    }
    let all = || runs.iter().flat_map(|run| run.entries.iter().map(move |entry| (run, entry)));
    Columns::default()
        .text("run_id", all().map(|(run, _)| run.id.clone()))
        .text("crawler", all().map(|(run, _)| run.crawler.clone()))
        .time("started", all().map(|(run, _)| run.started))
        .text("path", all().map(|(_, entry)| entry.path.clone()))
        .text("outcome", all().map(|(_, entry)| outcome_name(entry.outcome).to_owned()))
        .text("table", all().map(|(_, entry)| entry.table.clone()))
        .text("reason", all().map(|(_, entry)| entry.reason.clone()))
        .count("files", all().map(|(_, entry)| entry.files))
        .count("bytes", all().map(|(_, entry)| entry.bytes))
        .text("change", all().map(|(_, entry)| change_name(entry.change).to_owned()))
        .finish()
}

fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Running => "RUNNING",
        RunState::Succeeded => "SUCCEEDED",
        RunState::Failed => "FAILED",
        RunState::Interrupted => "INTERRUPTED",
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Table => "table",
        Outcome::Skipped => "skipped",
        Outcome::Conflict => "conflict",
    }
}

fn change_name(change: Change) -> &'static str {
    match change {
        Change::New => "new",
        Change::Changed => "changed",
        Change::Unchanged => "unchanged",
        Change::Gone => "gone",
    }
}
