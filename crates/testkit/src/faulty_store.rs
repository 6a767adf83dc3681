//! A store in memory that goes wrong as real ones do.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use parking_lot::Mutex;

use crate::{
    faults::{Fault, Faults, ON_WRITES, SLOW, failed},
    faulty_upload::FaultyUpload,
};

const ON_READS: &[Fault] = &[Fault::Refused, Fault::Busy, Fault::Truncated, Fault::BrokenOff, Fault::Slow];
const ON_LISTS: &[Fault] = &[Fault::Refused, Fault::Busy, Fault::BrokenOff, Fault::Slow, Fault::Stale];

/// Objects in memory behind a bad connection. What goes wrong depends on the seed, the request and how often it was sent
/// before, not on the order of requests.
#[derive(Debug)]
pub struct FaultyStore {
    inner: InMemory,
    faults: Arc<Faults>,
    /// Multipart uploads that were neither finished nor given up.
    open_uploads: Arc<AtomicUsize>,
    /// The listing before the last change.
    before: Mutex<Vec<ObjectMeta>>,
}

impl FaultyStore {
    /// An empty store where all is well for now.
    pub fn new(seed: u64) -> Self {
        Self {
            inner: InMemory::new(),
            faults: Arc::new(Faults::new(seed)),
            open_uploads: Arc::default(),
            before: Mutex::default(),
        }
    }

    /// From here on so many of 1,000 requests go wrong.
    pub fn set_faults(&self, per_mille: u32) {
        self.faults.set(per_mille);
    }

    /// From here on the store refuses every request, or no longer does.
    pub fn set_stopped(&self, stopped: bool) {
        self.faults.stop(stopped);
    }

    /// What has gone wrong so far, and how often.
    pub fn happened(&self) -> BTreeMap<Fault, usize> {
        self.faults.happened()
    }

    /// Multipart uploads that were begun and neither finished nor given up.
    pub fn open_uploads(&self) -> usize {
        self.open_uploads.load(Ordering::SeqCst)
    }

    /// Writes an object past all faults.
    ///
    /// # Errors
    /// Those of a store in memory: none.
    pub async fn write(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.remember_listing().await;
        self.inner.put(&Path::from(path), Bytes::from(bytes).into()).await.map(|_| ())
    }

    /// All that is there, past all faults.
    pub async fn names(&self) -> Vec<String> {
        listing(&self.inner).await.into_iter().map(|meta| meta.location.to_string()).collect()
    }

    /// The changes so far are long ago: a stale listing has them too.
    pub async fn settle(&self) {
        self.remember_listing().await;
    }

    async fn remember_listing(&self) {
        let listed = listing(&self.inner).await;
        *self.before.lock() = listed;
    }
}

async fn listing(store: &InMemory) -> Vec<ObjectMeta> {
    store.list(None).filter_map(|meta| async { meta.ok() }).collect().await
}

/// A part of a body, then its end or a failure.
fn cut(result: GetResult, fault: Fault) -> GetResult {
    let GetResult { payload, meta, range, attributes, .. } = result;
    let half = (range.end - range.start) / 2;
    // A store in memory has no files.
    let GetResultPayload::Stream(body) = payload else { return GetResult { payload, meta, range, attributes } };
    let body = body.scan(half, |left, bytes| {
        let bytes = bytes.map(|bytes: Bytes| {
            let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= length as u64;
            bytes.slice(..length)
        });
        std::future::ready(Some(bytes))
    });
    let end = (fault == Fault::BrokenOff).then(|| Err(failed("the connection was closed within the body")));
    let payload = GetResultPayload::Stream(body.chain(stream::iter(end)).boxed());
    GetResult { payload, meta, range, attributes }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.faults.seed)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.faults.draw(ON_WRITES, ("put", path.as_ref()));
        self.faults.meet(fault).await?;
        self.remember_listing().await;
        let done = self.inner.put_opts(path, payload, options).await;
        match fault {
            Some(Fault::AnswerLost) => Err(failed("no answer within the time limit")),
            _ => done,
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.faults.draw(ON_WRITES, ("multipart", path.as_ref()));
        self.faults.meet(fault).await?;
        self.remember_listing().await;
        let inner = self.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(FaultyUpload::new(inner, path, &self.faults, &self.open_uploads)))
    }

    async fn get_opts(&self, path: &Path, mut options: GetOptions) -> Result<GetResult> {
        // The store below has tags without quotes, which HTTP puts around them.
        options.if_match = options.if_match.map(|tag| tag.trim_matches('"').to_owned());
        let fault = self.faults.draw(ON_READS, ("get", path.as_ref(), format!("{:?} {}", options.range, options.head)));
        self.faults.meet(fault).await?;
        let result = self.inner.get_opts(path, options).await?;
        match fault {
            Some(fault @ (Fault::Truncated | Fault::BrokenOff)) => Ok(cut(result, fault)),
            _ => Ok(result),
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.faults.draw(ON_LISTS, ("list", prefix.map(Path::as_ref)));
        let all = match fault {
            Some(Fault::Stale) => {
                let prefix = prefix.cloned().unwrap_or_default();
                let before = self.before.lock().clone();
                let below = before.into_iter().filter(move |meta| meta.location.prefix_matches(&prefix));
                stream::iter(below.map(Ok)).boxed()
            }
            Some(Fault::Refused | Fault::Busy) => {
                stream::iter([Err(failed("503 Service Unavailable: SlowDown"))]).boxed()
            }
            _ => self.inner.list(prefix),
        };
        match fault {
            Some(Fault::BrokenOff) => {
                all.take(1).chain(stream::iter([Err(failed("the connection was closed within the body"))])).boxed()
            }
            Some(Fault::Slow) => {
                stream::once(tokio::time::sleep(SLOW)).flat_map(|()| stream::empty()).chain(all).boxed()
            }
            _ => all,
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.meet(self.faults.draw(ON_LISTS, ("folders", prefix.map(Path::as_ref)))).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcomes(seed: u64) -> (Vec<Option<usize>>, BTreeMap<Fault, usize>) {
        let store = FaultyStore::new(seed);
        store.write("t/a", vec![7; 1000]).await.unwrap();
        store.set_faults(500);
        let mut lengths = Vec::new();
        for _ in 0..100 {
            let read = async { store.get(&Path::from("t/a")).await?.bytes().await };
            lengths.push(read.await.ok().map(|bytes| bytes.len()));
        }
        (lengths, store.happened())
    }

    #[tokio::test]
    async fn a_seed_always_does_the_same() {
        let (lengths, happened) = outcomes(1).await;
        assert_eq!(outcomes(1).await, (lengths.clone(), happened.clone()));
        assert_ne!(outcomes(2).await.0, lengths);
        assert_eq!(happened.keys().copied().collect::<Vec<_>>(), {
            let mut all = ON_READS.to_vec();
            all.sort();
            all
        });
        assert!(lengths.contains(&Some(1000)) && lengths.contains(&Some(500)) && lengths.contains(&None));
    }

    #[tokio::test]
    async fn a_stale_listing_lacks_the_last_change() {
        let store = FaultyStore::new(3);
        store.write("t/a", vec![1]).await.unwrap();
        store.write("t/b", vec![2]).await.unwrap();
        store.set_faults(1000);
        let mut counts = Vec::new();
        for _ in 0..50 {
            let listed: Vec<_> = store.list(Some(&Path::from("t"))).collect().await;
            if listed.iter().all(Result::is_ok) {
                counts.push(listed.len());
            }
        }
        assert!(counts.contains(&1) && counts.contains(&2), "{counts:?}");
    }
}
