//! Rows in: read, decoded, harmonized, logged, visible, acknowledged.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, Result, StatementKind, TableName};

use crate::{
    body::{Ack, AppendOptions, OnError, RowsBody, RowsFormat},
    compute::{self, Body},
    create,
    decode::{self, inflate},
    flush,
    harmonize::{self, Plan},
    inner::{Declared, Inner},
    keys::{Claim, ClaimedKey},
    load,
    log::KeptKey,
    prepare::{self, Prepared},
    pressure::{self, Held},
    receipt::{MAX_LISTED_ERRORS, Receipt, RowError},
    rules::TableRules,
    table::IngestTable,
};

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
    let Body { bytes, digest } =
        compute::inflated(inner, sent, compression, &held, options.idempotency_key.is_some()).await?;
    let (declared, created_now) = match declared {
        Some(declared) => (declared, false),
        None => match created(inner, who, name, format, &bytes, &options, &held).await? {
            Created::Table { declared, is_new } => (declared, is_new),
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
    let prepared = compute::prepared(inner, format, bytes, plan, &held).await?;
    let receipt = take(inner, declared.table, prepared, claimed, format, &options).await;
    drop(held);
    receipt.map(|receipt| Receipt { created: created_now, ..receipt })
}

/// The table; None where it is missing, and is to be made.
fn found(declared: Result<Declared>, options: &AppendOptions) -> Result<Option<Declared>> {
    match declared {
        Err(error) if error.kind() == ErrorKind::TableNotFound && options.create => Ok(None),
        declared => declared.map(Some),
    }
}

/// What became of a table that was to be made of its first rows.
enum Created {
    /// It is there: made by this request, or by somebody else while its rows came in.
    Table { declared: Declared, is_new: bool },
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
    if let Some(declared) = found(inner.declared(who, name).await, options)? {
        return Ok(Created::Table { declared, is_new: false });
    }
    create::may_create(who, name)?;
    let (body, max_rows) = (bytes.clone(), inner.settings.body_rows);
    let (schema, prepared) = compute::run(inner, held, move |_| {
        let schema = Arc::new(decode::infer(format, &body)?);
        let plan = Plan::new(harmonize::table_schema(&schema)?, &TableRules::default(), max_rows)?;
        Ok((schema, prepare::prepare(format, &body, &plan)?))
    })
    .await?;
    let receipt = receipt_for(&prepared, options);
    if receipt.accepted == 0 && receipt.rejected > 0 && options.on_error == OnError::RejectBatch {
        return Ok(Created::Refused(receipt));
    }
    // Its rules are not touched where somebody else was first.
    let is_new = create::of_rows(inner, name, &schema).await?;
    Ok(Created::Table { declared: inner.declared(who, name).await?, is_new })
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
    let loads = load::loads(inner, &table, prepared, receipt.accepted, format, options.on_error).await?;
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
    let logging = tokio::spawn(load::log(inner.clone(), loads, key, claimed, options.ack));
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

fn row_error(bad: &decode::BadRow) -> RowError {
    RowError { row: bad.row, field: bad.field.clone(), reason: bad.reason.clone() }
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
