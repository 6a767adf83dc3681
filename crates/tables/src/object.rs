//! Reading ranges of one object of a snapshot, and noticing when it is no longer the object that was listed.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_storage::{Location, ObjectVersion, classify};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, coalesce_ranges};

/// Ranges closer than this are fetched in one request where a request costs a round trip.
const REMOTE_GAP_BYTES: u64 = 1024 * 1024;
/// A longer range is fetched in parts, side by side: one slow transfer must not outlast the request's time limit.
const PART_BYTES: u64 = 16 * 1024 * 1024;
/// Parts of one range that are under way at once.
const PARALLEL_PARTS: usize = 4;

/// One object, as it was listed.
#[derive(Debug, Clone)]
pub(crate) struct DataObject {
    store: Arc<dyn ObjectStore>,
    location: Location,
    version: ObjectVersion,
    /// Whether this very object was seen to be as it was listed. A remote store tells with every answer, for free; a local
    /// file is asked once.
    seen: Arc<AtomicBool>,
}

impl DataObject {
    /// `location` names the object (for messages), `meta` is how it was listed.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, location: Location, meta: ObjectMeta) -> Self {
        Self { store, location, version: ObjectVersion::new(meta), seen: Arc::default() }
    }

    /// The same, just looked at.
    pub(crate) fn seen(self) -> Self {
        self.seen.store(true, Ordering::Relaxed);
        self
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    pub(crate) fn meta(&self) -> &ObjectMeta {
        self.version.meta()
    }

    /// The bytes of a range. `conflict` if the object was changed or removed since it was listed.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.end > self.meta().size || range.start > range.end {
            let message = format!("{} points to bytes {}..{} outside itself", self.location, range.start, range.end);
            return Err(Error::new(ErrorKind::CorruptFile, message));
        }
        if range.end - range.start <= PART_BYTES {
            return self.read_part(range).await;
        }
        let starts = range.clone().step_by(PART_BYTES as usize);
        let parts = starts.map(|start| self.read_part(start..range.end.min(start + PART_BYTES)));
        let parts: Vec<Bytes> = stream::iter(parts).buffered(PARALLEL_PARTS).try_collect().await?;
        let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
        parts.iter().for_each(|part| whole.extend_from_slice(part));
        Ok(whole.freeze())
    }

    /// The bytes of several ranges, those near each other in one request.
    pub(crate) async fn read_many(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.location.is_local() {
            return self.read_local(ranges).await;
        }
        coalesce_ranges(ranges, |range| self.read(range), REMOTE_GAP_BYTES).await
    }

    /// All ranges in one go, which costs one opening of the file.
    async fn read_local(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut parts = Vec::with_capacity(ranges.len());
        let mut rest = ranges;
        if !self.seen.load(Ordering::Relaxed)
            && let Some((first, more)) = ranges.split_first()
        {
            parts.push(self.read(first.clone()).await?);
            self.seen.store(true, Ordering::Relaxed);
            rest = more;
        }
        if !rest.is_empty() {
            match self.store.get_ranges(&self.meta().location, rest).await {
                // A file that shrank gives what it still has; the Parquet reader panics on less than it asked for.
                Ok(read) if !whole(&read, rest) => return Err(self.changed()),
                Ok(read) => parts.extend(read),
                Err(error) => return Err(self.failed(error).await),
            }
        }
        Ok(parts)
    }

    async fn read_part(&self, range: Range<u64>) -> Result<Bytes> {
        let found = match self.store.get_opts(&self.meta().location, self.version.range(range.clone())).await {
            Ok(found) => found,
            Err(error) => return Err(self.failed(error).await),
        };
        if !self.version.is(&found.meta) {
            return Err(self.changed());
        }
        let bytes = found.bytes().await.map_err(|error| classify(error, &self.location))?;
        if !whole(std::slice::from_ref(&bytes), std::slice::from_ref(&range)) {
            return Err(self.changed());
        }
        Ok(bytes)
    }

    /// Why a request failed. Asks the store once more, since a file that shrank fails with all kinds of errors.
    async fn failed(&self, error: object_store::Error) -> Error {
        if matches!(error, object_store::Error::NotFound { .. }) {
            let message = format!("{} was removed after it was listed", self.location);
            return Error::new(ErrorKind::Conflict, message).with_hint("Run the query again.").with_source(error);
        }
        if matches!(error, object_store::Error::Precondition { .. }) {
            return self.changed().with_source(error);
        }
        match self.store.head(&self.meta().location).await {
            Ok(now) if !self.version.is(&now) => self.changed().with_source(error),
            _ => classify(error, &self.location),
        }
    }

    fn changed(&self) -> Error {
        let message = format!("{} was changed while it was being read", self.location);
        Error::new(ErrorKind::Conflict, message).with_hint("Run the query again.")
    }
}

/// Whether every range came in full.
fn whole(parts: &[Bytes], ranges: &[Range<u64>]) -> bool {
    parts.len() == ranges.len()
        && parts.iter().zip(ranges).all(|(part, range)| part.len() as u64 == range.end - range.start)
}
