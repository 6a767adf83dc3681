//! Each moment at which a node may stop, or be told something that is not so, on the way of rows into a table: before and
//! after each object that it writes. Whatever happens, a node that is started again ends with each row once.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures::{FutureExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, memory::InMemory, path::Path,
};
use parking_lot::Mutex;

use super::*;
use crate::delta::{AddFile, MergeOptions, Rewritten, merge_partition};

const THAT_DAY: &str = "1970-01-02";

/// What happens at the first object whose name has this part.
#[derive(Debug, Clone, Copy)]
enum How {
    /// An error, and nothing is written.
    Error,
    /// It is written, and the answer is lost.
    AnswerLost,
    /// 409: nothing is written, and the store says that it is there.
    Conflict,
    /// 412: it is written, and the store says that it was there.
    OwnConflict,
    /// The process ends before.
    Panic,
    /// The process ends after.
    PanicAfter,
}

const ALL: [How; 6] = [How::Error, How::AnswerLost, How::Conflict, How::OwnConflict, How::Panic, How::PanicAfter];

/// A store at which something happens once.
#[derive(Debug)]
struct Stop {
    inner: InMemory,
    at: Mutex<Option<(&'static str, How)>>,
    happened: AtomicUsize,
}

impl Stop {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), at: Mutex::new(None), happened: AtomicUsize::new(0) })
    }

    fn take(&self, path: &Path) -> Option<How> {
        let mut at = self.at.lock();
        let (_, how) = at.take_if(|(part, _)| path.as_ref().contains(*part))?;
        self.happened.fetch_add(1, Ordering::SeqCst);
        Some(how)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic { store: "stop", source: "no answer within the time limit".into() }
}

fn there(path: &Path) -> object_store::Error {
    object_store::Error::AlreadyExists { path: path.to_string(), source: "it is there".into() }
}

#[async_trait]
impl ObjectStore for Stop {
    async fn put_opts(&self, path: &Path, body: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let how = self.take(path);
        match how {
            Some(How::Error) => return Err(lost()),
            Some(How::Conflict) => return Err(there(path)),
            Some(How::Panic) => panic!("the process ends before {path}"),
            _ => {}
        }
        let done = self.inner.put_opts(path, body, options).await;
        match how {
            Some(How::AnswerLost) => Err(lost()),
            Some(How::OwnConflict) => Err(there(path)),
            Some(How::PanicAfter) => panic!("the process ends after {path}"),
            _ => done,
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

/// What a node does from its start on: the flush that its log names, or one of its own, and then what is due. `life` is
/// another one each time.
async fn live(storage: &Storage, life: usize, noted: &Mutex<Option<Vec<AddFile>>>) -> lakebed_types::Result<()> {
    let table = DeltaTable::open(storage, location(), clock()).await?;
    let deadline = table.clock.instant();
    if table.state().transaction("a") < Some(3) {
        let intent = noted.lock().clone();
        let adds = match intent {
            Some(adds) => adds,
            None => table.write_data_files(vec![rows(20..30, 1)], &format!("flush-{life}")).await?,
        };
        *noted.lock() = Some(adds.clone());
        table.append(txn("a", 3), Some(2), adds, deadline).await?;
    }
    let options = MergeOptions {
        name_prefix: format!("merge-{life}"),
        full: true,
        commit_for: Duration::ZERO,
        ..MergeOptions::default()
    };
    merge_partition(&table, Some(THAT_DAY), options, &|_| ()).await?;
    table.add_columns(vec![Field::new("extra", DataType::Int64, true)], deadline).await?;
    table.remove_partition(Some("1970-01-10"), deadline).await?;
    table.checkpoint(Duration::ZERO).await?;
    Ok(())
}

async fn try_out(part: &'static str, how: How) {
    let store = Stop::new();
    let storage = storage_of(Arc::clone(&store) as Arc<dyn ObjectStore>);
    let table = create(&storage, clock()).await;
    add(&table, vec![rows(0..10, 1), rows(900..905, 9)], "a", 1).await;
    add(&table, vec![rows(10..20, 1)], "a", 2).await;
    drop(table);
    *store.at.lock() = Some((part, how));
    let noted = Mutex::new(None);
    let mut lives = 0;
    while !matches!(AssertUnwindSafe(live(&storage, lives, &noted)).catch_unwind().await, Ok(Ok(()))) {
        lives += 1;
        assert!(lives < 4, "{part} {how:?}: it does not recover");
    }
    assert_eq!(store.happened.load(Ordering::SeqCst), 1, "nothing has {part}");
    let state = open(&storage).await.state();
    assert_eq!(ids(&storage, &state).await, (0..30).collect::<Vec<_>>(), "{part} {how:?}");
    assert_eq!((state.files().count(), state.transaction("a")), (1, Some(3)), "{part} {how:?}");
    assert_eq!(state.schema().fields().len(), 4);
    assert_eq!(state.commits_since_checkpoint(), 0, "{part} {how:?}");
    // Nothing of what was broken off stays.
    let later = open_with(&storage, machine_clock(8 * DAY)).await;
    later.vacuum(7 * DAY).await.unwrap();
    let files: Vec<String> = names(&storage).await.into_iter().filter(|name| name.starts_with("date=")).collect();
    assert_eq!(files, state.files().map(|file| file.path.clone()).collect::<Vec<_>>(), "{part} {how:?}");
    assert_eq!(ids(&storage, &state).await, (0..30).collect::<Vec<_>>());
}

macro_rules! windows {
    ($($name:ident = $part:literal),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for how in ALL {
                try_out($part, how).await;
            }
        })*
    };
}

windows! {
    the_file_of_a_flush = "flush-",
    the_commit_of_a_flush = "0003.json",
    the_file_of_a_merge = "merge-",
    the_commit_of_a_merge = "0004.json",
    the_commit_of_new_columns = "0005.json",
    the_commit_of_a_removal = "0006.json",
    the_checkpoint = ".checkpoint.parquet",
    the_hint_to_the_checkpoint = "_last_checkpoint",
}

#[tokio::test]
async fn rows_that_are_removed_while_they_are_merged_stay_removed() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    let state = add(&table, vec![rows(0..10, 1), rows(10..15, 2)], "a", 1).await;
    let that_day = state.files().filter(|file| file.path.contains(THAT_DAY));
    let inputs: Vec<String> = that_day.map(|file| file.path.clone()).collect();
    let merged = table.write_data_files(vec![rows(0..10, 1)], "merged").await.unwrap();
    open(&storage).await.remove_partition(Some(THAT_DAY), soon(&table)).await.unwrap();
    assert!(matches!(table.rewrite(&inputs, merged, soon(&table)).await.unwrap(), Rewritten::Lost(_)));
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, (10..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn columns_that_come_between_the_files_and_their_commit_are_null_in_them() {
    let storage = storage();
    let table = create(&storage, clock()).await;
    let adds = table.write_data_files(vec![rows(0..5, 1)], "x").await.unwrap();
    let wanted = vec![Field::new("extra", DataType::Int64, true)];
    open(&storage).await.add_columns(wanted, soon(&table)).await.unwrap();
    let state = table.append(txn("a", 1), None, adds, soon(&table)).await.unwrap();
    assert_eq!((state.version(), state.schema().fields().len()), (2, 4));
    let runs = state.files.values().map(|file| vec![Arc::clone(file)]).collect();
    let read = streams::merged(&storage, &state.location, &FileLayout::of(&state), runs).unwrap();
    let batches: Vec<RecordBatch> = read.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| nulls(batch, "extra")).sum::<usize>(), 5);
}
