//! Blocks on their way from the store: one request for all who want them.
//!
//! A flight is a future that all its readers share, and each of them drives. It ends with the last of them: a reader
//! that goes away takes nothing from the others, and a fetch that nobody waits for is not carried on.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{
    FutureExt, TryStreamExt,
    future::{BoxFuture, Shared, WeakShared},
};
use object_store::{Error, ObjectStore, Result};
use parking_lot::Mutex;

use super::blocks::{BLOCK_BYTES, BlockCache, BlockKey, ObjectKey};
use crate::ObjectVersion;

/// The longest request of the cache, in blocks: 8 MiB.
const RUN_BLOCKS: usize = 32;

/// What a flight brings: its blocks in order, or why it failed.
pub(super) type Landed = Result<Arc<Vec<Brought>>, Arc<Error>>;
type Flight = Shared<BoxFuture<'static, Landed>>;

/// A block that a flight brings.
#[derive(Debug, Clone)]
pub(super) struct Brought {
    pub(super) bytes: Bytes,
    /// By a request of this flight; else it was in the cache when the flight began.
    pub(super) fetched: bool,
}

/// A flight that a reader waits for.
pub(super) struct Awaited {
    /// The block that it begins with.
    pub(super) first: u64,
    /// Whether another reader began it.
    pub(super) joined: bool,
    pub(super) flight: Flight,
}

/// All flights under way.
#[derive(Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<BlockKey, UnderWay>>,
    next: AtomicU64,
}

struct UnderWay {
    number: u64,
    first: u64,
    flight: WeakShared<BoxFuture<'static, Landed>>,
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flights({} blocks)", self.under_way.lock().len())
    }
}

/// What a reader fetches, and with whose counters.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) cache: BlockCache,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) object: Arc<ObjectKey>,
    pub(super) version: ObjectVersion,
}

impl Flights {
    /// The flights that bring these blocks (ascending): those under way already, and new ones for the rest.
    pub(super) fn board(self: &Arc<Self>, origin: &Origin, blocks: &[u64]) -> Vec<Awaited> {
        // Older than the lock, and so dropped after it: the last holder of a flight takes the lock when it lets go.
        let mut awaited: Vec<Awaited> = Vec::new();
        let mut under_way = self.under_way.lock();
        let mut free = Vec::new();
        for &block in blocks {
            let key = BlockKey { object: origin.object.clone(), block };
            let found = under_way.get(&key).and_then(|there| Some((there.first, there.flight.upgrade()?)));
            match found {
                Some((first, flight)) => awaited.push(Awaited { first, joined: true, flight }),
                None => free.push(block),
            }
        }
        // A flight of several blocks was found once for each.
        awaited.dedup_by(|next, kept| next.flight.ptr_eq(&kept.flight));
        for run in runs(&free) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let landing = Landing { flights: self.clone(), number, object: origin.object.clone(), run: run.clone() };
            let flight = fly(origin.clone(), landing).boxed().shared();
            for block in run.clone() {
                let Some(weak) = flight.downgrade() else { continue };
                let key = BlockKey { object: origin.object.clone(), block };
                under_way.insert(key, UnderWay { number, first: run.start, flight: weak });
            }
            awaited.push(Awaited { first: run.start, joined: false, flight });
        }
        awaited
    }
}

/// Takes a flight off the list when it ends, whether it landed or nobody waits for it any more.
struct Landing {
    flights: Arc<Flights>,
    number: u64,
    object: Arc<ObjectKey>,
    run: Range<u64>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock();
        for block in self.run.clone() {
            let key = BlockKey { object: self.object.clone(), block };
            if under_way.get(&key).is_some_and(|there| there.number == self.number) {
                under_way.remove(&key);
            }
        }
    }
}

/// Neighbours together, as many as one request may bring.
fn runs(blocks: &[u64]) -> Vec<Range<u64>> {
    let neighbours = blocks.chunk_by(|block, next| block + 1 == *next);
    let bounded = neighbours.flat_map(|run| run.chunks(RUN_BLOCKS));
    bounded.filter_map(|run| Some(*run.first()?..*run.last()? + 1)).collect()
}

async fn fly(origin: Origin, landing: Landing) -> Landed {
    match origin.bring(landing.run.clone()).await {
        Ok(brought) => Ok(Arc::new(brought)),
        Err(error) => Err(Arc::new(error)),
    }
}

impl Origin {
    async fn bring(&self, run: Range<u64>) -> Result<Vec<Brought>> {
        // Another flight may have landed between the reader's look into the cache and the start of this one.
        let present = self.cache.look_again(&self.object, run.clone()).await;
        let missing = run.clone().zip(&present).filter(|(_, bytes)| bytes.is_none()).map(|(block, _)| block);
        let missing = runs(&missing.collect::<Vec<_>>());
        let mut brought: Vec<_> =
            present.into_iter().map(|bytes| Brought { bytes: bytes.unwrap_or_default(), fetched: false }).collect();
        for missing in missing {
            let blocks = self.request(missing.clone()).await?;
            self.cache.keep(&self.object, missing.start, &blocks).await;
            let places = brought.iter_mut().skip((missing.start - run.start) as usize);
            places.zip(blocks).for_each(|(place, bytes)| *place = Brought { bytes, fetched: true });
        }
        Ok(brought)
    }

    /// One request for neighbouring blocks. Fails unless the answer is of the version that is wanted, and whole.
    async fn request(&self, run: Range<u64>) -> Result<Vec<Bytes>> {
        let range = run.start * BLOCK_BYTES..(run.end * BLOCK_BYTES).min(self.version.meta().size);
        let answer = self.store.get_opts(&self.object.path, self.version.range(range.clone())).await?;
        if !self.version.is(&answer.meta) {
            let (path, source) = (self.object.path.to_string(), "it was changed since it was listed".into());
            return Err(Error::Precondition { path, source });
        }
        let mut body = answer.into_stream();
        let mut cutter = Cutter::new(range.end - range.start);
        while let Some(bytes) = body.try_next().await? {
            cutter.push(&bytes);
        }
        cutter.finish().ok_or_else(|| Error::Generic {
            store: "cache",
            source: format!(
                "the answer for bytes {}..{} of {} has another length",
                range.start, range.end, self.object.path
            )
            .into(),
        })
    }
}

/// Cuts an answer into blocks, each with memory of its own: one that stays must not hold on to its neighbours.
struct Cutter {
    blocks: Vec<Bytes>,
    current: Vec<u8>,
    /// Bytes still to come.
    left: u64,
    too_long: bool,
}

impl Cutter {
    fn new(length: u64) -> Self {
        let mut cutter = Self { blocks: Vec::new(), current: Vec::new(), left: length, too_long: false };
        cutter.begin();
        cutter
    }

    fn begin(&mut self) {
        self.current = Vec::with_capacity(self.left.min(BLOCK_BYTES) as usize);
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.left > 0 {
            let room = (BLOCK_BYTES - self.current.len() as u64).min(self.left) as usize;
            let (taken, rest) = bytes.split_at(room.min(bytes.len()));
            self.current.extend_from_slice(taken);
            self.left -= taken.len() as u64;
            bytes = rest;
            if self.left == 0 || self.current.len() as u64 == BLOCK_BYTES {
                self.blocks.push(std::mem::take(&mut self.current).into());
                self.begin();
            }
        }
        self.too_long |= !bytes.is_empty();
    }

    /// The blocks, if they are all of them and nothing more.
    fn finish(self) -> Option<Vec<Bytes>> {
        (self.left == 0 && !self.too_long).then_some(self.blocks)
    }
}
