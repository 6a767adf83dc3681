//! What a log file is still needed for.

use std::{collections::HashMap, path::PathBuf};

use lakebed_types::TableName;

/// A log file and the rows in it that are not in the lake yet.
#[derive(Debug)]
pub(crate) struct TrackedFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// For each table the last position in this file that it needs.
    needed: HashMap<TableName, u64>,
}

/// Bytes of those that somebody needs.
pub(super) fn needed_bytes<'a>(files: impl IntoIterator<Item = &'a TrackedFile>) -> u64 {
    files.into_iter().filter(|file| !file.is_done()).map(|file| file.bytes).sum()
}

impl TrackedFile {
    pub(crate) fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes, needed: HashMap::new() }
    }

    /// The file has rows of this table at this position.
    pub(crate) fn needs(&mut self, table: &TableName, lsn: u64) {
        match self.needed.get_mut(table) {
            Some(last) => *last = lsn.max(*last),
            None => {
                self.needed.insert(table.clone(), lsn);
            }
        }
    }

    /// All rows of this table up to this position are in the lake.
    pub(crate) fn flushed(&mut self, table: &TableName, upto: u64) {
        if self.needed.get(table).is_some_and(|last| *last <= upto) {
            self.needed.remove(table);
        }
    }

    /// For each table, all rows up to the position that `flushed` says are in the lake.
    pub(crate) fn settle(&mut self, flushed: impl Fn(&TableName) -> u64) {
        self.needed.retain(|table, last| *last > flushed(table));
    }

    /// Whether nobody needs it any more.
    pub(crate) fn is_done(&self) -> bool {
        self.needed.is_empty()
    }
}
