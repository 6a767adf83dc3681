//! What the scans of one query did to files.

use std::sync::atomic::{AtomicU64, Ordering};

/// Files that the scans of one query read and ruled out. Counted when a scan is planned; rows, row groups and bytes
/// stand in the metrics of the plan.
#[derive(Debug, Default)]
pub struct ScanCounters {
    files_scanned: AtomicU64,
    files_pruned: AtomicU64,
    file_bytes: AtomicU64,
}

impl ScanCounters {
    /// Files that are left to read.
    pub fn files_scanned(&self) -> u64 {
        self.files_scanned.load(Ordering::Relaxed)
    }

    /// Files that partition values or statistics ruled out.
    pub fn files_pruned(&self) -> u64 {
        self.files_pruned.load(Ordering::Relaxed)
    }

    /// Size in bytes of the files that are left to read, as a whole.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, scanned: u64, pruned: u64, bytes: u64) {
        self.files_scanned.fetch_add(scanned, Ordering::Relaxed);
        self.files_pruned.fetch_add(pruned, Ordering::Relaxed);
        self.file_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
