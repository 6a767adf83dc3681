//! `system.queries`: the history. `system.running`: what of it waits and runs.

use arrow::array::RecordBatch;
use lakebed_access::Principal;
use lakebed_types::{ErrorKind, QueryState, Result};

use crate::{history::QueryRecord, service::Engine, table_rows::Columns};

pub(super) fn queries(engine: &Engine, who: &Principal) -> Result<RecordBatch> {
    let records = engine.history.list(who, usize::MAX, None);
    let all = || records.iter();
    let count = |of: fn(&QueryRecord) -> u64| records.iter().map(of);
    Columns::default()
        .text("id", all().map(|r| r.id.to_string()))
        .text("principal", all().map(|r| r.principal.clone()))
        .text("workgroup", all().map(|r| r.workgroup.clone()))
        .text("source", all().map(|r| r.source.to_string()))
        .text("database", all().map(|r| r.database.to_string()))
        .text("state", all().map(|r| state_name(r.state).to_owned()))
        .text("kind", all().map(|r| r.kind.map(word)))
        .text("class", all().map(|r| r.kind.map(|kind| word(kind.class()))))
        .text("sql", all().map(|r| r.sql.clone()))
        .time("submitted", all().map(|r| r.submitted))
        .time("ended", all().map(|r| r.ended))
        .number("queue_ms", all().map(|r| r.statistics.queue_ms))
        .number("planning_ms", all().map(|r| r.statistics.planning_ms))
        .number("execution_ms", all().map(|r| r.statistics.execution_ms))
        .count("bytes_scanned", count(|r| r.statistics.bytes_scanned))
        .count("bytes_fetched", count(|r| r.statistics.bytes_fetched))
        .count("bytes_cached", count(|r| r.statistics.bytes_cached))
        .count("store_requests", count(|r| r.statistics.store_requests))
        .count("rows_scanned", count(|r| r.statistics.rows_scanned))
        .count("rows_returned", count(|r| r.statistics.rows_returned))
        .count("files_scanned", count(|r| r.statistics.files_scanned))
        .count("files_pruned", count(|r| r.statistics.files_pruned))
        .count("row_groups_scanned", count(|r| r.statistics.row_groups_scanned))
        .count("row_groups_pruned", count(|r| r.statistics.row_groups_pruned))
        .count("spilled_bytes", count(|r| r.statistics.spilled_bytes))
        .count("peak_memory_bytes", count(|r| r.statistics.peak_memory_bytes))
        .text("result_cache", all().map(|r| r.statistics.result_cache.name().to_owned()))
        .number("price_usd", all().map(|r| r.statistics.price_usd))
        .text("error_code", all().map(|r| r.error.as_ref().map(|(kind, _)| ErrorKind::code(*kind).to_owned())))
        .text("error", all().map(|r| r.error.as_ref().map(|(_, message)| message.clone())))
        .finish()
}

/// The statement that asks is not among them: it is being prepared.
pub(super) fn running(engine: &Engine, who: &Principal) -> Result<RecordBatch> {
    let records = engine.history.under_way(who);
    let all = || records.iter();
    let count = |of: fn(&QueryRecord) -> u64| records.iter().map(of);
    Columns::default()
        .text("id", all().map(|r| r.id.to_string()))
        .text("workgroup", all().map(|r| r.workgroup.clone()))
        .text("principal", all().map(|r| r.principal.clone()))
        .text("source", all().map(|r| r.source.to_string()))
        .text("state", all().map(|r| state_name(r.state).to_owned()))
        .count("queue_position", all().map(|r| r.queue_position.map(|position| position as u64)))
        .time("submitted", all().map(|r| r.submitted))
        .number("queue_ms", all().map(|r| r.statistics.queue_ms))
        .number("execution_ms", all().map(|r| r.statistics.execution_ms))
        .count("bytes_scanned", count(|r| r.statistics.bytes_scanned))
        .count("rows_returned", count(|r| r.statistics.rows_returned))
        .count("spilled_bytes", count(|r| r.statistics.spilled_bytes))
        .count("peak_memory_bytes", count(|r| r.statistics.peak_memory_bytes))
        .text("sql", all().map(|r| r.sql.clone()))
        .finish()
}

fn state_name(state: QueryState) -> &'static str {
    match state {
        QueryState::Queued => "QUEUED",
        QueryState::Running => "RUNNING",
        QueryState::Succeeded => "SUCCEEDED",
        QueryState::Failed => "FAILED",
        QueryState::Cancelled => "CANCELLED",
    }
}

/// The word that APIs use for a kind or class.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
