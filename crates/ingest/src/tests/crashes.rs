//! A crash, an error and a panic at each moment that matters: what was acknowledged is there once, and what is sent
//! again with its key is there once.
//!
//! The moments on the way of a row, and the tests that stop there. Those named without a place are in this file; `windows`,
//! `basics`, `cleaning`, `merging`, `leases` and `faults` are the tests of `delta` in the crate of tables, which stop at
//! each object that is written, by an error, a lost answer, both kinds of refusal and a panic before and after it.
//!
//! | moment | tests |
//! |---|---|
//! | before the log's fsync | `before_sync` |
//! | after it, the answer is lost | `after_sync`; the same key again: each test here sends all once more |
//! | the fsync fails | `the_first_failed_sync_is_the_last_acknowledgement`, `a_full_disk_passes_by_itself` |
//! | torn end, damage in the middle | `log::tests`: every cut and every bit of a small log |
//! | a new log file, its name not on the disk | `file_created`; a file to delete: `before_delete` |
//! | files of a flush under way, none committed | `files_written`, `windows::the_file_of_a_flush`; parts of a large file: `delta::upload` |
//! | the log names them, no commit | `intent_written` |
//! | the commit's answer is lost, or it lands late | `windows::the_commit_of_a_flush`, `faults` |
//! | refused because of our own first attempt, or for nothing | the same |
//! | committed, and what comes after fails | `windows::the_checkpoint`, `windows::the_hint_to_the_checkpoint`, `a_checkpoint_that_is_broken_off` |
//! | committed, rows still in memory and log | `committed` |
//! | two processes, one log | `a_second_process_says_so_and_stops` |
//! | a flush of an earlier life lands late | `basics::rows_that_an_earlier_attempt_holds_are_not_added_again` |
//! | two merges of a day | `merging::of_two_merges_at_once_one_counts`, `leases` |
//! | a merge, before, at and after its commit | `windows::the_file_of_a_merge`, `windows::the_commit_of_a_merge`, `merged` |
//! | rows removed while they are merged | `windows::rows_that_are_removed_while_they_are_merged_stay_removed` |
//! | vacuum and a slow flush | `basics::vacuum_leaves_what_is_used_and_what_is_young`, `basics::files_that_a_restart_commits_are_left_by_vacuum_meanwhile` |
//! | columns between rows and commit | `columns_added`, `windows::columns_that_come_between_the_files_and_their_commit_are_null_in_them` |
//! | old versions of the log are removed | `cleaning`, `a_checkpoint_that_is_broken_off` |
//! | the disk with the log is gone | no test: rows since the last flush are gone with it, unless they were sent with `ack=lake` |

use std::{
    collections::BTreeSet,
    io,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use super::world::{Node, World, event_rules, events, freeze, once, table, wait_for};
use crate::{Ack, AppendOptions, Faults, IngestSettings, NoFaults, TableRules, Unknown, Window};

/// What happens at a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    /// The disk is kept as it is at this moment: that of a killed process.
    Crash,
    Error,
    Panic,
}

/// Something happens at the `nth` time of a window.
#[derive(Debug)]
struct At {
    window: Window,
    nth: u32,
    happening: Happening,
    world: PathBuf,
    passed: AtomicU32,
    happened: AtomicBool,
    /// What had been acknowledged by then.
    acknowledged: Arc<Mutex<BTreeSet<i64>>>,
    kept: Mutex<BTreeSet<i64>>,
}

impl At {
    fn new(
        world: &World,
        window: Window,
        nth: u32,
        happening: Happening,
        acknowledged: &Arc<Mutex<BTreeSet<i64>>>,
    ) -> Self {
        Self {
            window,
            nth,
            happening,
            world: world.path().to_owned(),
            passed: AtomicU32::new(0),
            happened: AtomicBool::new(false),
            acknowledged: acknowledged.clone(),
            kept: Mutex::default(),
        }
    }
}

impl Faults for At {
    fn at(&self, window: Window) -> Result<()> {
        if window != self.window || self.passed.fetch_add(1, Ordering::SeqCst) + 1 != self.nth {
            return Ok(());
        }
        self.happened.store(true, Ordering::SeqCst);
        *self.kept.lock() = self.acknowledged.lock().clone();
        match self.happening {
            Happening::Crash => {
                freeze(&self.world);
                Ok(())
            }
            Happening::Error => Err(Error::new(ErrorKind::StoreFailed, "the test says no")),
            Happening::Panic => panic!("the test says no"),
        }
    }
}

const BATCHES: i64 = 12;
const ROWS: i64 = 10;

/// Batch `number`, with its own key.
async fn send(node: &Node, number: i64, ack: Ack) -> Result<crate::Receipt> {
    let ids = number * ROWS..(number + 1) * ROWS;
    let options = AppendOptions { ack, idempotency_key: Some(format!("batch {number}")), ..AppendOptions::default() };
    if number % 4 == 3 {
        // Brings a new column.
        let text: String = ids.map(|id| format!("{{\"id\":{id},\"extra{number}\":true}}\n")).collect();
        return node.append(super::world::ndjson(text), options).await;
    }
    node.append(events(ids, 1 + u32::try_from(number % 3).unwrap()), options).await
}

/// Sends all batches with flushes among them. Goes on after errors, as clients do.
async fn run(node: &Node, acknowledged: &Mutex<BTreeSet<i64>>) {
    for number in 0..BATCHES {
        let ack = if number % 5 == 4 { Ack::Lake } else { Ack::Wal };
        // A panic ends a request, and the server goes on.
        if matches!(AssertUnwindSafe(send(node, number, ack)).catch_unwind().await, Ok(Ok(_))) {
            acknowledged.lock().extend(number * ROWS..(number + 1) * ROWS);
        }
        if number % 3 == 2 {
            drop(node.flush().await);
        }
        if number % 6 == 5 {
            let (who, name) = (Principal::local(), table("events"));
            drop(AssertUnwindSafe(node.service.merge(&who, &name, None)).catch_unwind().await);
        }
    }
}

async fn try_out(window: Window, nth: u32, happening: Happening) {
    let world = World::new();
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let faults = Arc::new(At::new(&world, window, nth, happening, &acknowledged));
    // The table is there before, so that what happens happens to rows.
    let node = world.start().await;
    node.make_events(TableRules { unknown: Unknown::Add, ..event_rules() }).await;
    node.stop().await;
    let node = world.start_with_faults(faults.clone()).await;
    run(&node, &acknowledged).await;
    assert!(faults.happened.load(Ordering::SeqCst), "{window:?} was never passed {nth} times");
    node.stop().await;
    let promised = match happening {
        Happening::Crash => {
            world.thaw();
            faults.kept.lock().clone()
        }
        Happening::Error | Happening::Panic => acknowledged.lock().clone(),
    };
    let node = world.start().await;
    let there = node.ids().await;
    assert!(there.values().all(|times| *times == 1), "{window:?} {nth} {happening:?}: twice in {there:?}");
    let missing: Vec<_> = promised.iter().filter(|id| !there.contains_key(id)).collect();
    assert!(missing.is_empty(), "{window:?} {nth} {happening:?}: acknowledged and gone: {missing:?}");
    for number in 0..BATCHES {
        send(&node, number, Ack::Wal).await.unwrap();
    }
    assert_eq!(node.ids().await, once(0..BATCHES * ROWS), "{window:?} {nth} {happening:?}: after all was sent again");
    node.flush().await.unwrap();
    assert_eq!(node.ids().await, once(0..BATCHES * ROWS), "{window:?} {nth} {happening:?}: after a flush");
    node.stop().await;
}

macro_rules! windows {
    ($($name:ident = $window:ident),* $(,)?) => {
        $(mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn a_crash_loses_and_doubles_nothing() {
                for nth in [1, 2] {
                    try_out(Window::$window, nth, Happening::Crash).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn an_error_loses_and_doubles_nothing() {
                try_out(Window::$window, 2, Happening::Error).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_panic_loses_and_doubles_nothing() {
                try_out(Window::$window, 1, Happening::Panic).await;
            }
        })*
    };
}

windows! {
    before_sync = BeforeSync,
    after_sync = AfterSync,
    file_created = FileCreated,
    files_written = FilesWritten,
    intent_written = IntentWritten,
    committed = Committed,
    before_delete = BeforeDelete,
    columns_added = ColumnsAdded,
    merged = Merged,
}

/// A checkpoint every two versions, and the log is cleaned after it.
async fn broken_off_checkpoint(happening: Happening) {
    let world = World::new();
    world.to_machine_time(Duration::from_secs(31 * 24 * 3600));
    let faults = Arc::new(At::new(&world, Window::Checkpointed, 1, happening, &Arc::default()));
    let settings = |faults: Arc<dyn Faults>| IngestSettings { checkpoint_every: 2, faults, ..world.settings() };
    let node = world.start_with(settings(faults.clone())).await.unwrap();
    node.make_events(event_rules()).await;
    for number in 0..3 {
        send(&node, number, Ack::Lake).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(61));
    node.service.tick().await;
    wait_for(async || faults.happened.load(Ordering::SeqCst)).await;
    // The next one is due once there are two more versions.
    for number in 4..6 {
        send(&node, number, Ack::Lake).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(61));
    // The broken one may still be on its way out.
    wait_for(async || {
        node.service.tick().await;
        node.versions().await.iter().all(|version| *version >= 3)
    })
    .await;
    let there = node.ids().await;
    assert!(there.len() == 50 && there.values().all(|times| *times == 1), "{happening:?}: {there:?}");
    node.stop().await;
    if happening == Happening::Crash {
        world.thaw();
    }
    let node = world.start_with(settings(Arc::new(NoFaults))).await.unwrap();
    let there = node.ids().await;
    assert!(there.values().all(|times| *times == 1) && (0..30).all(|id| there.contains_key(&id)), "{there:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_broken_off() {
    for happening in [Happening::Crash, Happening::Error, Happening::Panic] {
        broken_off_checkpoint(happening).await;
    }
}

/// The `nth` sync or write fails, with an error of this kind.
#[derive(Debug)]
struct BadDisk {
    kind: io::ErrorKind,
    of_writes: bool,
    from: u32,
    times: u32,
    passed: AtomicU32,
}

impl BadDisk {
    fn new(kind: io::ErrorKind, of_writes: bool, from: u32, times: u32) -> Arc<Self> {
        Arc::new(Self { kind, of_writes, from, times, passed: AtomicU32::new(0) })
    }

    fn pass(&self) -> io::Result<()> {
        let number = self.passed.fetch_add(1, Ordering::SeqCst);
        match (self.from..self.from.saturating_add(self.times)).contains(&number) {
            true => Err(self.kind.into()),
            false => Ok(()),
        }
    }
}

impl Faults for BadDisk {
    fn at(&self, _: Window) -> Result<()> {
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        if self.of_writes { self.pass() } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        if self.of_writes { Ok(()) } else { self.pass() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_failed_sync_is_the_last_acknowledgement() {
    let world = World::new();
    let node = world.start_with_faults(BadDisk::new(io::ErrorKind::Other, false, 1, 1)).await;
    node.make_events(event_rules()).await;
    send(&node, 0, Ack::Wal).await.unwrap();
    assert_eq!(send(&node, 1, Ack::Wal).await.unwrap_err().kind(), ErrorKind::DiskFailed);
    // The disk works again, and is not believed.
    let error = send(&node, 2, Ack::Wal).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(node.service.failure().unwrap().kind(), ErrorKind::Unavailable);
    assert_eq!(node.ids().await, once(0..10), "rows that are not acknowledged are not seen");
    node.stop().await;
    let node = world.start().await;
    for number in 0..3 {
        send(&node, number, Ack::Wal).await.unwrap();
    }
    assert_eq!(node.ids().await, once(0..30));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_passes_by_itself() {
    let world = World::new();
    let node = world.start_with_faults(BadDisk::new(io::ErrorKind::StorageFull, true, 1, 2)).await;
    node.make_events(event_rules()).await;
    send(&node, 0, Ack::Wal).await.unwrap();
    let mut refused = 0;
    // A flush that wants to make room is refused by the disk, too.
    while let Err(error) = send(&node, 1, Ack::Wal).await {
        assert_eq!(error.kind(), ErrorKind::IngestBusy, "{error:?}");
        assert!(error.retry_after().is_some());
        refused += 1;
    }
    assert!((1..=2).contains(&refused), "{refused}");
    assert_eq!(node.ids().await, once(0..20));
    node.stop().await;
    let node = world.start().await;
    assert_eq!(node.ids().await, once(0..20));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_says_so_and_stops() {
    let world = World::new();
    let node = world.start().await;
    let settings = world.settings();
    let catalog = node.catalog.clone();
    let second = crate::IngestService::open(settings, catalog, node.buffers.clone(), world.clock.clone()).await;
    let error = second.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("uses the write-ahead log"), "{error:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_moved_away_does_not_reuse_positions() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    send(&node, 0, Ack::Wal).await.unwrap();
    node.flush().await.unwrap();
    node.stop().await;
    for file in std::fs::read_dir(world.path().join("wal")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let node = world.start().await;
    send(&node, 1, Ack::Wal).await.unwrap();
    assert_eq!(node.ids().await, once(0..20));
    node.flush().await.unwrap();
    assert_eq!(node.ids().await, once(0..20));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_larger_than_memory_is_read_back() {
    let world = World::new();
    let node = world.start().await;
    node.make_events(event_rules()).await;
    for number in [0, 1, 2, 4, 5, 6, 8, 9, 10] {
        send(&node, number, Ack::Wal).await.unwrap();
    }
    freeze(world.path());
    node.stop().await;
    world.thaw();
    let settings = crate::IngestSettings { buffer_bytes: 1024, ..world.settings() };
    let node = world.start_with(settings).await.unwrap();
    let there = node.ids().await;
    assert!(there.values().all(|times| *times == 1) && there.len() == 90, "{there:?}");
    assert!(node.service.status()[0].buffered_bytes <= 1024, "{:?}", node.service.status());
    node.stop().await;
}
