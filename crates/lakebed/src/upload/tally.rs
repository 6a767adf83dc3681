//! What has come of the rows that were sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lakebed_types::{Error, TableName, format_count};

use crate::remote::Appended;

/// Rows so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    accepted: AtomicU64,
    repeated: AtomicU64,
    rejected: AtomicU64,
    /// The user knows that there is no record.
    unrecorded: AtomicBool,
}

impl Tally {
    /// Counts rows that the server has looked at now.
    pub(crate) fn take(&self, answer: &Appended) {
        self.accepted.fetch_add(answer.accepted(), Ordering::Relaxed);
        self.rejected.fetch_add(answer.rejected(), Ordering::Relaxed);
    }

    /// Counts rows that an earlier run has brought.
    pub(crate) fn repeat(&self, rows: u64) {
        self.accepted.fetch_add(rows, Ordering::Relaxed);
        self.repeated.fetch_add(rows, Ordering::Relaxed);
    }

    /// Tells the first failure of a record: no row stays unsent because of a full disk here.
    pub(crate) fn warn(&self, error: &Error) {
        if !self.unrecorded.swap(true, Ordering::Relaxed) {
            eprintln!("warning: {error}");
        }
    }

    /// Tells people on stderr.
    pub(crate) fn tell(&self, table: &TableName) {
        let count = |rows: &AtomicU64| rows.load(Ordering::Relaxed);
        eprintln!("{} rows are in {table}", format_count(count(&self.accepted)));
        if count(&self.repeated) > 0 {
            eprintln!("of these, {} were there from an earlier run", format_count(count(&self.repeated)));
        }
        if count(&self.rejected) > 0 {
            eprintln!("{} rows were rejected: SELECT * FROM {table}__rejects", format_count(count(&self.rejected)));
        }
    }
}
