//! A store whose objects' bytes may come from the block cache.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

use super::{
    blocks::{BLOCK_BYTES, StoreBlocks},
    flight::Origin,
};
use crate::{
    ObjectVersion,
    counters::{BlockSource, Meter},
};

/// A longer range is read past the cache: the answer is put together in memory.
const LONGEST_BYTES: u64 = 64 * 1024 * 1024;
/// Requests of one reader that are under way at once.
const REQUESTS_AT_ONCE: usize = 8;

/// Answers ranges of objects of a known version ([`ObjectVersion::range`]) from the cache; all else goes past it.
#[derive(Debug, Clone)]
pub(crate) struct CachedStore {
    below: Arc<dyn ObjectStore>,
    blocks: StoreBlocks,
    meter: Meter,
}

/// A block of a range that is read.
#[derive(Debug, Clone)]
struct Read {
    bytes: Bytes,
    from: BlockSource,
}

/// Why a range could not be read.
struct Failure {
    error: Arc<Error>,
    /// It was another reader's request that failed.
    joined: bool,
}

impl CachedStore {
    /// `below` counts the requests of the reader, `meter` what it gets without one.
    pub(crate) fn new(below: Arc<dyn ObjectStore>, blocks: StoreBlocks, meter: Meter) -> Self {
        Self { below, blocks, meter }
    }

    /// The range that a request wants, where the cache may answer it.
    fn wanted(&self, path: &Path, options: &GetOptions) -> Option<(Origin, Range<u64>)> {
        let version = options.extensions.get::<ObjectVersion>()?.clone();
        let Some(GetRange::Bounded(range)) = options.range.clone() else { return None };
        let fits = range.start < range.end && range.end <= version.meta().size;
        let plain = !options.head
            && options.version.is_none()
            && options.if_none_match.is_none()
            && options.if_modified_since.is_none()
            && options.if_unmodified_since.is_none();
        if !fits || !plain || range.end - range.start > LONGEST_BYTES || version.meta().location != *path {
            return None;
        }
        let object = self.blocks.object(&version)?;
        let (cache, store) = (self.blocks.cache.clone(), self.below.clone());
        Some((Origin { cache, store, object, version }, range))
    }

    async fn read(&self, origin: &Origin, range: Range<u64>) -> Result<GetResult> {
        let blocks = range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES);
        let mut read = read_blocks(origin, blocks.clone()).await;
        if matches!(read, Err(Failure { joined: true, .. })) {
            // What failed for another reader, this one tries for itself.
            read = read_blocks(origin, blocks.clone()).await;
        }
        let read = read.map_err(|failure| own(failure.error))?;
        let mut parts = Vec::with_capacity(read.len());
        for (block, read) in blocks.zip(read) {
            let start = block * BLOCK_BYTES;
            let from = range.start.saturating_sub(start) as usize;
            let to = (range.end - start).min(BLOCK_BYTES) as usize;
            self.meter.block(read.from, (to - from) as u64);
            parts.push(Ok(read.bytes.slice(from..to)));
        }
        let payload = GetResultPayload::Stream(stream::iter(parts).boxed());
        Ok(GetResult { payload, meta: origin.version.meta().clone(), range, attributes: Default::default() })
    }
}

/// All blocks of a range, in order.
async fn read_blocks(origin: &Origin, blocks: Range<u64>) -> Result<Vec<Read>, Failure> {
    let present = origin.cache.present(&origin.object, blocks.clone()).await;
    let missing = blocks.clone().zip(&present).filter(|(_, bytes)| bytes.is_none()).map(|(block, _)| block);
    let missing: Vec<_> = missing.collect();
    let in_memory = |bytes| Read { bytes, from: BlockSource::Memory };
    let mut read: Vec<_> = present.into_iter().map(|bytes| bytes.map(in_memory)).collect();
    if !missing.is_empty() {
        let awaited = origin.cache.flights().board(origin, &missing);
        let landings =
            awaited.into_iter().map(|awaited| async move { (awaited.first, awaited.joined, awaited.flight.await) });
        let mut landings = stream::iter(landings).buffer_unordered(REQUESTS_AT_ONCE);
        while let Some((first, joined, landed)) = landings.next().await {
            let brought = landed.map_err(|error| Failure { error, joined })?;
            for (block, brought) in (first..).zip(brought.iter()) {
                let from = match (brought.fetched, joined) {
                    (false, _) => BlockSource::Memory,
                    (true, true) => BlockSource::Shared,
                    (true, false) => BlockSource::Store,
                };
                let place = block.checked_sub(blocks.start).and_then(|at| read.get_mut(at as usize));
                if let Some(place @ None) = place {
                    *place = Some(Read { bytes: brought.bytes.clone(), from });
                }
            }
        }
    }
    read.into_iter().collect::<Option<_>>().ok_or_else(|| {
        let source = format!("a block of {} was not brought", origin.object.path).into();
        Failure { error: Arc::new(Error::Generic { store: "cache", source }), joined: false }
    })
}

/// An error that several readers got, as one's own: of the same kind, with the same text and the same causes.
fn own(error: Arc<Error>) -> Error {
    let shared = match Arc::try_unwrap(error) {
        Ok(error) => return error,
        Err(shared) => shared,
    };
    let source = Box::new(SharedError(shared.clone()));
    match shared.as_ref() {
        Error::NotFound { path, .. } => Error::NotFound { path: path.clone(), source },
        Error::Precondition { path, .. } => Error::Precondition { path: path.clone(), source },
        Error::PermissionDenied { path, .. } => Error::PermissionDenied { path: path.clone(), source },
        Error::Unauthenticated { path, .. } => Error::Unauthenticated { path: path.clone(), source },
        _ => Error::Generic { store: "cache", source },
    }
}

#[derive(Debug)]
struct SharedError(Arc<Error>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl fmt::Display for CachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cached({})", self.below)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for CachedStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.below.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.below.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.wanted(path, &options) {
            Some((origin, range)) => self.read(&origin, range).await,
            None => self.below.get_opts(path, options).await,
        }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.below.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.below.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.below.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.below.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.below.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.below.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.below.rename_opts(from, to, options).await
    }
}
