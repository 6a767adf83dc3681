//! What goes wrong with requests, drawn from a seed.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{Hash, Hasher},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use object_store::{Error, Result};
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

pub(crate) const ON_WRITES: &[Fault] = &[Fault::Refused, Fault::Busy, Fault::AnswerLost, Fault::Slow];

/// How long `Slow` is.
pub(crate) const SLOW: Duration = Duration::from_millis(3);

/// What goes wrong depends on the seed, the request and how often it was sent before, not on the order of requests.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) seed: u64,
    /// Of 1,000 requests, so many go wrong.
    per_mille: AtomicU32,
    /// Every request is refused.
    stopped: AtomicBool,
    sent: Mutex<HashMap<u64, u64>>,
    happened: Mutex<BTreeMap<Fault, usize>>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            per_mille: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            sent: Mutex::default(),
            happened: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, per_mille: u32) {
        self.per_mille.store(per_mille, Ordering::SeqCst);
    }

    pub(crate) fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }

    pub(crate) fn happened(&self) -> BTreeMap<Fault, usize> {
        self.happened.lock().clone()
    }

    pub(crate) fn draw(&self, faults: &[Fault], request: impl Hash) -> Option<Fault> {
        if self.stopped.load(Ordering::SeqCst) {
            return Some(Fault::Refused);
        }
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
    pub(crate) async fn meet(&self, fault: Option<Fault>) -> Result<()> {
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

pub(crate) fn failed(text: &str) -> Error {
    Error::Generic { store: "faulty", source: text.into() }
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
