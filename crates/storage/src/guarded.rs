//! The only kind of store that leaves this crate: allowed paths only, everything counted.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::Either, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    coalesce_ranges, path::Path,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Mode, allow_list::AllowList, counters::Meter, s3_error::StoreFacts, upload::CountedUpload};

/// Keys in one page of a LIST.
const LIST_PAGE: u64 = 1000;

/// Wraps one bucket's client, or the local files.
#[derive(Debug, Clone)]
pub(crate) struct GuardedStore {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) allowed: Arc<AllowList>,
    pub(crate) meter: Meter,
    /// Bounds the requests under way to a remote store. None for local files and memory.
    pub(crate) requests: Option<Arc<Semaphore>>,
}

impl GuardedStore {
    /// The same store, counting elsewhere.
    pub(crate) fn with_meter(&self, meter: Meter) -> Self {
        Self { meter, ..self.clone() }
    }

    /// Waits for a place among the requests under way and counts one request. A streamed answer gives its place
    /// back when it begins: a plan may hold more streams open than there are places, and wait for all of them.
    async fn begin(&self, operation: &'static str) -> Result<Option<SemaphorePermit<'_>>> {
        let place = match &self.requests {
            Some(requests) => Some(
                requests
                    .acquire()
                    .await
                    .map_err(|closed| object_store::Error::Generic { store: "guarded", source: Box::new(closed) })?,
            ),
            None => None,
        };
        self.meter.request(operation);
        Ok(place)
    }

    async fn get_one_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let _place = self.begin("get").await?;
        let bytes = self.inner.get_opts(path, GetOptions::new().with_range(Some(range))).await?.bytes().await?;
        self.meter.read(bytes.len() as u64);
        Ok(bytes)
    }

    /// The answer to a HEAD has no body that says why it failed; the answer to a GET has.
    async fn explain_head(&self, path: &Path, error: object_store::Error) -> object_store::Error {
        if self.requests.is_none() || !StoreFacts::of(&error).is_unexplained() {
            return error;
        }
        self.meter.request("get");
        let first_byte = GetOptions::new().with_range(Some(0..1));
        self.inner.get_opts(path, first_byte).await.err().unwrap_or(error)
    }

    fn count_body(&self, result: GetResult) -> GetResult {
        let meter = self.meter.clone();
        let payload = match result.payload {
            GetResultPayload::Stream(body) => {
                GetResultPayload::Stream(body.inspect_ok(move |bytes| meter.read(bytes.len() as u64)).boxed())
            }
            file => {
                meter.read(result.range.end - result.range.start);
                file
            }
        };
        GetResult { payload, ..result }
    }

    fn check_prefix(&self, prefix: Option<&Path>) -> Result<()> {
        self.allowed.check_path(prefix.unwrap_or(&Path::ROOT), Mode::Read)
    }

    fn count_pages(&self, listed: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let meter = self.meter.clone();
        meter.request("list");
        let mut keys = 0;
        listed
            .inspect_ok(move |_| {
                keys += 1;
                if keys % LIST_PAGE == 0 {
                    meter.request("list");
                }
            })
            .boxed()
    }
}

impl fmt::Display for GuardedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guarded({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for GuardedStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.allowed.check_path(path, Mode::ReadWrite)?;
        let _place = self.begin("put").await?;
        let bytes = payload.content_length() as u64;
        let result = self.inner.put_opts(path, payload, options).await?;
        self.meter.written(bytes);
        Ok(result)
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.allowed.check_path(path, Mode::ReadWrite)?;
        let _place = self.begin("create_upload").await?;
        let upload = self.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(CountedUpload::new(upload, self.meter.clone())))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.allowed.check_path(path, Mode::Read)?;
        let head = options.head;
        let _place = self.begin(if head { "head" } else { "get" }).await?;
        match self.inner.get_opts(path, options).await {
            Ok(result) if head => Ok(result),
            Ok(result) => Ok(self.count_body(result)),
            Err(error) if head => Err(self.explain_head(path, error).await),
            Err(error) => Err(error),
        }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.allowed.check_path(path, Mode::Read)?;
        if self.requests.is_some() {
            let fetch = |range| self.get_one_range(path, range);
            return coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await;
        }
        let _place = self.begin("get").await?;
        let parts = self.inner.get_ranges(path, ranges).await?;
        self.meter.read(parts.iter().map(|part| part.len() as u64).sum());
        Ok(parts)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (allowed, meter) = (self.allowed.clone(), self.meter.clone());
        let checked = paths.map(move |path| {
            let path = path?;
            allowed.check_path(&path, Mode::ReadWrite)?;
            meter.request("delete");
            Ok(path)
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check_prefix(prefix) {
            Ok(()) => self.count_pages(self.inner.list(prefix)),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = match self.check_prefix(prefix) {
            Ok(()) => Either::Left(self.count_pages(self.inner.list_with_offset(prefix, offset))),
            Err(error) => Either::Right(stream::once(async { Err(error) })),
        };
        listed.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check_prefix(prefix)?;
        let _place = self.begin("list").await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.allowed.check_path(from, Mode::Read)?;
        self.allowed.check_path(to, Mode::ReadWrite)?;
        let _place = self.begin("copy").await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.allowed.check_path(from, Mode::ReadWrite)?;
        self.allowed.check_path(to, Mode::ReadWrite)?;
        let _place = self.begin("rename").await?;
        self.inner.rename_opts(from, to, options).await
    }
}
