//! The objects of the log: one per version, never changed once it is there.

use std::{
    ops::RangeFrom,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_storage::{Location, Storage, classify};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use serde::Deserialize;

use super::{
    action::Action,
    backoff::{Backoff, random},
    durable,
};

/// Attempts at reading one object of the log.
const READ_ATTEMPTS: u32 = 4;
/// Versions that are asked for at once while a log is read for the first time.
const READ_AHEAD: i64 = 8;
/// A commit or checkpoint beyond this is refused: the whole of it would have to be in memory.
const MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Ends the names of files that are about to become part of a log on a local disk.
pub(super) const STAGED: &str = ".tmp";

/// The log of one table.
#[derive(Debug, Clone)]
pub(super) struct Log {
    store: Arc<dyn ObjectStore>,
    folder: Location,
    /// A name in the folder could not be brought to the disk, so nothing that is read there is sure to stay.
    is_broken: Arc<AtomicBool>,
}

/// What `_last_checkpoint` says.
#[derive(Debug, Deserialize)]
pub(super) struct LastCheckpoint {
    pub(super) version: i64,
    #[serde(default)]
    pub(super) parts: Option<u32>,
}

/// An object of the log, by its name.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) version: i64,
    pub(super) kind: Kind,
    pub(super) meta: ObjectMeta,
}

/// What an object of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A version.
    Commit,
    /// A checkpoint, or one of its parts.
    Checkpoint { parts: u32 },
    /// What other programs write beside a version: checksums.
    Other,
}

impl LogFile {
    /// None for names that are no version's.
    pub(super) fn of(meta: ObjectMeta, folder: &Path) -> Option<Self> {
        let location = meta.location.clone();
        let mut below = location.prefix_match(folder)?;
        let (name, None) = (below.next()?, below.next()) else { return None };
        let (digits, kind) = name.as_ref().split_once('.')?;
        if digits.len() != 20 {
            return None;
        }
        let version = digits.parse().ok()?;
        let kind = match kind.split('.').collect::<Vec<_>>()[..] {
            ["json"] => Kind::Commit,
            ["crc"] => Kind::Other,
            ["checkpoint", "parquet"] => Kind::Checkpoint { parts: 1 },
            ["checkpoint", _, parts, "parquet"] => Kind::Checkpoint { parts: parts.parse().ok()? },
            _ => return None,
        };
        Some(Self { version, kind, meta })
    }
}

impl Log {
    /// The log of the table in this folder.
    pub(super) fn new(storage: &Storage, table: &Location) -> Result<Self> {
        let folder = table.child("_delta_log/")?;
        Ok(Self { store: storage.store(&folder)?, folder, is_broken: Arc::default() })
    }

    /// The place of one of its objects.
    pub(super) fn object(&self, name: &str) -> Result<Location> {
        self.folder.child(name)
    }

    /// The actions of a version; None where it is not there yet.
    pub(super) async fn commit(&self, version: i64) -> Result<Option<Vec<Action>>> {
        let name = commit_name(version);
        let location = self.object(&name)?;
        match self.read(&name).await? {
            Some(bytes) => parse(&bytes, &location).map(Some),
            None => Ok(None),
        }
    }

    /// The versions from here on, in their order. Asks for several at once where there is one.
    pub(super) async fn commits(&self, versions: RangeFrom<i64>) -> Result<Vec<(i64, Vec<Action>)>> {
        let mut found = Vec::new();
        let mut next = versions.start;
        loop {
            let ahead = if found.is_empty() { 1 } else { READ_AHEAD };
            let some = stream::iter(next..next + ahead).map(|version| self.commit(version));
            let some: Vec<Option<Vec<Action>>> = some.buffered(READ_AHEAD as usize).try_collect().await?;
            for actions in some {
                let Some(actions) = actions else { return Ok(found) };
                found.push((next, actions));
                next += 1;
            }
        }
    }

    /// Creates a version. Fails with `already_exists` where it is there, which may be our own earlier attempt; any other
    /// error says nothing of whether it is there. On a local disk it is there as a whole and to stay, or `disk_failed`.
    pub(super) async fn create_commit(&self, version: i64, actions: &[Action]) -> Result<()> {
        let mut body = Vec::new();
        for action in actions {
            let written = serde_json::to_writer(&mut body, action);
            written.map_err(|error| Error::internal("a commit cannot be written as JSON").with_source(error))?;
            body.push(b'\n');
        }
        let location = self.object(&commit_name(version))?;
        if location.is_local() {
            let staged = self.staged(&location, body).await?;
            let linked = self.store.copy_if_not_exists(staged.path(), location.path()).await;
            self.discard(&staged).await;
            linked.map_err(|error| classify(error, &location))?;
            return self.named(&location).await;
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.store.put_opts(location.path(), Bytes::from(body).into(), options).await;
        put.map(drop).map_err(|error| classify(error, &location))
    }

    /// Writes an object of the log that may be there.
    pub(super) async fn overwrite(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let location = self.object(name)?;
        if location.is_local() {
            let staged = self.staged(&location, bytes).await?;
            if let Err(error) = self.store.rename(staged.path(), location.path()).await {
                self.discard(&staged).await;
                return Err(classify(error, &location));
            }
            return self.named(&location).await;
        }
        let put = self.store.put(location.path(), Bytes::from(bytes).into()).await;
        put.map(drop).map_err(|error| classify(error, &location))
    }

    /// On a local disk: what is to become an object, under a name that nobody reads, and on the disk. A name that is given
    /// before that would stand for an empty file after a power cut.
    async fn staged(&self, location: &Location, bytes: Vec<u8>) -> Result<Location> {
        self.whole()?;
        let staged = self.object(&format!(".{}.{:016x}{STAGED}", location.file_name(), random()))?;
        let put = self.store.put(staged.path(), Bytes::from(bytes).into()).await;
        let synced = match put {
            Ok(_) => durable::sync_file(&staged).await,
            Err(error) => Err(classify(error, location)),
        };
        if let Err(error) = synced {
            self.discard(&staged).await;
            return Err(error);
        }
        Ok(staged)
    }

    /// What stays is removed by vacuum.
    async fn discard(&self, staged: &Location) {
        if let Err(error) = self.store.delete(staged.path()).await {
            tracing::debug!(%staged, ?error, "a file that was to become part of a log is left over");
        }
    }

    /// Brings a name to the disk that was just given.
    async fn named(&self, location: &Location) -> Result<()> {
        let synced = durable::sync_names(location).await;
        self.is_broken.fetch_or(synced.is_err(), Ordering::AcqRel);
        synced
    }

    /// Brings to the disk what other processes may have written last. Nothing to do where the log is not on a local one.
    pub(super) async fn sync(&self) -> Result<()> {
        self.whole()?;
        let synced = durable::sync_folder(&self.folder).await;
        self.is_broken.fetch_or(synced.is_err(), Ordering::AcqRel);
        synced
    }

    /// A disk says once that it has failed, and forgets what it could not write.
    fn whole(&self) -> Result<()> {
        if !self.is_broken.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::DiskFailed, format!("the disk of {} has failed before", self.folder))
            .with_hint("Look after the disk, and start the node again."))
    }

    /// What lies in the log's folder, in no order.
    pub(super) async fn files(&self) -> Result<Vec<LogFile>> {
        let listed = self.store.list(Some(self.folder.path()));
        let files = listed.try_filter_map(|meta| std::future::ready(Ok(LogFile::of(meta, self.folder.path()))));
        files.try_collect().await.map_err(|error| classify(error, &self.folder))
    }

    /// Where the newest checkpoint is, as far as the hint knows.
    pub(super) async fn last_checkpoint(&self) -> Result<Option<LastCheckpoint>> {
        let Some(bytes) = self.read("_last_checkpoint").await? else { return Ok(None) };
        // A hint only: one that cannot be read is none.
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// The whole of an object; None where it is not there. Reads again where the body ends too early or the store fails.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let location = self.object(name)?;
        let mut backoff = Backoff::default();
        loop {
            match self.read_once(&location).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if error.kind() == ErrorKind::ObjectNotFound => return Ok(None),
                Err(error) if !is_passing(&error) || backoff.attempts() + 1 >= READ_ATTEMPTS => return Err(error),
                Err(_) => backoff.wait().await,
            }
        }
    }

    async fn read_once(&self, location: &Location) -> Result<Bytes> {
        let failed = |error| classify(error, location);
        let found = self.store.get(location.path()).await.map_err(failed)?;
        let size = found.meta.size;
        if size > MAX_BYTES {
            return Err(Error::new(ErrorKind::CorruptFile, format!("{location} has {size} bytes")));
        }
        let bytes = found.bytes().await.map_err(failed)?;
        match bytes.len() as u64 == size {
            true => Ok(bytes),
            false => Err(Error::new(ErrorKind::StoreUnreachable, format!("{location} came with too few bytes"))),
        }
    }
}

/// Whether the same request may succeed in a moment.
pub(super) fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StoreUnreachable | ErrorKind::StoreFailed | ErrorKind::DiskFailed)
}

fn parse(bytes: &[u8], location: &Location) -> Result<Vec<Action>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let line = |line: &[u8]| {
        serde_json::from_slice(line).map_err(|error| {
            Error::new(ErrorKind::CorruptFile, format!("{location} is no commit of a Delta log: {error}"))
                .with_source(error)
        })
    };
    lines.map(line).collect()
}

fn commit_name(version: i64) -> String {
    format!("{version:020}.json")
}
