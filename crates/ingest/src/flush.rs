//! Rows in memory → files of the table: written once, named in the log, committed until it is known that they are in.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lakebed_tables::{DeltaState, Txn};
use lakebed_types::{Error, ErrorKind, Result, TableName};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    faults::Window,
    inner::Inner,
    log::{Entry, Intent, Record},
    receipt::FlushReceipt,
    table::IngestTable,
};

/// After the store was away there may be far more rows than a flush usually has; the files of one are encoded in memory.
const FLUSHES_AT_ONCE: u64 = 2;

/// Flushes everything that was acknowledged before.
pub(crate) async fn flush(inner: &Arc<Inner>, table: &Arc<IngestTable>) -> Result<FlushReceipt> {
    flush_upto(inner, table, table.buffer.last_lsn()).await
}

/// Flushes at least the rows up to this position. The work goes on where the caller goes away.
pub(crate) async fn flush_upto(inner: &Arc<Inner>, table: &Arc<IngestTable>, lsn: u64) -> Result<FlushReceipt> {
    let (inner, table) = (inner.clone(), table.clone());
    // Acknowledged rows are in the buffer; a position beyond it is one of another table's rows.
    let lsn = lsn.min(table.buffer.last_lsn());
    let flushing = tokio::spawn(async move {
        let mut pending = table.flushing.lock().await;
        let mut receipt = FlushReceipt { version: table.delta.state().version(), rows: 0 };
        while table.flushed_lsn() < lsn || pending.is_some() {
            let started = inner.clock.instant();
            let outcome = one_flush(&inner, &table, &mut pending).await;
            count(&outcome, inner.clock.instant().saturating_duration_since(started));
            table.note(&outcome);
            let Some(done) = outcome? else { break };
            receipt = FlushReceipt { version: done.version, rows: receipt.rows + done.rows };
        }
        Ok(receipt)
    });
    flushing.await.map_err(|error| Error::internal("a flush was given up").with_source(error))?
}

fn count<T>(outcome: &Result<T>, took: Duration) {
    let state = if outcome.is_ok() { "done" } else { "failed" };
    metrics::counter!("lakebed_ingest_flushes_total", "state" => state).increment(1);
    metrics::histogram!("lakebed_ingest_flush_seconds").record(took.as_secs_f64());
}

/// One commit: of the files whose fate is not known, or of new ones with all rows in memory. None where there is neither.
async fn one_flush(
    inner: &Arc<Inner>,
    table: &Arc<IngestTable>,
    pending: &mut Option<Intent>,
) -> Result<Option<FlushReceipt>> {
    if pending.as_ref().is_some_and(|intent| is_stale(inner, intent)) {
        // If they have landed after all, the commit of the new ones fails and says so.
        *pending = None;
    }
    if pending.is_none() {
        *pending = written(inner, table).await?;
    }
    let Some(intent) = pending.clone() else { return Ok(None) };
    let state = match commit(inner, table, &intent).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            return overtaken(inner, table, pending, error).await.map(Some);
        }
        state => state?,
    };
    inner.settings.faults.at(Window::Committed)?;
    *pending = None;
    settled(inner, table, intent.upto).await;
    table.counts.flushes.fetch_add(1, Ordering::Relaxed);
    Ok(Some(FlushReceipt { version: state.version(), rows: intent.rows }))
}

/// Whether another node may have taken the files for forgotten ones.
fn is_stale(inner: &Inner, intent: &Intent) -> bool {
    let now = inner.clock.now().timestamp_millis();
    let most = i64::try_from(inner.settings.vacuum_after.as_millis() / 2).unwrap_or(i64::MAX);
    intent.adds.iter().any(|add| now.saturating_sub(add.modification_time) > most)
}

/// A commit of an earlier life has landed late. Its rows are in; the files of this flush hold some of them, too, and are
/// given up.
async fn overtaken(
    inner: &Inner,
    table: &IngestTable,
    pending: &mut Option<Intent>,
    error: Error,
) -> Result<FlushReceipt> {
    let state = table.delta.refresh().await?;
    let landed = state.transaction(&inner.app_id).and_then(|lsn| u64::try_from(lsn).ok()).unwrap_or(0);
    if landed <= table.flushed_lsn() {
        return Err(error);
    }
    *pending = None;
    settled(inner, table, landed).await;
    Ok(FlushReceipt { version: state.version(), rows: 0 })
}

/// Writes files with rows that are in memory, the oldest first, and says so in the log before anything is committed: a restart commits the
/// same files, and all rows in them are on stable storage first. None where there is no such row.
async fn written(inner: &Arc<Inner>, table: &Arc<IngestTable>) -> Result<Option<Intent>> {
    let upto = table.buffer.lsn_within(inner.settings.flush_bytes.saturating_mul(FLUSHES_AT_ONCE));
    let batches = table.buffer.frozen(upto);
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows == 0 {
        return Ok(None);
    }
    let after = table.flushed_lsn();
    inner.probe(table.delta.location()).await?;
    let adds = table.delta.write_data_files(batches, &Uuid::new_v4().to_string()).await?;
    inner.settings.faults.at(Window::FilesWritten)?;
    let intent = Intent { table: table.name.clone(), table_id: table.id.clone(), after, upto, rows, adds };
    if inner.log.get().is_some() {
        match log_intent(inner, &intent).await {
            // What is committed makes room. Without the note a restart would write files of its own, and leave out what
            // had got in by these: all that is lost is the work.
            Err(error) if error.kind() == ErrorKind::IngestBusy => {
                tracing::warn!(table = %table.name, "the log's disk is full: files are committed without a note of them");
            }
            noted => noted?,
        }
    }
    inner.settings.faults.at(Window::IntentWritten)?;
    Ok(Some(intent))
}

/// Returns when everything that is in the log by now is on stable storage.
pub(crate) async fn synced(inner: &Inner) -> Result<()> {
    put(inner, Record::Keys(Vec::new()), Vec::new()).await
}

async fn log_intent(inner: &Inner, intent: &Intent) -> Result<()> {
    put(inner, Record::Intent(intent.clone()), vec![(intent.table.clone(), Some(intent.upto))]).await
}

/// Puts a record in the log, and waits until it is on stable storage.
async fn put(inner: &Inner, record: Record, tables: Vec<(TableName, Option<u64>)>) -> Result<()> {
    let (sender, receiver) = oneshot::channel();
    let entry = Entry {
        record: record.encode()?,
        tables,
        sync: true,
        deliver: Box::new(move |outcome| drop(sender.send(outcome))),
    };
    let Some(log) = inner.log.get() else { return Ok(()) };
    log.append(entry).await?;
    let outcome = receiver.await.map_err(|_| Error::new(ErrorKind::Unavailable, "the write-ahead log has ended"))?;
    outcome.map(drop)
}

/// Commits files with how far the log is in them.
async fn commit(inner: &Inner, table: &IngestTable, intent: &Intent) -> Result<Arc<DeltaState>> {
    let version =
        i64::try_from(intent.upto).map_err(|error| Error::internal("no more positions").with_source(error))?;
    let after = i64::try_from(intent.after).ok().filter(|after| *after > 0);
    let txn = Txn { app_id: inner.app_id.clone(), version };
    let deadline = inner.clock.instant() + inner.settings.commit_deadline;
    table.delta.append(txn, after, intent.adds.clone(), deadline).await
}

/// Rows up to this position are in files: memory and log may forget them.
async fn settled(inner: &Inner, table: &IngestTable, upto: u64) {
    table.buffer.flushed(upto, inner.clock.instant());
    inner.sweep(table);
    table.flushed.fetch_max(upto, Ordering::AcqRel);
    if let Some(log) = inner.log.get() {
        log.flushed(&table.name, upto).await;
    }
}

impl Inner {
    /// Forgets rows that are in files: after a while, and at once where memory is short. A reader who has no use for the
    /// rest takes a newer version.
    pub(crate) fn sweep(&self, table: &IngestTable) {
        let is_short = self.buffers.held_bytes() > self.settings.buffer_bytes / 2;
        let most = if is_short { table.buffer.bytes() } else { u64::MAX };
        table.buffer.sweep_to(self.clock.instant(), most);
    }

    /// Flushes in the background what has grown too large.
    pub(crate) fn flush_if_large(self: &Arc<Self>, table: &Arc<IngestTable>) {
        if table.buffer.bytes() >= self.settings.flush_bytes {
            self.flush_in_background(table);
        }
    }

    /// Flushes in the background, because memory or log are full.
    pub(crate) fn flush_soon(self: &Arc<Self>) {
        // A table that cannot be flushed must not keep the others from it.
        let (well, failed): (Vec<_>, Vec<_>) =
            self.tables.all().into_iter().partition(|table| table.last_error.lock().is_none());
        for tables in [well, failed] {
            if let Some(table) = tables.into_iter().max_by_key(|table| table.buffer.bytes()) {
                self.flush_in_background(&table);
            }
        }
    }

    /// Begins a flush unless one has been asked for that has not begun.
    pub(crate) fn flush_in_background(self: &Arc<Self>, table: &Arc<IngestTable>) {
        if table.flush_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let (inner, table) = (self.clone(), table.clone());
        tokio::spawn(async move {
            let outcome = flush(&inner, &table).await;
            table.flush_asked.store(false, Ordering::Release);
            if let Err(error) = outcome {
                tracing::warn!(table = %table.name, ?error, "a flush failed and will be tried again");
            }
        });
    }
}
