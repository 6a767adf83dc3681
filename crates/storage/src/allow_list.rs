//! What may be reached, and how.

use lakebed_types::{Error, ErrorKind, Result};
use object_store::path::Path;
use parking_lot::RwLock;

use crate::Location;

/// What may be done below an allowed location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Get, head and list.
    Read,
    /// Also put, copy and delete.
    ReadWrite,
}

/// The allowed locations of one store.
#[derive(Debug)]
pub(crate) struct AllowList {
    root: Location,
    entries: RwLock<Vec<(Location, Mode)>>,
}

impl AllowList {
    /// Allows nothing yet. `root` is any location of the store.
    pub(crate) fn new(root: &Location) -> Self {
        Self { root: root.sibling(&Path::ROOT), entries: RwLock::default() }
    }

    /// Allows a location; of two modes for the same one the wider holds.
    pub(crate) fn allow(&self, location: &Location, mode: Mode) {
        let mut entries = self.entries.write();
        match entries.iter_mut().find(|(known, _)| known == location) {
            Some((_, known)) => *known = mode.max(*known),
            None => entries.push((location.clone(), mode)),
        }
        entries.sort();
    }

    pub(crate) fn entries(&self) -> Vec<(Location, Mode)> {
        self.entries.read().clone()
    }

    /// The store's location of this path, for messages.
    pub(crate) fn location(&self, path: &Path) -> Location {
        self.root.sibling(path)
    }

    /// Fails with `location_not_allowed` unless an entry of at least this mode contains the location.
    pub(crate) fn check(&self, location: &Location, mode: Mode) -> Result<()> {
        let entries = self.entries.read();
        let mut containing = entries.iter().filter(|(allowed, _)| allowed.contains(location)).peekable();
        if containing.peek().is_none() {
            return Err(outside(location));
        }
        if containing.any(|(_, known)| *known >= mode) { Ok(()) } else { Err(not_writable(location)) }
    }

    /// The same for a path of this store, as an error of the object store.
    pub(crate) fn check_path(&self, path: &Path, mode: Mode) -> object_store::Result<()> {
        self.check(&self.location(path), mode).map_err(|error| refusal(path, error))
    }
}

pub(crate) fn outside(location: &Location) -> Error {
    Error::new(ErrorKind::LocationNotAllowed, format!("`{location}` is outside the configured locations"))
        .with_hint("Only locations that the server was started with, or that its settings name, can be reached.")
}

fn not_writable(location: &Location) -> Error {
    Error::new(ErrorKind::LocationNotAllowed, format!("`{location}` may be read but not written"))
        .with_hint("Write below a location that is configured as writable.")
}

/// Carries our error through an object store's error; `classify` finds it again.
pub(crate) fn refusal(path: &Path, error: Error) -> object_store::Error {
    object_store::Error::PermissionDenied { path: path.to_string(), source: Box::new(error) }
}
