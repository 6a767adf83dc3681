//! One Delta table: its newest known state, and how that is brought up to date.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use lakebed_storage::{Location, Mode, Storage};
use lakebed_types::{Clock, Error, ErrorKind, Result};
use parking_lot::RwLock;

use super::{
    checkpoint,
    log::{Kind, Log},
    replay::Replay,
    state::DeltaState,
    unfinished::Unfinished,
};

/// Far less than the time for which a log keeps its versions.
const AWAY: Duration = Duration::from_secs(3600);

/// One Delta table. Shared by all who read and write it in this process, so that they share what they know of its log.
#[derive(Debug)]
pub struct DeltaTable {
    pub(super) storage: Storage,
    pub(super) location: Location,
    pub(super) log: Log,
    pub(super) clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    /// Whoever reads the log holds it; the others wait and take what was read.
    turn: tokio::sync::Mutex<()>,
    /// Readings of the log that have begun.
    begun: AtomicU64,
    /// Commits of this process take turns: against each other they would only lose time.
    pub(super) committing: tokio::sync::Mutex<()>,
    pub(super) unfinished: Unfinished,
}

#[derive(Debug)]
struct Known {
    state: Arc<DeltaState>,
    /// When the last reading that has ended began.
    refreshed: Instant,
    /// The same by the calendar, which goes on while a machine sleeps.
    refreshed_at: DateTime<Utc>,
    /// The number of that reading.
    reading: u64,
}

impl DeltaTable {
    /// Opens the table of a folder: reads its last checkpoint and what came after it, without listing anything.
    ///
    /// # Errors
    /// `table_not_found` where there is no log; `corrupt_file`, `unsupported` for a log that cannot be read, and the
    /// store's errors.
    pub async fn open(storage: &Storage, location: Location, clock: Arc<dyn Clock>) -> Result<Self> {
        let location = location.as_folder();
        let log = Log::new(storage, &location)?;
        let began = clock.instant();
        let state = first_state(storage, &location, &log).await?;
        if storage.check(&location, Mode::ReadWrite).is_ok() {
            // Whoever wrote what was read may have ended before it was sure to stay.
            log.sync().await?;
        }
        Ok(Self::with_state(storage, location, log, clock, state, began))
    }

    pub(super) fn with_state(
        storage: &Storage,
        location: Location,
        log: Log,
        clock: Arc<dyn Clock>,
        state: DeltaState,
        refreshed: Instant,
    ) -> Self {
        let refreshed_at = clock.now();
        Self {
            storage: storage.clone(),
            location,
            log,
            clock,
            known: RwLock::new(Known { state: Arc::new(state), refreshed, refreshed_at, reading: 0 }),
            turn: tokio::sync::Mutex::default(),
            begun: AtomicU64::new(0),
            committing: tokio::sync::Mutex::default(),
            unfinished: Unfinished::default(),
        }
    }

    /// The table's folder.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The newest state that is known. No request.
    pub fn state(&self) -> Arc<DeltaState> {
        Arc::clone(&self.known.read().state)
    }

    /// For how long nobody has looked for newer versions.
    pub fn age(&self) -> Duration {
        let refreshed = self.known.read().refreshed;
        self.clock.instant().saturating_duration_since(refreshed)
    }

    /// Looks for newer versions: one request where there is none. Callers who come while another one reads share the next
    /// reading, so what comes back is never older than the call.
    ///
    /// # Errors
    /// Those of [`DeltaTable::open`].
    pub async fn refresh(&self) -> Result<Arc<DeltaState>> {
        let asked = self.begun.load(Ordering::SeqCst);
        let _turn = self.turn.lock().await;
        {
            let known = self.known.read();
            if known.reading > asked {
                return Ok(Arc::clone(&known.state));
            }
        }
        let reading = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let (began, began_at) = (self.clock.instant(), self.clock.now());
        self.read_on().await?;
        let mut known = self.known.write();
        (known.refreshed, known.refreshed_at, known.reading) = (began, began_at, reading);
        Ok(Arc::clone(&known.state))
    }

    /// Reads the versions after the known one.
    async fn read_on(&self) -> Result<()> {
        let state = self.state();
        if self.was_away() && self.log.last_checkpoint().await?.is_some_and(|last| last.version > state.version) {
            // The versions after ours may have been removed, and none where the next one was looks like none yet.
            self.install(first_state(&self.storage, &self.location, &self.log).await?);
            return Ok(());
        }
        // Mostly there is none, seldom one, and more than that after a long time only.
        let Some(actions) = self.log.commit(state.version + 1).await? else { return Ok(()) };
        let mut replay = Replay::after(&state);
        replay.apply(state.version + 1, actions);
        for (version, actions) in self.log.commits(state.version + 2..).await? {
            replay.apply(version, actions);
        }
        self.install(replay.finish(&self.storage, &self.location).await?);
        Ok(())
    }

    /// Whether nobody has looked for so long that the log may have been cleaned meanwhile, or the clock was set back.
    fn was_away(&self) -> bool {
        let away = self.clock.now() - self.known.read().refreshed_at;
        away < TimeDelta::zero() || away > TimeDelta::from_std(AWAY).unwrap_or_default()
    }

    /// Takes a state as the newest, unless a newer one is known. The newest that is known then.
    pub(super) fn install(&self, state: DeltaState) -> Arc<DeltaState> {
        let mut known = self.known.write();
        if state.version > known.state.version {
            known.state = Arc::new(state);
        }
        Arc::clone(&known.state)
    }

    /// Replaces the state of this very version: with less to remember, or a later checkpoint.
    pub(super) fn replace(&self, state: DeltaState) {
        let mut known = self.known.write();
        if state.version == known.state.version {
            known.state = Arc::new(state);
        }
    }
}

async fn first_state(storage: &Storage, location: &Location, log: &Log) -> Result<DeltaState> {
    let hint = log.last_checkpoint().await?;
    let hinted = match &hint {
        Some(hint) => checkpoint::read_hinted(log, hint).await?,
        None => None,
    };
    let replay = match hinted {
        Some(replay) => onward(log, replay).await?,
        None if hint.is_none() => onward(log, beginning(location, log).await?).await?,
        None => without_hint(location, log).await?,
    };
    replay.finish(storage, location).await
}

/// Takes in the versions after this one.
async fn onward(log: &Log, mut replay: Replay) -> Result<Replay> {
    for (version, actions) in log.commits(replay.version() + 1..).await? {
        replay.apply(version, actions);
    }
    Ok(replay)
}

/// From what there is beside a checkpoint that cannot be read. The versions that it stands for may have been removed, and
/// those before a gap are not the table.
async fn without_hint(location: &Location, log: &Log) -> Result<Replay> {
    let listed = log.files().await?;
    let newest = listed.iter().filter(|file| file.kind != Kind::Other).map(|file| file.version).max();
    let is_whole = |replay: &Replay| newest.is_none_or(|newest| replay.version() >= newest);
    let replay = onward(log, beginning(location, log).await?).await?;
    if is_whole(&replay) {
        return Ok(replay);
    }
    let from_another = match checkpoint::read_newest(log).await? {
        Some(replay) => Some(onward(log, replay).await?),
        None => None,
    };
    from_another.filter(is_whole).ok_or_else(|| {
        let text = format!("the newest checkpoint of {location} cannot be read, and its log has a gap without it");
        Error::new(ErrorKind::CorruptFile, text)
            .with_hint("Bring the checkpoint back, or the versions that it stands for.")
    })
}

/// The first version; where it was removed, the newest checkpoint that stands for it, which the hint does not know of.
async fn beginning(location: &Location, log: &Log) -> Result<Replay> {
    if let Some(first) = log.commit(0).await? {
        let mut replay = Replay::default();
        replay.apply(0, first);
        return Ok(replay);
    }
    checkpoint::read_newest(log).await?.ok_or_else(|| {
        Error::new(ErrorKind::TableNotFound, format!("{location} is no Delta table, or its log has no beginning"))
    })
}
