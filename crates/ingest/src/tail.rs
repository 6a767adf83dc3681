//! New rows as they come.

use std::{collections::VecDeque, sync::Arc};

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use lakebed_tables::{Newest, TableBuffer};
use lakebed_types::{Error, ErrorKind, Result, TableName};
use tokio::sync::watch;

use crate::receipt::{Tail, TailEvent};

/// Rows that are taken from the buffer at once, and the most of one event.
const STEP_ROWS: usize = 4096;

struct State {
    name: TableName,
    buffer: Arc<TableBuffer>,
    newest: watch::Receiver<Newest>,
    at: u64,
    ready: VecDeque<TailEvent>,
    ended: bool,
}

/// The rows after a position, or from now on.
///
/// # Errors
/// `expired` where rows after the position are no longer in memory.
pub(crate) fn tail(name: TableName, buffer: Arc<TableBuffer>, from: Option<u64>) -> Result<Tail> {
    let newest = buffer.subscribe();
    let at = from.unwrap_or_else(|| buffer.last_lsn());
    if buffer.read_from(at, 0).is_none() {
        return Err(gone(&name, at));
    }
    let state = State { name, buffer, newest, at, ready: VecDeque::new(), ended: false };
    Ok(stream::unfold(state, next).boxed())
}

async fn next(mut state: State) -> Option<(Result<TailEvent>, State)> {
    loop {
        if let Some(event) = state.ready.pop_front() {
            if event.is_last {
                state.at = event.lsn;
            }
            return Some((Ok(event), state));
        }
        if state.ended {
            return None;
        }
        let closed = state.newest.borrow_and_update().closed;
        let Some(parts) = state.buffer.read_from(state.at, STEP_ROWS) else {
            state.ended = true;
            return Some((Err(gone(&state.name, state.at)), state));
        };
        state.ready.extend(parts.iter().flat_map(|(lsn, rows)| pieces(*lsn, rows)));
        if state.ready.is_empty() && (closed || state.newest.changed().await.is_err()) {
            return None;
        }
    }
}

/// The rows of one request, as events that are not too large.
fn pieces(lsn: u64, rows: &RecordBatch) -> impl Iterator<Item = TailEvent> {
    let all = rows.num_rows();
    (0..all).step_by(STEP_ROWS).map(move |start| {
        let count = STEP_ROWS.min(all - start);
        TailEvent { lsn, rows: rows.slice(start, count), is_last: start + count == all }
    })
}

fn gone(name: &TableName, at: u64) -> Error {
    Error::new(ErrorKind::Expired, format!("rows of `{name}` after position {at} are no longer in memory"))
        .with_hint("Read the table, and begin the tail anew without a position.")
}
