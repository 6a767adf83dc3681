//! From a prepared statement to its turn: the limits that can be checked before it waits, and the wait itself.

use std::sync::Arc;

use lakebed_access::{AdmitOptions, Admitted, Limit, Limits, Principal, breach};
use lakebed_types::{Error, ErrorKind, Estimate, QueryId, QueryState, Result, format_bytes};

use crate::{cancel::Cancel, estimate, prepared::PreparedQuery, service::Engine};

/// Checks a statement that someone waits for and waits for its turn, in the history as queued meanwhile.
pub(crate) async fn admit(
    engine: &Arc<Engine>,
    who: &Principal,
    prepared: &PreparedQuery,
    options: &AdmitOptions,
) -> Result<Admitted> {
    let cancel = Cancel::default();
    let mut record = prepared.record(who);
    record.state = QueryState::Queued;
    engine.history.add(record, None, cancel.clone());
    let mut waiting = Waiting { engine, id: prepared.id, outcome: None };
    let admitted = turn(engine, who, prepared, options, &cancel).await;
    waiting.outcome = Some(admitted.as_ref().err().map(crate::error::copy));
    admitted
}

/// Checks a statement that is in the history already and waits for its turn.
pub(crate) async fn turn(
    engine: &Arc<Engine>,
    who: &Principal,
    prepared: &PreparedQuery,
    options: &AdmitOptions,
    cancel: &Cancel,
) -> Result<Admitted> {
    check(engine, who.workgroup(), &engine.access.limits_of(who), prepared)?;
    let ticket = engine.access.ticket();
    engine.history.wait(prepared.id, ticket);
    let options = AdmitOptions { ticket: Some(ticket), ..options.clone() };
    tokio::select! {
        biased;
        error = cancel.cancelled() => Err(error),
        admitted = engine.access.admit(who, &options) => admitted,
    }
}

/// Ends the record of a query that was refused, or whose client did not wait for its turn.
struct Waiting<'a> {
    engine: &'a Engine,
    id: QueryId,
    /// None while it waits, then why it was refused.
    outcome: Option<Option<Error>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let left = || Some(Error::new(ErrorKind::Cancelled, "the client left before the query's turn"));
        if let Some(error) = self.outcome.take().unwrap_or_else(left) {
            self.engine.history.end(self.id, self.engine.clock.now(), None, Err(&error));
        }
    }
}

/// Checks what the catalog says about bytes to scan against the workgroup's limits.
pub(crate) fn check(engine: &Engine, workgroup: &str, limits: &Limits, prepared: &PreparedQuery) -> Result<()> {
    let has_budget = limits.scan_bytes_per_day.is_some() || limits.scan_bytes_per_month.is_some();
    let Some(rows) = prepared.work.rows() else { return Ok(()) };
    // The usual case costs no look at the statistics of files.
    if !has_budget {
        let Some(limit) = limits.scan_bytes else { return Ok(()) };
        if estimate::at_most(&rows.plan, &prepared.tables)? <= limit {
            return Ok(());
        }
    }
    let bytes = estimate_of(engine, prepared)?.bytes;
    if let Some(limit) = limits.scan_bytes.filter(|limit| bytes > *limit) {
        let what = format!("the query would scan {}", format_bytes(bytes));
        let error = breach(workgroup, Limit::ScanBytes, format_bytes(limit), ErrorKind::ScanTooLarge, what);
        return Err(error.with_hint("Select fewer columns, or filter by a partition."));
    }
    match bytes {
        0 => Ok(()),
        bytes => engine.access.workgroups().check_budget(workgroup, limits, bytes),
    }
}

/// What a statement would read, by the catalog.
pub(crate) fn estimate_of(engine: &Engine, prepared: &PreparedQuery) -> Result<Estimate> {
    match prepared.work.rows() {
        Some(rows) => estimate::estimate(&rows.plan, &prepared.tables, engine.price.per_tib_usd()),
        None => Ok(Estimate::default()),
    }
}
