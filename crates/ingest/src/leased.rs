//! Work on a table that one of several nodes does while the others leave it alone. For efficiency only: a commit is right
//! whoever makes it.

use std::time::Duration;

use lakebed_tables::{Held, Leased};
use lakebed_types::Result;

use crate::{inner::Inner, table::IngestTable};

/// How long the others wait for a node that is gone; one that works prolongs its lease.
const LASTS: Duration = Duration::from_secs(60);

/// What became of the work.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    Done(T),
    /// Another node is at it.
    Elsewhere(Held),
}

/// Does the work unless another node is at it.
pub(crate) async fn alone<T>(
    inner: &Inner,
    table: &IngestTable,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<Turn<T>> {
    match table.delta.lease(what, &inner.app_id, LASTS).await? {
        Leased::Ours(lease) => lease.during(work).await.map(Turn::Done),
        Leased::Theirs(held) => Ok(Turn::Elsewhere(held)),
    }
}

/// Does what is to be done once in a while by one of the nodes: whoever is first keeps the others from it until then.
pub(crate) async fn once_every<T>(
    inner: &Inner,
    table: &IngestTable,
    what: &str,
    interval: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<Turn<T>> {
    match table.delta.lease(what, &inner.app_id, interval).await? {
        Leased::Ours(_) => work.await.map(Turn::Done),
        Leased::Theirs(held) => Ok(Turn::Elsewhere(held)),
    }
}
