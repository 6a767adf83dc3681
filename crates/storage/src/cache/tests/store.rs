//! A store in memory that counts, waits and fails as a test wants it.

use std::{
    fmt,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(super) struct TestStore {
    pub(super) inner: InMemory,
    requests: Mutex<Vec<Range<u64>>>,
    gate: Semaphore,
    failures: AtomicUsize,
    forgets_conditions: AtomicBool,
}

impl Default for TestStore {
    fn default() -> Self {
        Self {
            inner: InMemory::new(),
            requests: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            failures: AtomicUsize::new(0),
            forgets_conditions: AtomicBool::new(false),
        }
    }
}

impl TestStore {
    /// The ranges asked for since the last call, in bytes.
    pub(super) fn requests(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.requests.lock())
    }

    /// From here on requests wait.
    pub(super) fn shut(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    /// So many requests fail, each after it has waited.
    pub(super) fn fail(&self, requests: usize) {
        self.failures.store(requests, Ordering::SeqCst);
    }

    /// As a store that does not know `If-Match`.
    pub(super) fn forget_conditions(&self) {
        self.forgets_conditions.store(true, Ordering::SeqCst);
    }
}

impl fmt::Display for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestStore")
    }
}

#[async_trait]
impl ObjectStore for TestStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, mut options: GetOptions) -> Result<GetResult> {
        let range = options.range.as_ref().map(|range| range.as_range(u64::MAX).unwrap());
        self.requests.lock().push(range.unwrap_or(0..u64::MAX));
        let _passed = self.gate.acquire().await.unwrap();
        let failing = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failing.is_ok() {
            return Err(Error::Generic { store: "test", source: "as the test wants it".into() });
        }
        if self.forgets_conditions.load(Ordering::SeqCst) {
            options.if_match = None;
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
