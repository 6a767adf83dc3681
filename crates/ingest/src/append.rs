//! Rows in: read, decoded, harmonized, logged, visible, acknowledged.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, Result, StatementKind, TableName};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    body::{Ack, AppendOptions, Compression, OnError, RowsBody, RowsFormat},
    create,
    decode::{self, inflate},
    faults::Window,
    flush,
    harmonize::{self, Plan},
    inner::{Declared, Inner},
    keys::{self, Claim, ClaimedKey},
    log::{Entry, KeptKey, Part, Record, Rows},
    prepare::{self, Prepared, conform},
    pressure::{self, Held},
    receipt::{MAX_LISTED_ERRORS, Receipt, RowError},
    rejects,
    rules::TableRules,
    size::bytes_of,
    table::IngestTable,
};

/// Work on fewer bytes takes less than handing it to another thread.
const SMALL_BYTES: usize = 100_000;

/// Rows of one table on their way to log and buffer.
struct Load {
    table: Arc<IngestTable>,
    batch: RecordBatch,
    bytes: u64,
}

impl Load {
    fn new(table: Arc<IngestTable>, batch: RecordBatch) -> Self {
        let bytes = bytes_of(&batch);
        Self { table, batch, bytes }
    }
}

/// Appends a body's rows.
pub(crate) async fn append(
    inner: &Arc<Inner>,
    who: &Principal,
    name: &TableName,
    mut body: RowsBody,
    options: AppendOptions,
) -> Result<Receipt> {
    let (format, compression) = (body.format, body.compression);
    who.may_run(StatementKind::Insert)?;
    inner.ready()?;
    pressure::check(inner)?;
    let declared = found(inner.declared(who, name).await, &options)?;
    let held = Arc::new(Held::new(inner.clone()));
    let sent = inflate::read(&mut body, inner.settings.body_bytes, |bytes| held.grow(bytes)).await?;
    metrics::counter!("lakebed_ingest_bytes_total", "format" => format.name()).increment(sent.len() as u64);
    let Body { bytes, digest } = inflated(inner, sent, compression, &held, options.idempotency_key.is_some()).await?;
    let created_now = declared.is_none();
    let declared = match declared {
        Some(declared) => declared,
        None => match created(inner, who, name, format, &bytes, &options, &held).await? {
            Created::Table(declared) => declared,
            Created::Refused(receipt) => return Ok(receipt),
        },
    };
    let (table, now) = (&declared.table, inner.clock.now());
    let claim =
        options.idempotency_key.as_deref().map(|key| inner.keys.claim(&table.id, key, digest, now)).transpose()?;
    let claimed = match claim {
        Some(Claim::Known(kept)) => return repeated(inner, table, &kept, options.ack).await,
        Some(Claim::New(claimed)) => Some(claimed),
        None => None,
    };
    let plan = table.plan(&declared.rules, inner.settings.body_rows)?;
    let prepared = prepared(inner, format, bytes, plan, &held).await?;
    let receipt = take(inner, declared.table, prepared, claimed, format, &options).await;
    drop(held);
    receipt.map(|receipt| Receipt { created: created_now, ..receipt })
}

/// A body as it was before it was compressed.
struct Body {
    bytes: Bytes,
    /// Stands for it where it came with a key; a client that sends it again may compress it in another way.
    digest: String,
}

/// The table; None where it is missing, and is to be made.
fn found(declared: Result<Declared>, options: &AppendOptions) -> Result<Option<Declared>> {
    match declared {
        Err(error) if error.kind() == ErrorKind::TableNotFound && options.create => Ok(None),
        declared => declared.map(Some),
    }
}

async fn inflated(
    inner: &Arc<Inner>,
    sent: Bytes,
    compression: Compression,
    held: &Arc<Held>,
    has_key: bool,
) -> Result<Body> {
    let limit = inner.settings.inflated_bytes;
    let digest = move |bytes: &[u8]| if has_key { keys::digest(bytes) } else { String::new() };
    if compression == Compression::None && sent.len() < SMALL_BYTES {
        let bytes = inflate::inflate(sent, compression, limit, |_| Ok(()))?;
        return Ok(Body { digest: digest(&bytes), bytes });
    }
    let compressed = if compression == Compression::None { 0 } else { sent.len() as u64 };
    compute(inner, held, move |held| {
        let bytes = inflate::inflate(sent, compression, limit, |bytes| held.grow(compressed + bytes))?;
        Ok(Body { digest: digest(&bytes), bytes })
    })
    .await
}

/// What became of a table that was to be made of its first rows.
enum Created {
    Table(Declared),
    /// They are bad, so there is none.
    Refused(Receipt),
}

async fn created(
    inner: &Arc<Inner>,
    who: &Principal,
    name: &TableName,
    format: RowsFormat,
    bytes: &Bytes,
    options: &AppendOptions,
    held: &Arc<Held>,
) -> Result<Created> {
    create::may_create(who, name)?;
    let (body, max_rows) = (bytes.clone(), inner.settings.body_rows);
    let (schema, prepared) = compute(inner, held, move |_| {
        let schema = Arc::new(decode::infer(format, &body)?);
        let plan = Plan::new(harmonize::table_schema(&schema)?, &TableRules::default(), max_rows)?;
        Ok((schema, prepare::prepare(format, &body, &plan)?))
    })
    .await?;
    let receipt = receipt_for(&prepared, options);
    if receipt.accepted == 0 && receipt.rejected > 0 && options.on_error == OnError::RejectBatch {
        return Ok(Created::Refused(receipt));
    }
    match create::create(inner, who, name, Some(schema), TableRules::default(), None, None).await {
        // Somebody else was first.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => inner.declared(who, name).await.map(Created::Table),
    }
}

/// Decodes on a thread for such work, some bodies at once. The turn and the memory are held until the work is done, also
/// where the caller is gone by then.
async fn compute<T: Send + 'static>(
    inner: &Inner,
    held: &Arc<Held>,
    work: impl FnOnce(&Held) -> Result<T> + Send + 'static,
) -> Result<T> {
    let turn = inner.decoding.clone().acquire_owned().await;
    let turn = turn.map_err(|error| Error::internal("no turn").with_source(error))?;
    let held = held.clone();
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&held)
    });
    match working.await {
        Ok(result) => result,
        // The readers of Arrow and Parquet panic at some kinds of damage.
        Err(error) if error.is_panic() => {
            Err(Error::invalid_request("the body is damaged")
                .with_hint("Check that it is complete, and its Content-Type."))
        }
        Err(error) => Err(Error::internal("decoding was given up").with_source(error)),
    }
}

async fn prepared(
    inner: &Arc<Inner>,
    format: RowsFormat,
    bytes: Bytes,
    plan: Arc<Plan>,
    held: &Arc<Held>,
) -> Result<Prepared> {
    compute(inner, held, move |held| {
        let prepared = prepare::prepare(format, &bytes, &plan)?;
        held.grow_by(bytes_of(&prepared.batch))?;
        Ok(prepared)
    })
    .await
}

/// Keeps what is to be kept.
async fn take(
    inner: &Arc<Inner>,
    table: Arc<IngestTable>,
    prepared: Prepared,
    claimed: Option<ClaimedKey>,
    format: RowsFormat,
    options: &AppendOptions,
) -> Result<Receipt> {
    let mut receipt = receipt_for(&prepared, options);
    counted("rejected", &table.counts.rejected, receipt.rejected);
    let loads = loads(inner, &table, prepared, receipt.accepted, format, options.on_error).await?;
    if loads.is_empty() {
        return Ok(receipt);
    }
    let key = claimed.as_ref().map(|claimed| KeptKey {
        key: claimed.key.clone(),
        body: claimed.body.clone(),
        lsn: 0,
        accepted: receipt.accepted,
        rejected: receipt.rejected,
        at: inner.clock.now(),
    });
    let tables: Vec<_> = loads.iter().map(|load| load.table.clone()).collect();
    // A caller who goes away must not leave a key free whose rows are on their way.
    let logging = tokio::spawn(log(inner.clone(), loads, key, claimed, options.ack));
    let lsn = logging.await.map_err(|error| Error::internal("logging was given up").with_source(error))??;
    counted("accepted", &table.counts.accepted, receipt.accepted);
    receipt.lsn = Some(lsn);
    receipt.table_version = acknowledged(inner, &table, &tables, lsn, options.ack).await?;
    Ok(receipt)
}

fn counted(result: &'static str, counter: &AtomicU64, rows: u64) {
    counter.fetch_add(rows, Ordering::Relaxed);
    metrics::counter!("lakebed_ingest_rows_total", "result" => result).increment(rows);
}

/// What the caller gets to know, but for the position.
fn receipt_for(prepared: &Prepared, options: &AppendOptions) -> Receipt {
    let refused = !prepared.bad.is_empty() && options.on_error == OnError::RejectBatch;
    Receipt {
        lsn: None,
        accepted: if refused { 0 } else { prepared.batch.num_rows() as u64 },
        rejected: prepared.bad.len() as u64,
        errors: prepared.bad.iter().take(MAX_LISTED_ERRORS).map(row_error).collect(),
        durable: options.ack.name(),
        table_version: None,
        repeated: false,
        created: false,
    }
}

/// What goes to which table.
async fn loads(
    inner: &Arc<Inner>,
    table: &Arc<IngestTable>,
    prepared: Prepared,
    accepted: u64,
    format: RowsFormat,
    on_error: OnError,
) -> Result<Vec<Load>> {
    let Prepared { batch, bad, added } = prepared;
    let mut loads = Vec::new();
    if accepted > 0 {
        let schema = grown(inner, table, added).await?;
        loads.push(Load::new(table.clone(), conform(&batch, &schema)?));
    }
    if !bad.is_empty() && on_error == OnError::RejectRows {
        let request = Uuid::new_v4().to_string();
        let batch = rejects::batch(&bad, format.name(), &request, inner.clock.now())?;
        let rejects = create::rejects(inner, &table.name).await?;
        let schema = rejects.delta.state().schema().clone();
        loads.push(Load::new(rejects, conform(&batch, &schema)?));
    }
    Ok(loads)
}

fn row_error(bad: &decode::BadRow) -> RowError {
    RowError { row: bad.row, field: bad.field.clone(), reason: bad.reason.clone() }
}

/// The table's columns, after it got those that the rows bring.
async fn grown(inner: &Inner, table: &IngestTable, added: Vec<arrow::datatypes::FieldRef>) -> Result<SchemaRef> {
    if added.is_empty() {
        return Ok(table.delta.state().schema().clone());
    }
    let fields = added.iter().map(|field| field.as_ref().clone()).collect();
    let deadline = inner.clock.instant() + inner.settings.commit_deadline;
    let state = table.delta.add_columns(fields, deadline).await?;
    inner.settings.faults.at(Window::ColumnsAdded)?;
    Ok(state.schema().clone())
}

/// Puts rows in the log and, once they are there, in the buffers.
async fn log(
    inner: Arc<Inner>,
    loads: Vec<Load>,
    key: Option<KeptKey>,
    claimed: Option<ClaimedKey>,
    ack: Ack,
) -> Result<u64> {
    let part = |load: &Load| Part {
        table: load.table.name.clone(),
        table_id: load.table.id.clone(),
        batch: load.batch.clone(),
    };
    let record = Record::Rows(Rows { key: key.clone(), parts: loads.iter().map(part).collect() });
    let bytes: u64 = loads.iter().map(|load| load.bytes).sum();
    let record = match bytes < SMALL_BYTES as u64 {
        true => record.encode()?,
        false => {
            let encoding = tokio::task::spawn_blocking(move || record.encode()).await;
            encoding.map_err(|error| Error::internal("encoding rows was given up").with_source(error))??
        }
    };
    let (sender, receiver) = oneshot::channel();
    let tables = loads.iter().map(|load| (load.table.name.clone(), None)).collect();
    let keys = inner.keys.clone();
    let deliver = move |outcome: Result<u64>| {
        if let Ok(lsn) = &outcome {
            for load in loads {
                load.table.buffer.push(*lsn, load.batch, load.bytes);
            }
            if let Some(key) = key {
                keys.keep(KeptKey { lsn: *lsn, ..key });
            }
        }
        drop(claimed);
        // Nobody waits where the caller is gone.
        drop(sender.send(outcome));
    };
    let entry = Entry { record, tables, sync: ack != Ack::Memory, deliver: Box::new(deliver) };
    inner.ready()?.append(entry).await?;
    let outcome = receiver.await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unavailable, "the write-ahead log ended before it said whether it has the rows")
            .with_hint("Send them again with the same idempotency key."))
    });
    if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::IngestBusy) {
        // Its disk is full: what is in files needs no log.
        inner.flush_soon();
    }
    outcome
}

/// Waits for what the caller wants to be true. The version of `table` that has its rows, where that was it.
async fn acknowledged(
    inner: &Arc<Inner>,
    table: &Arc<IngestTable>,
    tables: &[Arc<IngestTable>],
    lsn: u64,
    ack: Ack,
) -> Result<Option<i64>> {
    if ack != Ack::Lake {
        tables.iter().for_each(|table| inner.flush_if_large(table));
        return Ok(None);
    }
    let mut version = None;
    for each in tables {
        let flushed = flush::flush_upto(inner, each, lsn).await.map_err(|error| {
            error.with_hint(
                "The rows are in this server's log and will be committed. Ask again with the same idempotency key.",
            )
        })?;
        version = version.or(Arc::ptr_eq(each, table).then_some(flushed.version));
    }
    Ok(version)
}

/// The receipt of an earlier request with the same key. What is asked for now may be more than was then.
async fn repeated(inner: &Arc<Inner>, table: &Arc<IngestTable>, kept: &KeptKey, ack: Ack) -> Result<Receipt> {
    let table_version = match ack {
        Ack::Memory => None,
        Ack::Wal => {
            flush::synced(inner).await?;
            None
        }
        Ack::Lake => {
            let mut tables = Vec::new();
            if kept.accepted > 0 {
                tables.push(table.clone());
            }
            if kept.rejected > 0 {
                tables.push(create::rejects(inner, &table.name).await?);
            }
            acknowledged(inner, table, &tables, kept.lsn, ack).await?
        }
    };
    Ok(Receipt {
        lsn: Some(kept.lsn),
        accepted: kept.accepted,
        rejected: kept.rejected,
        errors: Vec::new(),
        durable: ack.name(),
        table_version,
        repeated: true,
        created: false,
    })
}
