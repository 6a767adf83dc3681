//! Which version of an object a reader wants.

use std::{ops::Range, sync::Arc};

use object_store::{GetOptions, GetRange, ObjectMeta};

/// Stands where a store's version of an object would.
const IMMUTABLE: &str = "immutable";

/// Says of an object that nobody ever writes its path again. Its time may be what a log tells of it and not the store's,
/// so only its size is compared.
#[must_use]
pub fn immutable(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta { e_tag: None, version: Some(IMMUTABLE.to_owned()), ..meta }
}

/// An object as it was listed, which pins the version of it that is read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ObjectVersion {
    listed: Arc<ObjectMeta>,
}

impl ObjectVersion {
    /// The version that a LIST or HEAD told of.
    pub fn new(listed: ObjectMeta) -> Self {
        Self { listed: Arc::new(listed) }
    }

    /// The object as it was listed.
    pub fn meta(&self) -> &ObjectMeta {
        &self.listed
    }

    /// Options that ask for bytes of this version: the store refuses another one (`Precondition`) where it knows tags,
    /// and a store with a block cache may answer from it.
    pub fn range(&self, range: Range<u64>) -> GetOptions {
        let mut options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.strong_tag().map(str::to_owned),
            ..GetOptions::default()
        };
        options.extensions.insert(self.clone());
        options
    }

    /// Whether the object is still this version. Without two tags to compare, times decide, to the second: answers
    /// tell them no finer.
    pub fn is(&self, now: &ObjectMeta) -> bool {
        let listed = &self.listed;
        if listed.version.as_deref() == Some(IMMUTABLE) {
            return now.size == listed.size;
        }
        now.size == listed.size
            && match (now.e_tag.as_deref(), listed.e_tag.as_deref()) {
                (Some(now), Some(listed)) => bare(now) == bare(listed),
                _ => now.last_modified.timestamp() == listed.last_modified.timestamp(),
            }
    }

    /// What tells this version from all others of the same path; None where nothing does: a weak tag may stay when
    /// bytes change.
    pub(crate) fn key(&self) -> Option<String> {
        match &self.listed.e_tag {
            Some(_) => self.strong_tag().map(|tag| format!("{}:{}", self.listed.size, bare(tag))),
            None => Some(format!("{}@{}", self.listed.size, self.listed.last_modified.timestamp_micros())),
        }
    }

    fn strong_tag(&self) -> Option<&str> {
        self.listed.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))
    }
}

/// Stores quote tags differently in a listing and in an answer.
fn bare(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}
