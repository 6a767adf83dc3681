//! Files that this process writes and has not committed: vacuum leaves them, however old they are.

use std::collections::VecDeque;

use object_store::path::Path;
use parking_lot::Mutex;

use super::action::AddFile;

/// Works that are remembered. Beyond that the oldest were given up long ago, and their files go like all others.
const MOST: usize = 1000;

/// Beginnings of the names of files that are not committed yet: one for each flush and merge that is under way, and for
/// those that were given up without a word.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    beginnings: Mutex<VecDeque<String>>,
}

impl Unfinished {
    /// Files whose names begin so are being written.
    pub(super) fn begin(&self, name_prefix: &str) {
        remember(&mut self.beginnings.lock(), name_prefix);
    }

    /// They are given up.
    pub(super) fn end(&self, name_prefix: &str) {
        self.beginnings.lock().retain(|beginning| beginning != name_prefix);
    }

    /// These files are about to be committed; they may be those of an earlier life.
    pub(super) fn begin_commit(&self, adds: &[AddFile]) {
        let mut beginnings = self.beginnings.lock();
        for name in adds.iter().map(name_of) {
            if !begins(&beginnings, name) {
                remember(&mut beginnings, name);
            }
        }
    }

    /// It is known what became of these files.
    pub(super) fn end_commit(&self, adds: &[AddFile]) {
        self.beginnings.lock().retain(|beginning| !adds.iter().any(|add| name_of(add).starts_with(beginning)));
    }

    /// As it is now.
    pub(super) fn now(&self) -> VecDeque<String> {
        self.beginnings.lock().clone()
    }

    /// The same until what comes back is dropped.
    pub(super) fn during(&self, name_prefix: &str) -> Guard<'_> {
        self.begin(name_prefix);
        Guard { of: self, name_prefix: name_prefix.to_owned() }
    }
}

/// Files are being written until this is dropped.
pub(super) struct Guard<'a> {
    of: &'a Unfinished,
    name_prefix: String,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.of.end(&self.name_prefix);
    }
}

/// Whether a file is one of these.
pub(super) fn is_unfinished(beginnings: &VecDeque<String>, path: &Path) -> bool {
    path.filename().is_some_and(|name| begins(beginnings, name))
}

fn remember(beginnings: &mut VecDeque<String>, name: &str) {
    if beginnings.len() >= MOST {
        beginnings.pop_front();
    }
    beginnings.push_back(name.to_owned());
}

fn begins(beginnings: &VecDeque<String>, name: &str) -> bool {
    beginnings.iter().any(|beginning| name.starts_with(beginning))
}

/// Names of files of ours need no escaping.
fn name_of(add: &AddFile) -> &str {
    add.path.rsplit('/').next().unwrap_or_default()
}
