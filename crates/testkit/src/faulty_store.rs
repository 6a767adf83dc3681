//! A store in memory that goes wrong as real ones do.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{Hash, Hasher},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use parking_lot::Mutex;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The connection breaks before the store has seen the request.
    Refused,
    /// The store does it, and the answer is lost.
    AnswerLost,
    /// The store says that it is busy.
    Busy,
    /// The body ends too early, and nothing says so.
    Truncated,
    /// The body breaks off.
    BrokenOff,
    /// The first byte takes its time.
    Slow,
    /// A listing from before the last change.
    Stale,
}

const ON_READS: &[Fault] = &[Fault::Refused, Fault::Busy, Fault::Truncated, Fault::BrokenOff, Fault::Slow];
const ON_WRITES: &[Fault] = &[Fault::Refused, Fault::Busy, Fault::AnswerLost, Fault::Slow];
const ON_LISTS: &[Fault] = &[Fault::Refused, Fault::Busy, Fault::BrokenOff, Fault::Slow, Fault::Stale];

/// How long `Slow` is.
const SLOW: Duration = Duration::from_millis(3);

/// Objects in memory behind a bad connection. What goes wrong depends on the seed, the request and how often it was sent
/// before, not on the order of requests.
#[derive(Debug)]
pub struct FaultyStore {
    inner: InMemory,
    seed: u64,
    /// Of 1,000 requests, so many go wrong.
    per_mille: AtomicU32,
    sent: Mutex<HashMap<u64, u64>>,
    happened: Mutex<BTreeMap<Fault, usize>>,
    /// The listing before the last change.
    before: Mutex<Vec<ObjectMeta>>,
}

impl FaultyStore {
    /// An empty store where all is well for now.
    pub fn new(seed: u64) -> Self {
        Self {
            inner: InMemory::new(),
            seed,
            per_mille: AtomicU32::new(0),
            sent: Mutex::default(),
            happened: Mutex::default(),
            before: Mutex::default(),
        }
    }

    /// From here on so many of 1,000 requests go wrong.
    pub fn set_faults(&self, per_mille: u32) {
        self.per_mille.store(per_mille, Ordering::SeqCst);
    }

    /// What has gone wrong so far, and how often.
    pub fn happened(&self) -> BTreeMap<Fault, usize> {
        self.happened.lock().clone()
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

    fn draw(&self, faults: &[Fault], request: impl Hash) -> Option<Fault> {
        let of = |text: &dyn Fn(&mut Fnv)| {
            let mut hash = Fnv(0xcbf2_9ce4_8422_2325 ^ self.seed);
            text(&mut hash);
            mixed(hash.0)
        };
        let request = of(&|hash| request.hash(hash));
        let sent = {
            let mut counts = self.sent.lock();
            let count = counts.entry(request).or_default();
            *count += 1;
            *count
        };
        let drawn = of(&|hash| (request, sent).hash(hash));
        if drawn % 1000 >= u64::from(self.per_mille.load(Ordering::SeqCst)) {
            return None;
        }
        let fault = faults[usize::try_from(drawn / 1000).unwrap_or(0) % faults.len()];
        *self.happened.lock().entry(fault).or_default() += 1;
        Some(fault)
    }

    /// What happens to a request before the store sees it.
    async fn meet(&self, fault: Option<Fault>) -> Result<()> {
        match fault {
            Some(Fault::Refused) => Err(failed("the connection was reset")),
            Some(Fault::Busy) => Err(failed("503 Service Unavailable: SlowDown")),
            Some(Fault::Slow) => {
                tokio::time::sleep(SLOW).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn failed(text: &str) -> Error {
    Error::Generic { store: "faulty", source: text.into() }
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
        write!(f, "FaultyStore({})", self.seed)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.draw(ON_WRITES, ("put", path.as_ref()));
        self.meet(fault).await?;
        self.remember_listing().await;
        let done = self.inner.put_opts(path, payload, options).await;
        match fault {
            Some(Fault::AnswerLost) => Err(failed("no answer within the time limit")),
            _ => done,
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.draw(ON_WRITES, ("multipart", path.as_ref()));
        self.meet(fault).await?;
        self.remember_listing().await;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, mut options: GetOptions) -> Result<GetResult> {
        // The store below has tags without quotes, which HTTP puts around them.
        options.if_match = options.if_match.map(|tag| tag.trim_matches('"').to_owned());
        let fault = self.draw(ON_READS, ("get", path.as_ref(), format!("{:?} {}", options.range, options.head)));
        self.meet(fault).await?;
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
        let fault = self.draw(ON_LISTS, ("list", prefix.map(Path::as_ref)));
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
        self.meet(self.draw(ON_LISTS, ("folders", prefix.map(Path::as_ref)))).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// FNV-1a: the same on every machine and in every build.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Spreads what FNV leaves close together.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
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
