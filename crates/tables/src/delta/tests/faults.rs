//! Writers, mergers and a remover against a store that goes wrong: the table is what was accepted, whatever the store says.

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use lakebed_testkit::{Fault, FaultyStore};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, path::Path,
};

use super::*;
use crate::delta::{MergeOptions, merge_partition};

const SEEDS: u64 = 12;
/// Seeds at a time.
const AT_ONCE: usize = 6;
const WRITERS: i64 = 3;
const FLUSHES: i64 = 5;
const ROWS: i64 = 20;

/// How much later a request lands that nobody waits for.
const LATE: Duration = Duration::from_millis(5);
/// What is drawn where nothing happens.
const NOTHING: u64 = 11;

/// Refuses creations as stores do: because an earlier attempt of the same request has landed, or for no reason. Some land
/// when nobody waits for them any more.
#[derive(Debug)]
struct Refusing {
    inner: Arc<FaultyStore>,
    seed: u64,
    asked: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
    on: AtomicBool,
}

impl Refusing {
    fn new(seed: u64) -> Self {
        let (inner, zero) = (Arc::new(FaultyStore::new(seed)), || AtomicU64::new(0));
        Self { inner, seed, asked: zero(), refused: zero(), late: zero(), on: AtomicBool::new(false) }
    }

    fn set_faults(&self, per_mille: u32) {
        self.on.store(per_mille > 0, Ordering::SeqCst);
        self.inner.set_faults(per_mille);
    }

    fn draw(&self) -> u64 {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        BuildHasherDefault::<DefaultHasher>::default().hash_one((self.seed, asked)) % 12
    }
}

fn there(path: &Path) -> object_store::Error {
    object_store::Error::AlreadyExists { path: path.to_string(), source: "412 Precondition Failed".into() }
}

impl fmt::Display for Refusing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusing({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Refusing {
    async fn put_opts(&self, path: &Path, body: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let creates = options.mode == PutMode::Create && self.on.load(Ordering::SeqCst);
        match if creates { self.draw() } else { NOTHING } {
            // The client's own second attempt meets its first.
            0 => {
                self.inner.put_opts(path, body, options).await?;
                self.refused.fetch_add(1, Ordering::SeqCst);
                Err(there(path))
            }
            // 409: another request is under way, and nothing landed.
            1 => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                Err(there(path))
            }
            // The client gives up, and the store goes on: it lands later, or is refused then.
            2 => {
                let (store, path) = (Arc::clone(&self.inner), path.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    drop(store.put_opts(&path, body, options).await);
                });
                self.late.fetch_add(1, Ordering::SeqCst);
                Err(object_store::Error::Generic { store: "faulty", source: "no answer within the time limit".into() })
            }
            _ => self.inner.put_opts(path, body, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Until it works: as a process does that is started again and again.
async fn stubborn<T, F: Future<Output = lakebed_types::Result<T>>>(work: impl Fn() -> F) -> T {
    for _ in 0..200 {
        if let Ok(done) = work().await {
            return done;
        }
    }
    panic!("nothing helped");
}

async fn open_stubbornly(storage: &Storage) -> DeltaTable {
    stubborn(|| DeltaTable::open(storage, location(), clock())).await
}

/// Writes its rows into two days, committing each flush until it has landed; sometimes as another process would after a
/// restart: with the same files, from a table that was opened anew.
async fn writer(storage: Storage, number: i64) {
    let app_id = format!("ingest/{number}");
    for flush in 1..=FLUSHES {
        let first = (number * FLUSHES + flush) * ROWS;
        let batches = vec![rows(first..first + ROWS / 2, 1), rows(first + ROWS / 2..first + ROWS, 2)];
        let table = open_stubbornly(&storage).await;
        let name = format!("{number}-{flush}");
        let adds = stubborn(|| table.write_data_files(batches.clone(), &name)).await;
        let now = table.clock.instant();
        stubborn(|| async {
            // With a clock that stands still and a deadline of now each failure comes back.
            let table = open_stubbornly(&storage).await;
            table.append(txn(&app_id, flush), (flush > 1).then_some(flush - 1), adds.clone(), now).await
        })
        .await;
    }
}

async fn merger(storage: Storage, number: i64) {
    let table = open_stubbornly(&storage).await;
    for round in 0..8 {
        for day in ["1970-01-02", "1970-01-03"] {
            let options = MergeOptions {
                name_prefix: format!("merge-{number}-{round}-{day}"),
                full: true,
                inputs: 3,
                commit_for: Duration::ZERO,
                ..MergeOptions::default()
            };
            // Whatever comes of it: the table has to be whole.
            let _ = merge_partition(&table, Some(day), options, &|_| ()).await;
        }
    }
}

async fn remover(storage: Storage) {
    let table = open_stubbornly(&storage).await;
    let now = table.clock.instant();
    stubborn(|| table.remove_partition(Some("1970-01-10"), now)).await;
    let _ = table.checkpoint(Duration::ZERO).await;
    let wanted = vec![Field::new("added", DataType::Utf8, true)];
    stubborn(|| table.add_columns(wanted.clone(), now)).await;
    let _ = table.checkpoint(Duration::ZERO).await;
    let _ = table.vacuum(Duration::from_secs(3600)).await;
}

/// A month later: all that nobody needs goes, by a store that still goes wrong.
async fn clean(storage: &Storage) {
    let table = stubborn(|| DeltaTable::open(storage, location(), machine_clock(40 * DAY))).await;
    stubborn(|| table.checkpoint(Duration::ZERO)).await;
    stubborn(|| table.clean_log()).await;
    stubborn(|| table.vacuum(7 * DAY)).await;
}

/// What a seed has brought.
#[derive(Debug, Default)]
struct Happened {
    faults: std::collections::BTreeMap<Fault, usize>,
    refused: u64,
    late: u64,
}

async fn check(storage: &Storage, seed: u64) {
    let table = open(storage).await;
    let expected: Vec<i64> = (ROWS..(WRITERS * FLUSHES + 1) * ROWS).collect();
    assert_eq!(ids(storage, &table.state()).await, expected, "seed {seed}");
    for number in 0..WRITERS {
        assert_eq!(table.state().transaction(&format!("ingest/{number}")), Some(FLUSHES), "seed {seed}");
    }
}

async fn one_seed(seed: u64) -> Happened {
    let store = Arc::new(Refusing::new(seed));
    let storage = storage_of(Arc::clone(&store) as Arc<dyn ObjectStore>);
    let table = create(&storage, clock()).await;
    add(&table, vec![rows(100_000..100_010, 9)], "doomed", 1).await;
    store.set_faults(150);
    let writers = (0..WRITERS).map(|number| tokio::spawn(writer(storage.clone(), number)));
    let mergers = (0..2).map(|number| tokio::spawn(merger(storage.clone(), number)));
    let all = writers.chain(mergers).chain([tokio::spawn(remover(storage.clone()))]).collect::<Vec<_>>();
    for task in all {
        task.await.unwrap();
    }
    store.set_faults(0);
    check(&storage, seed).await;
    // What is on its way still may land: after the last writer it changes nothing that was accepted.
    tokio::time::sleep(4 * LATE).await;
    check(&storage, seed).await;
    store.set_faults(400);
    clean(&storage).await;
    store.set_faults(0);
    check(&storage, seed).await;
    Happened {
        faults: store.inner.happened(),
        refused: store.refused.load(Ordering::SeqCst),
        late: store.late.load(Ordering::SeqCst),
    }
}

async fn run(seeds: std::ops::Range<u64>) {
    let mut all = Happened::default();
    let mut done = futures::stream::iter(seeds.map(|seed| tokio::spawn(one_seed(seed)))).buffer_unordered(AT_ONCE);
    while let Some(happened) = done.next().await {
        let Happened { faults, refused, late } = happened.unwrap();
        faults.into_iter().for_each(|(fault, count)| *all.faults.entry(fault).or_insert(0) += count);
        (all.refused, all.late) = (all.refused + refused, all.late + late);
    }
    // Else this test would prove nothing.
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Busy, Fault::Slow, Fault::Stale] {
        assert!(all.faults.get(&fault).is_some_and(|count| *count > 0), "{fault:?}: {all:?}");
    }
    assert!(all.refused > 0 && all.late > 0, "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_row_is_there_once_whatever_the_store_says() {
    run(0..SEEDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo nextest run --run-ignored only"]
async fn a_thousand_bad_stores_keep_every_accepted_row_once() {
    run(0..1000).await;
}

#[tokio::test]
async fn a_probe_tells_a_store_that_ignores_conditions() {
    let storage = storage();
    crate::probe_conditional_put(&storage, &location(), "_probe").await.unwrap();
    let listed: Vec<_> = storage.store(&location()).unwrap().list(Some(location().path())).try_collect().await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");
}
