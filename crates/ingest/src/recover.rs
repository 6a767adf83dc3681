//! After a start: what the log has and the lake has not goes back to memory, and flushes that were cut off are finished.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lakebed_storage::Location;
use lakebed_types::{Error, ErrorKind, Result, TableName};
use tokio::sync::mpsc;

use crate::{
    flush,
    inner::{Inner, Recovery},
    log::{self, Cut, Intent, KeptKey, Log, LogFolder, LogStart, Record, TrackedFile},
    size::bytes_of,
    table::IngestTable,
};

/// Records that are read ahead.
const READ_AHEAD: usize = 4;
/// Between two attempts at a store that does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// A file of an earlier run that has been checked.
#[derive(Debug)]
pub(crate) struct CheckedFile {
    path: PathBuf,
    bytes: u64,
}

/// Checks every file before anything is done. Takes a pass over the log; blocks.
///
/// # Errors
/// `corrupt_file` with a way out, `disk_failed`.
pub(crate) fn check(folder: &LogFolder, faults: &Arc<dyn crate::Faults>) -> Result<Vec<CheckedFile>> {
    let files = folder.files()?;
    let last = files.len().saturating_sub(1);
    let mut checked = Vec::with_capacity(files.len());
    for (index, (_, path)) in files.into_iter().enumerate() {
        let cut = if index == last { Cut::TornTail } else { Cut::Nothing };
        let scanned = log::scan(&path, cut, faults.clone())?;
        if scanned.cut > 0 {
            tracing::warn!(path = %path.display(), bytes = scanned.cut, "cut off a record that was never complete");
        }
        match scanned.bytes {
            0 => remove(&path)?,
            bytes => checked.push(CheckedFile { path, bytes }),
        }
    }
    folder.sync()?;
    Ok(checked)
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|cause| {
        Error::new(ErrorKind::DiskFailed, format!("deleting {} failed: {cause}", path.display())).with_source(cause)
    })
}

/// Reads the log in the background, and opens it for new rows then.
pub(crate) fn begin(inner: Arc<Inner>, folder: LogFolder, files: Vec<CheckedFile>) {
    tokio::spawn(async move {
        let outcome = recover(&inner, folder, files).await;
        let recovery = match outcome {
            Ok(()) => Recovery::Done,
            Err(error) => {
                tracing::error!(?error, "the write-ahead log cannot be read; no rows are taken");
                Recovery::Failed(error.message().to_owned())
            }
        };
        inner.recovery.send_replace(recovery);
    });
}

async fn recover(inner: &Arc<Inner>, folder: LogFolder, files: Vec<CheckedFile>) -> Result<()> {
    let mut replay = Replay { inner, intents: HashMap::new(), last_lsn: 0, rows: 0, dropped: HashMap::new() };
    let mut tracked = Vec::with_capacity(files.len());
    for file in files {
        tracked.push(replay.file(file).await?);
    }
    replay.finish_flushes().await?;
    let committed = inner.tables.all().iter().map(|table| table.flushed_lsn()).max().unwrap_or(0);
    let next_lsn = replay.last_lsn.max(committed) + 1;
    if replay.rows > 0 {
        tracing::info!(rows = replay.rows, next_lsn, "rows of the last run are back");
    }
    for (table, rows) in &replay.dropped {
        tracing::warn!(%table, rows, "the log has rows of a table that is no longer there; they are given up");
    }
    let shut = inner.shut.lock().clone();
    for file in &mut tracked {
        file.settle(|table| match shut.contains_key(table) {
            true => 0,
            false => inner.tables.get(table).map_or(u64::MAX, |table| table.flushed_lsn()),
        });
    }
    start_log(inner, folder, tracked, next_lsn)?;
    // What a flush has committed since then, the log was not there to be told.
    for table in inner.tables.all() {
        if let Some(log) = inner.log.get() {
            log.flushed(&table.name, table.flushed_lsn()).await;
        }
    }
    Ok(())
}

fn start_log(inner: &Arc<Inner>, folder: LogFolder, files: Vec<TrackedFile>, next_lsn: u64) -> Result<()> {
    let (keys, clock) = (inner.keys.clone(), inner.clock.clone());
    let preamble = move || {
        let pieces = keys.pieces(clock.now());
        pieces.into_iter().filter_map(|piece| Record::Keys(piece).encode().ok()).collect()
    };
    let log = Log::start(LogStart {
        folder,
        files,
        next_lsn,
        file_bytes: inner.settings.wal_file_bytes,
        preamble: Box::new(preamble),
        faults: inner.settings.faults.clone(),
        clock: inner.clock.clone(),
    })?;
    inner.log.set(log).map_err(|_| Error::internal("the log was opened twice"))
}

/// Whether it may be over by the next attempt, without anybody doing anything about this one table.
fn passes(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StoreUnreachable
            | ErrorKind::StoreFailed
            | ErrorKind::StoreTokenExpired
            | ErrorKind::Unavailable
            | ErrorKind::DeadlineExceeded
    )
}

/// What has become of the table that rows were for.
enum Found {
    Open(Arc<IngestTable>),
    /// The catalog no longer has it, or another one by its name.
    Dropped,
    /// It cannot be opened, and its rows stay in the log.
    Shut,
}

struct Replay<'a> {
    inner: &'a Arc<Inner>,
    /// The last one of each table: earlier ones have landed, or were given up.
    intents: HashMap<TableName, Intent>,
    last_lsn: u64,
    rows: u64,
    /// Rows of tables that are gone.
    dropped: HashMap<TableName, u64>,
}

impl Replay<'_> {
    /// Reads one file record by record; at no time more than a few records of it are in memory.
    async fn file(&mut self, file: CheckedFile) -> Result<TrackedFile> {
        let mut tracked = TrackedFile::new(file.path.clone(), file.bytes);
        let (sender, mut records) = mpsc::channel(READ_AHEAD);
        let faults = self.inner.settings.faults.clone();
        let reading = tokio::task::spawn_blocking(move || {
            log::read(&file.path, faults, |lsn, record| Ok(sender.blocking_send((lsn, record)).is_ok()))
        });
        while let Some((lsn, record)) = records.recv().await {
            if lsn <= self.last_lsn {
                let message = format!("the write-ahead log has position {lsn} after {}", self.last_lsn);
                return Err(Error::new(ErrorKind::CorruptFile, message));
            }
            self.last_lsn = lsn;
            self.record(lsn, record, &mut tracked).await?;
        }
        reading.await.map_err(|error| Error::internal("reading the log was given up").with_source(error))??;
        Ok(tracked)
    }

    async fn record(&mut self, lsn: u64, record: Record, tracked: &mut TrackedFile) -> Result<()> {
        match record {
            Record::Keys(keys) => keys.into_iter().for_each(|key| self.inner.keys.keep(key)),
            Record::Intent(intent) => {
                tracked.needs(&intent.table, intent.upto);
                self.intents.insert(intent.table.clone(), intent);
            }
            Record::Rows(rows) => {
                for part in rows.parts {
                    let rows = part.batch.num_rows() as u64;
                    let found = self.table(&part.table, &part.table_id).await?;
                    if matches!(found, Found::Dropped) {
                        *self.dropped.entry(part.table).or_default() += rows;
                        continue;
                    }
                    tracked.needs(&part.table, lsn);
                    let Found::Open(table) = found else { continue };
                    if lsn > table.flushed_lsn() {
                        self.rows += rows;
                        let bytes = bytes_of(&part.batch);
                        table.buffer.push(lsn, part.batch, bytes);
                    }
                }
                if let Some(key) = rows.key {
                    self.inner.keys.keep(KeptKey { lsn, ..key });
                }
                self.make_room().await;
            }
        }
        Ok(())
    }

    /// The table that rows were for. Waits for a store that does not answer.
    async fn table(&self, name: &TableName, id: &str) -> Result<Found> {
        let of = |table: Arc<IngestTable>| if table.id == id { Found::Open(table) } else { Found::Dropped };
        if self.inner.shut.lock().contains_key(name) {
            return Ok(Found::Shut);
        }
        if let Some(table) = self.inner.tables.get(name) {
            return Ok(of(table));
        }
        loop {
            let error = match self.inner.open_table(name).await {
                Ok(table) => return Ok(of(table)),
                Err(error) => error,
            };
            if passes(error.kind()) {
                tracing::warn!(table = %name, ?error, "a table of the log cannot be opened yet");
            } else {
                // That there is nothing at its place does not mean that it was dropped: a disk may not be mounted.
                match self.inner.is_declared(name).await {
                    Ok(true) => return Ok(self.shut(name, &error)),
                    Ok(false) => return Ok(Found::Dropped),
                    Err(error) => tracing::warn!(table = %name, ?error, "the catalog does not say whether it is there"),
                }
            }
            if self.inner.is_closing() {
                return Err(error);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Leaves a table's rows in the log, so that the other tables can go on.
    fn shut(&self, name: &TableName, error: &Error) -> Found {
        tracing::error!(
            table = %name,
            ?error,
            hint = error.hint(),
            "a table cannot be opened: its rows stay in the log, and it takes no others; repair it and restart the \
             server, or drop it if its rows may be lost"
        );
        self.inner.shut.lock().insert(name.clone(), error.message().to_owned());
        Found::Shut
    }

    /// A log may have more rows than fit in memory: what is there is flushed while reading goes on, and reading waits for
    /// it where memory is full.
    async fn make_room(&self) {
        let limit = self.inner.settings.buffer_bytes;
        if self.inner.buffers.bytes() > limit / 2 {
            self.inner.flush_soon();
        }
        while self.inner.buffers.bytes() > limit && !self.inner.is_closing() {
            let mut tables = self.inner.tables.all();
            tables.sort_by_key(|table| std::cmp::Reverse(table.buffer.bytes()));
            let mut any = false;
            // One that cannot be flushed must not keep the others from it.
            for table in tables.iter().filter(|table| table.buffer.rows() > 0) {
                match flush::flush(self.inner, table).await {
                    Ok(_) => any = true,
                    Err(error) => {
                        tracing::warn!(table = %table.name, ?error, "rows of the last run cannot be flushed yet");
                    }
                }
            }
            if !any {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Commits the files that a flush had written when it was cut off, unless they are in already.
    async fn finish_flushes(&mut self) -> Result<()> {
        for (name, intent) in std::mem::take(&mut self.intents) {
            let Found::Open(table) = self.table(&name, &intent.table_id).await? else { continue };
            // Its fate is not known until the commit is: nothing else of these rows is committed before.
            let mut pending = table.flushing.lock().await;
            // They hold the rows after `after`: where the table is further, it has some of them by another way.
            if table.flushed_lsn() != intent.after || !self.all_there(&table, &intent).await? {
                continue;
            }
            *pending = Some(intent);
            drop(pending);
            let flushed = flush::flush(self.inner, &table).await;
            if let Err(error) = flushed {
                tracing::warn!(table = %name, ?error, "a flush of the last run cannot be finished yet");
            }
        }
        Ok(())
    }

    /// Whether the files are still in the store.
    async fn all_there(&self, table: &IngestTable, intent: &Intent) -> Result<bool> {
        for add in &intent.adds {
            let location: Location = table.delta.location().child(&add.path)?;
            loop {
                match self.inner.catalog.storage().head(&location).await {
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::ObjectNotFound => return Ok(false),
                    Err(error) if self.inner.is_closing() => return Err(error),
                    Err(error) if passes(error.kind()) => {
                        tracing::warn!(%location, ?error, "the store does not answer");
                    }
                    // The rows are in memory, too: a flush writes them anew.
                    Err(error) => {
                        tracing::warn!(%location, ?error, "a file of a flush that was cut off is given up");
                        return Ok(false);
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        }
        Ok(true)
    }
}
