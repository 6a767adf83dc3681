//! Merging the files of a partition into few sorted ones, by streaming, in bounded memory.
//!
//! A merge writes a *run*: files that follow each other in the order of the table. A partition is merged when it is one
//! run. Each round merges as many runs as memory allows into one and commits that, so a merge that is broken off has lost
//! one round at most. Files that other programs have written in another order are sorted before, in rounds of their own, as
//! many rows at a time as memory allows. Safety is the commit's business: a round whose inputs are no longer all in the table
//! is given up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use lakebed_types::{Error, Result};
use tokio::sync::mpsc;

use self::output::Output;
use super::{
    action::AddFile,
    change::Rewritten,
    encode::FileLayout,
    nan,
    state::{ActiveFile, DeltaState, PartitionSize},
    stats,
    streams::Run,
    table::DeltaTable,
};

mod output;

/// Runs that one round merges, at most.
const MAX_INPUTS: usize = 64;
/// What a row group takes in memory while it is read, by its size in the file.
pub(super) const DECODED: u64 = 4;
/// A run is merged again with what is smaller once that is more than a fourth of it.
const WORTH: u64 = 4;
/// What rows take while they are sorted, by what they take alone.
const SORTING: u64 = 2;
/// Reports of progress that nobody has taken yet.
const REPORTS: usize = 64;

/// How a partition is merged.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Bytes of a file after which the next one begins; 512 MiB by default.
    pub target_bytes: u64,
    /// Runs that one round merges; 64 at most.
    pub inputs: usize,
    /// Memory for reading the inputs of a round, or for sorting them; two that are sorted are always read.
    pub memory_bytes: u64,
    /// Merges everything; else a large run is left alone while the smaller ones are little together, so that a row is
    /// written again seldom however many come.
    pub full: bool,
    /// Begins the names of the new files; one that nobody else uses, such as a UUID.
    pub name_prefix: String,
    /// For how long each commit is tried.
    pub commit_for: Duration,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            target_bytes: 512 * 1024 * 1024,
            inputs: MAX_INPUTS,
            memory_bytes: 512 * 1024 * 1024,
            full: false,
            name_prefix: String::new(),
            commit_for: Duration::from_secs(60),
        }
    }
}

/// How far a merge is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeProgress {
    /// The round, from 1.
    pub round: u32,
    /// Rows of this round that are written.
    pub rows: u64,
    /// Rows of this round.
    pub rows_total: u64,
}

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeOutcome {
    /// Rounds that were committed; 0 where nothing was to be merged.
    pub rounds: u32,
    /// Files that were merged, those of earlier rounds included.
    pub files_read: u64,
    /// Files that were written.
    pub files_written: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Bytes of the files that were merged.
    pub bytes_read: u64,
    /// Bytes of the files that were written.
    pub bytes_written: u64,
    /// Another merge, or the removal of files, was first: the last round was given up.
    pub lost: bool,
    /// The newest version that was seen.
    pub version: i64,
}

/// What one round merges, or sorts.
struct Round {
    runs: Vec<Run>,
    sorts: bool,
    rows: u64,
    bytes: u64,
}

/// Merges the files of one partition. `progress` is told of now and then. Dropping the future gives the round up.
///
/// # Errors
/// Those of reading, writing and [`DeltaTable::rewrite`]. What earlier rounds have committed stays.
pub async fn merge_partition(
    table: &DeltaTable,
    value: Option<&str>,
    options: MergeOptions,
    progress: &(dyn Fn(MergeProgress) + Sync),
) -> Result<MergeOutcome> {
    let _unfinished = table.unfinished.during(&options.name_prefix);
    let mut outcome = MergeOutcome::default();
    let mut most_rounds = None::<u32>;
    loop {
        let state = table.refresh().await?;
        outcome.version = state.version();
        // Rows that come meanwhile are for the next time.
        let most = most_rounds.get_or_insert_with(|| runs_of(&state, value).len() as u32);
        if outcome.rounds >= *most {
            return Ok(outcome);
        }
        let Some(round) = plan(&state, value, &options) else { return Ok(outcome) };
        let number = outcome.rounds + 1;
        let (files_read, bytes_read) = (round.runs.iter().map(Vec::len).sum::<usize>() as u64, round.bytes);
        let inputs: Vec<String> = round.runs.iter().flatten().map(|file| file.add.path.clone()).collect();
        let sorts = round.sorts;
        let adds = write(table, &state, value, &options, number, round, progress).await?;
        if sorts {
            *most = most.saturating_add(adds.len() as u32);
        }
        let (files_written, bytes_written) = (adds.len() as u64, sum(adds.iter().map(|add| add.size)));
        let rows = sum(adds.iter().filter_map(AddFile::rows));
        let deadline = table.clock.instant() + options.commit_for;
        match table.rewrite(&inputs, adds, deadline).await? {
            Rewritten::Done(state) => outcome.version = state.version(),
            Rewritten::Lost(state) => {
                (outcome.lost, outcome.version) = (true, state.version());
                return Ok(outcome);
            }
        }
        outcome.rounds = number;
        outcome.files_read += files_read;
        outcome.files_written += files_written;
        outcome.rows += rows;
        outcome.bytes_read += bytes_read;
        outcome.bytes_written += bytes_written;
    }
}

/// What to do next; None where the partition is merged as far as it is worth it.
fn plan(state: &DeltaState, value: Option<&str>, options: &MergeOptions) -> Option<Round> {
    let sort = FileLayout::of(state).sort;
    let mut runs = runs_of(state, value);
    if !options.full {
        runs.truncate(worth(&runs));
    }
    if runs.len() < 2 {
        return None;
    }
    let most = options.inputs.clamp(2, MAX_INPUTS);
    let (sorted, unsorted): (Vec<Run>, Vec<Run>) =
        runs.into_iter().partition(|run| run.iter().all(|file| is_sorted(file, &sort)));
    let sorts = !unsorted.is_empty();
    let chosen: Vec<Run> = match sorts {
        true => unsorted.into_iter().take(most).collect(),
        false => fitting(sorted, most, options.memory_bytes),
    };
    let files = || chosen.iter().flatten();
    let rows = sum(files().filter_map(|file| file.data.summary.rows()));
    let bytes = sum(files().map(|file| file.add.size));
    Some(Round { rows, bytes, sorts, runs: chosen })
}

/// As many as memory allows, and two at least: of a sorted run one row group at a time is in memory, whatever its size.
fn fitting(runs: Vec<Run>, most: usize, memory_bytes: u64) -> Vec<Run> {
    let mut memory = 0u64;
    let mut chosen = Vec::new();
    for run in runs {
        memory = memory.saturating_add(memory_of(&run));
        if chosen.len() >= most || (chosen.len() >= 2 && memory > memory_bytes) {
            break;
        }
        chosen.push(run);
    }
    chosen
}

/// How many of these runs, the smallest first, are worth a merge.
fn worth(runs: &[Run]) -> usize {
    let mut smaller = sum(runs.iter().map(bytes_of));
    let mut count = runs.len();
    while let Some(largest) = count.checked_sub(1).and_then(|last| runs.get(last)).map(bytes_of) {
        smaller = smaller.saturating_sub(largest);
        if smaller >= largest / WORTH {
            return count;
        }
        count -= 1;
    }
    0
}

/// The runs of a partition, the smallest first.
fn runs_of(state: &DeltaState, value: Option<&str>) -> Vec<Run> {
    runs(state.files.values().filter(|file| file.value().as_deref() == value), &FileLayout::of(state).sort)
}

/// Files of one partition as runs, the smallest first: those of one merge together, all others alone, also those that
/// other programs have written in another order.
fn runs<'a>(files: impl Iterator<Item = &'a Arc<ActiveFile>>, sort: &[String]) -> Vec<Run> {
    let mut merges = BTreeMap::<&str, Vec<(u32, &Arc<ActiveFile>)>>::new();
    let mut runs = Vec::new();
    for file in files {
        match stats::merged(&file.add).filter(|_| is_sorted(file, sort)) {
            Some((merge, place)) => merges.entry(merge).or_default().push((place, file)),
            None => runs.push(vec![Arc::clone(file)]),
        }
    }
    for mut files in merges.into_values() {
        files.sort_by_key(|(place, _)| *place);
        runs.push(files.into_iter().map(|(_, file)| Arc::clone(file)).collect());
    }
    runs.sort_by_cached_key(bytes_of);
    runs
}

impl DeltaState {
    /// What each partition holds, by its value; one without a value where there is no partition column.
    pub fn partitions(&self) -> BTreeMap<Option<String>, PartitionSize> {
        let sort = FileLayout::of(self).sort;
        let mut files = BTreeMap::<Option<String>, Vec<&Arc<ActiveFile>>>::new();
        for file in self.files.values() {
            files.entry(file.value()).or_default().push(file);
        }
        files.into_iter().map(|(value, files)| (value, partition_size(files.into_iter(), &sort))).collect()
    }
}

fn partition_size<'a>(files: impl Iterator<Item = &'a Arc<ActiveFile>>, sort: &[String]) -> PartitionSize {
    let runs = runs(files, sort);
    let files = || runs.iter().flatten();
    let newest = files().map(|file| file.add.modification_time).max();
    PartitionSize {
        files: files().count() as u64,
        rows: sum(files().filter_map(|file| file.data.summary.rows())),
        bytes: sum(files().map(|file| file.add.size)),
        runs: runs.len() as u64,
        loose_runs: worth(&runs) as u64,
        merged_runs: runs.iter().filter_map(|run| run.first()).filter(|file| is_merged(file, sort)).count() as u64,
        newest: newest.and_then(DateTime::<Utc>::from_timestamp_millis),
    }
}

fn is_merged(file: &ActiveFile, sort: &[String]) -> bool {
    is_sorted(file, sort) && stats::merged(&file.add).is_some()
}

fn is_sorted(file: &ActiveFile, sort: &[String]) -> bool {
    sort.is_empty() || stats::is_sorted(&file.add, sort)
}

fn bytes_of(run: &Run) -> u64 {
    sum(run.iter().map(|file| file.add.size))
}

/// Sizes are what the log says, and anybody may have written it.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// One row group of a sorted run.
fn memory_of(run: &Run) -> u64 {
    let of = |file: &Arc<ActiveFile>| {
        (file.add.size / file.data.summary.row_groups().unwrap_or(1).max(1)).saturating_mul(DECODED)
    };
    run.iter().map(of).max().unwrap_or(0)
}

/// Writes one round's files, on a thread for work that takes long.
async fn write(
    table: &DeltaTable,
    state: &Arc<DeltaState>,
    value: Option<&str>,
    options: &MergeOptions,
    number: u32,
    round: Round,
    progress: &(dyn Fn(MergeProgress) + Sync),
) -> Result<Vec<AddFile>> {
    let (reports, mut told) = mpsc::channel(REPORTS);
    let layout = FileLayout::of(state);
    let output = Output {
        storage: table.storage.clone(),
        location: table.location().clone(),
        suspects: nan::suspects(&layout.file_schema, &round.runs),
        layout,
        state: Arc::clone(state),
        value: value.map(str::to_owned),
        prefix: format!("{}-{number}", options.name_prefix),
        target_bytes: options.target_bytes.max(1),
        now_ms: table.clock.now().timestamp_millis(),
    };
    let handle = tokio::runtime::Handle::current();
    let Round { runs, sorts, rows: rows_total, bytes: _ } = round;
    let budget = options.memory_bytes / SORTING;
    let mut work = tokio::task::spawn_blocking(move || match sorts {
        true => handle.block_on(output.sort(runs, budget, reports)),
        false => handle.block_on(output.merge(runs, reports)),
    });
    loop {
        tokio::select! {
            Some(rows) = told.recv() => progress(MergeProgress { round: number, rows, rows_total }),
            done = &mut work => {
                return done.map_err(|error| Error::internal("a merge was given up").with_source(error))?;
            }
        }
    }
}
