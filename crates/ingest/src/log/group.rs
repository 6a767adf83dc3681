//! Entries that are written together, and what is told to those that are not.

use lakebed_types::{Error, ErrorKind, TableName};

use super::handle::{Command, Entry};

/// Entries, and bytes, that are written before one sync.
const GROUP_ENTRIES: usize = 1024;
const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Why several entries are refused: errors are not shared, so each gets its own.
pub(super) struct Refusal {
    kind: ErrorKind,
    message: String,
}

impl Refusal {
    pub(super) fn of(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.message().to_owned() }
    }

    pub(super) fn error(&self) -> Error {
        match self.kind {
            ErrorKind::IngestBusy => disk_is_full(),
            kind => Error::new(kind, self.message.clone()),
        }
    }
}

/// A full disk is not the end.
pub(super) fn disk_is_full() -> Error {
    crate::pressure::busy("disk", "the disk of the write-ahead log is full")
}

/// What waited.
#[derive(Default)]
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    /// How far tables are flushed.
    pub(super) flushed: Vec<(TableName, u64)>,
    bytes: usize,
}

impl Group {
    pub(super) fn add(&mut self, command: Command) {
        match command {
            Command::Append(entry) => {
                self.bytes += entry.record.len();
                self.entries.push(entry);
            }
            Command::Flushed(table, upto) => self.flushed.push((table, upto)),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= GROUP_ENTRIES || self.bytes >= GROUP_BYTES
    }
}
