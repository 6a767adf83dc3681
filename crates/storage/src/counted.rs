//! A bucket's client, or the local files, with every request and byte counted.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    coalesce_ranges, path::Path,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{counters::Meter, s3_error::StoreFacts, upload::CountedUpload};

/// Keys in one page of a LIST.
const LIST_PAGE: u64 = 1000;

/// Counts what really goes to the store, and bounds how much of it is under way.
#[derive(Debug, Clone)]
pub(crate) struct CountedStore {
    pub(crate) client: Arc<dyn ObjectStore>,
    pub(crate) meter: Meter,
    /// Bounds the requests under way to a remote store. None for local files and memory.
    pub(crate) requests: Option<Arc<Semaphore>>,
}

impl CountedStore {
    /// Waits for a place among the requests under way and counts one request. A streamed answer gives its place
    /// back when it begins: a plan may hold more streams open than there are places, and wait for all of them.
    async fn begin(&self, operation: &'static str) -> Result<Option<SemaphorePermit<'_>>> {
        let place = match &self.requests {
            Some(requests) => Some(
                requests
                    .acquire()
                    .await
                    .map_err(|closed| object_store::Error::Generic { store: "counted", source: Box::new(closed) })?,
            ),
            None => None,
        };
        self.meter.request(operation);
        Ok(place)
    }

    async fn get_one_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let _place = self.begin("get").await?;
        let bytes = self.client.get_opts(path, GetOptions::new().with_range(Some(range))).await?.bytes().await?;
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
        self.client.get_opts(path, first_byte).await.err().unwrap_or(error)
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

/// A tag as HTTP wants it. Some stores list tags without their quotes, and do not know them again in that form.
fn quoted(tag: String) -> String {
    if tag == "*" || tag.contains('"') { tag } else { format!("\"{tag}\"") }
}

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counted({})", self.client)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for CountedStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let _place = self.begin("put").await?;
        let bytes = payload.content_length() as u64;
        let result = self.client.put_opts(path, payload, options).await?;
        self.meter.written(bytes);
        Ok(result)
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let _place = self.begin("create_upload").await?;
        let upload = self.client.put_multipart_opts(path, options).await?;
        Ok(Box::new(CountedUpload::new(upload, self.meter.clone())))
    }

    async fn get_opts(&self, path: &Path, mut options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        if self.requests.is_some() {
            options.if_match = options.if_match.map(quoted);
        }
        let _place = self.begin(if head { "head" } else { "get" }).await?;
        match self.client.get_opts(path, options).await {
            Ok(result) if head => Ok(result),
            Ok(result) => Ok(self.count_body(result)),
            Err(error) if head => Err(self.explain_head(path, error).await),
            Err(error) => Err(error),
        }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.requests.is_some() {
            let fetch = |range| self.get_one_range(path, range);
            return coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await;
        }
        let _place = self.begin("get").await?;
        let parts = self.client.get_ranges(path, ranges).await?;
        self.meter.read(parts.iter().map(|part| part.len() as u64).sum());
        Ok(parts)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let meter = self.meter.clone();
        self.client.delete_stream(paths.inspect_ok(move |_| meter.request("delete")).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_pages(self.client.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_pages(self.client.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let _place = self.begin("list").await?;
        self.client.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let _place = self.begin("copy").await?;
        self.client.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let _place = self.begin("rename").await?;
        self.client.rename_opts(from, to, options).await
    }
}
