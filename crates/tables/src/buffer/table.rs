//! The buffer of one table.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use lakebed_types::Clock;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{
    chunk::Chunk,
    rows::{BufferRows, Piece},
};

/// For how long rows that are in files stay readable here: as long as a query may plan on an older version.
const GRACE: Duration = Duration::from_secs(60);
/// Chunks below both of these are small, and joined with their neighbours.
const SMALL_ROWS: usize = 4096;
const SMALL_BYTES: u64 = 1024 * 1024;
/// How many small ones become one.
const JOINED_CHUNKS: usize = 8;

/// Rows of one table that are accepted and not yet in files.
#[derive(Debug)]
pub struct TableBuffer {
    app_id: String,
    table_id: String,
    schema: SchemaRef,
    clock: Arc<dyn Clock>,
    held: RwLock<Held>,
    newest: watch::Sender<Newest>,
}

/// The position of the last rows, and whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Newest {
    /// The position; 0 before the first.
    pub lsn: u64,
    /// The table is gone: no more rows come.
    pub closed: bool,
}

#[derive(Debug, Default)]
struct Held {
    chunks: VecDeque<Arc<Chunk>>,
    last: u64,
    /// Up to here rows are in files.
    flushed: u64,
    /// Up to here rows are gone from memory.
    dropped: u64,
    /// Positions that were flushed, and when.
    flushes: VecDeque<(u64, Instant)>,
    /// Of rows that are not in files; asked for at each push.
    pending_bytes: u64,
    /// Of all chunks.
    held_bytes: u64,
}

impl TableBuffer {
    pub(super) fn new(app_id: &str, table_id: &str, schema: SchemaRef, clock: Arc<dyn Clock>) -> Self {
        Self {
            app_id: app_id.to_owned(),
            table_id: table_id.to_owned(),
            schema,
            clock,
            held: RwLock::default(),
            newest: watch::Sender::default(),
        }
    }

    /// Under which the rows are committed.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// The Delta table that the rows are for: tells it from another one of the same name.
    pub fn table_id(&self) -> &str {
        &self.table_id
    }

    /// The table's columns when the buffer was made.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds rows: readers see them when this returns. Positions ascend strictly, from 1: all rows of one come together.
    /// Batches have the table's columns, the partition column included; columns added to the table later may be missing.
    /// `bytes`: what the rows are to count as.
    pub fn push(&self, lsn: u64, batch: RecordBatch, bytes: u64) {
        let now = self.clock.instant();
        let mut held = self.held.write();
        debug_assert!(lsn > held.last, "log positions ascend: {lsn} after {}", held.last);
        held.last = held.last.max(lsn);
        if batch.num_rows() > 0 {
            let rows = batch.num_rows();
            held.chunks.push_back(Arc::new(Chunk::new(batch, vec![(lsn, rows)], bytes, now)));
            held.pending_bytes += bytes;
            held.held_bytes += bytes;
            held.join_small();
        }
        drop(held);
        self.newest.send_if_modified(|newest| {
            let is_newer = lsn > newest.lsn;
            newest.lsn = newest.lsn.max(lsn);
            is_newer
        });
    }

    /// The table is gone: those who wait for rows need not.
    pub(super) fn close(&self) {
        self.newest.send_modify(|newest| newest.closed = true);
    }

    /// The position of the last rows; 0 before the first.
    pub fn last_lsn(&self) -> u64 {
        self.held.read().last
    }

    /// Up to where the rows are in files.
    pub fn flushed_lsn(&self) -> u64 {
        self.held.read().flushed
    }

    /// Bytes of rows that are not in files yet.
    pub fn bytes(&self) -> u64 {
        self.held.read().pending_bytes
    }

    /// Rows that are not in files yet.
    pub fn rows(&self) -> u64 {
        self.held.read().pending().map(|chunk| chunk.rows() as u64).sum()
    }

    /// Bytes of all rows that are held.
    pub fn held_bytes(&self) -> u64 {
        self.held.read().held_bytes
    }

    /// When the oldest of the rows that are not in files came.
    pub fn oldest(&self) -> Option<Instant> {
        self.held.read().pending().next().map(|chunk| chunk.received)
    }

    /// The position up to which the rows that are not in files have at most so many bytes; in any case that of some.
    pub fn lsn_within(&self, most: u64) -> u64 {
        let held = self.held.read();
        let (mut bytes, mut upto) = (0, None);
        for chunk in held.pending() {
            bytes += chunk.bytes;
            match upto {
                Some(upto) if bytes > most => return upto,
                _ => upto = Some(chunk.last()),
            }
        }
        held.last
    }

    /// The rows up to this position that are not in files: what a flush writes.
    pub fn frozen(&self, upto: u64) -> Vec<RecordBatch> {
        let held = self.held.read();
        let flushed = held.flushed;
        let piece = |chunk: &Arc<Chunk>| {
            let (start, end) = (chunk.start_after(flushed), chunk.start_after(upto));
            (end > start).then(|| chunk.batch().slice(start, end - start))
        };
        held.chunks.iter().filter_map(piece).collect()
    }

    /// The rows up to this position are in files, as a version of the table says. They stay readable for a while.
    pub fn flushed(&self, upto: u64, now: Instant) {
        let mut held = self.held.write();
        if upto > held.last {
            // Some of these rows were never here: versions that lack them are too old.
            held.dropped = upto;
        }
        if upto > held.flushed {
            held.split(upto);
            held.flushed = upto;
            held.pending_bytes = held.pending().map(|chunk| chunk.bytes).sum();
            held.last = held.last.max(upto);
            held.flushes.push_back((upto, now));
        }
        held.drop_old(now);
    }

    /// Forgets rows that have been in files for long. To be called now and then where nothing is flushed.
    pub fn sweep(&self, now: Instant) {
        self.sweep_to(now, u64::MAX);
    }

    /// The same, and forgets rows that are in files, the oldest first, while more than `most` bytes are held: readers of
    /// versions before those take a newer one.
    pub fn sweep_to(&self, now: Instant, most: u64) {
        let mut held = self.held.write();
        held.drop_old(now);
        held.drop_down_to(most);
    }

    /// The rows above a position that a version of the table tells of. None where some of them are gone from memory: that
    /// version is too old, a newer one is there.
    pub fn after(&self, watermark: u64) -> Option<BufferRows> {
        let held = self.held.read();
        if watermark < held.dropped {
            return None;
        }
        let above = held.chunks.iter().filter(|chunk| chunk.last() > watermark);
        let pieces = above.map(|chunk| Piece { chunk: Arc::clone(chunk), start: chunk.start_after(watermark) });
        Some(BufferRows::new(&self.app_id, held.last, pieces.collect()))
    }

    /// Tells of each new last position, and of the end.
    pub fn subscribe(&self) -> watch::Receiver<Newest> {
        self.newest.subscribe()
    }

    /// The rows above a position, with theirs, until there are `limit` rows or more. None where some are gone from memory.
    pub fn read_from(&self, lsn: u64, limit: usize) -> Option<Vec<(u64, RecordBatch)>> {
        let held = self.held.read();
        if lsn < held.dropped {
            return None;
        }
        let mut rows = 0;
        let mut parts = Vec::new();
        for chunk in held.chunks.iter().filter(|chunk| chunk.last() > lsn) {
            for (lsn, batch) in chunk.parts_after(lsn) {
                if rows >= limit {
                    return Some(parts);
                }
                rows += batch.num_rows();
                parts.push((lsn, batch));
            }
        }
        Some(parts)
    }
}

impl Held {
    /// Chunks with rows that are not in files. None lies on both sides: flushing splits it.
    fn pending(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter().filter(|chunk| chunk.last() > self.flushed)
    }

    /// Joins the newest chunks while they are small and enough of them are of the newest one's size or below, as one counts in
    /// eights: each row is copied a few times at most.
    fn join_small(&mut self) {
        while let Some(newest) = self.chunks.back().filter(|chunk| is_small(chunk)) {
            let size = size_class(newest);
            let joins = |chunk: &&Arc<Chunk>| {
                is_small(chunk)
                    && size_class(chunk) <= size
                    && chunk.first() > self.flushed
                    && chunk.batch().schema_ref() == newest.batch().schema_ref()
            };
            let start = self.chunks.len() - self.chunks.iter().rev().take_while(joins).count();
            if self.chunks.len() - start < JOINED_CHUNKS {
                return;
            }
            let Ok(Some(joined)) = Chunk::joined(&self.chunks.make_contiguous()[start..]) else { return };
            self.chunks.truncate(start);
            self.chunks.push_back(Arc::new(joined));
        }
    }

    fn split(&mut self, lsn: u64) {
        let place = self.chunks.iter().position(|chunk| chunk.first() <= lsn && lsn < chunk.last());
        if let Some(place) = place
            && let Some((below, above)) = self.chunks[place].split(lsn)
        {
            self.chunks[place] = Arc::new(above);
            self.chunks.insert(place, Arc::new(below));
        }
    }

    fn drop_old(&mut self, now: Instant) {
        while let Some((upto, at)) = self.flushes.front().copied()
            && now.saturating_duration_since(at) >= GRACE
        {
            self.flushes.pop_front();
            self.dropped = self.dropped.max(upto);
        }
        while self.chunks.front().is_some_and(|chunk| chunk.last() <= self.dropped) {
            self.drop_oldest();
        }
    }

    fn drop_down_to(&mut self, most: u64) {
        while self.held_bytes > most
            && let Some(last) = self.chunks.front().map(|chunk| chunk.last()).filter(|last| *last <= self.flushed)
        {
            self.dropped = self.dropped.max(last);
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.chunks.pop_front() {
            self.held_bytes -= oldest.bytes;
        }
    }
}

fn is_small(chunk: &Chunk) -> bool {
    chunk.rows() < SMALL_ROWS && chunk.bytes < SMALL_BYTES
}

/// Chunks of one class have rows within a factor of eight.
fn size_class(chunk: &Chunk) -> u32 {
    chunk.rows().max(1).ilog(JOINED_CHUNKS)
}
