//! Rows on their way to the log and, once they are there, to the buffers.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{FieldRef, SchemaRef},
};
use lakebed_types::{Error, ErrorKind, Result};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    body::{Ack, OnError, RowsFormat},
    create,
    faults::Window,
    inner::Inner,
    keys::ClaimedKey,
    log::{Entry, KeptKey, Part, Record, Rows},
    prepare::{Prepared, conform},
    rejects,
    size::{SMALL_BYTES, bytes_of},
    table::IngestTable,
};

/// Rows of one table on their way to log and buffer.
pub(crate) struct Load {
    pub(crate) table: Arc<IngestTable>,
    batch: RecordBatch,
    bytes: u64,
}

impl Load {
    fn new(table: Arc<IngestTable>, batch: RecordBatch) -> Self {
        let bytes = bytes_of(&batch);
        Self { table, batch, bytes }
    }
}

/// What goes to which table.
pub(crate) async fn loads(
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

/// The table's columns, after it got those that the rows bring.
async fn grown(inner: &Inner, table: &IngestTable, added: Vec<FieldRef>) -> Result<SchemaRef> {
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
pub(crate) async fn log(
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
