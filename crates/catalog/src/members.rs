//! Which paths below a table's location are candidates for the table.

use lakebed_tables::matches_pattern;
use serde::{Deserialize, Serialize};

use crate::path::{folders, hidden_part, hive_keys, hive_pair, is_value_folder, pattern};

/// Decided by the crawl, kept with the table: the next look asks the same question of new paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Members {
    /// How deep the table's files lie.
    pub(crate) scope: Scope,
    /// Only paths of this pattern, where a folder holds several tables.
    pub(crate) pattern: Option<String>,
    /// Only paths that match this, as in a shell, because someone said so.
    pub(crate) files: Option<String>,
    /// Only paths without `key=value` folders.
    pub(crate) without_keys: bool,
    /// Someone said that all files here are this table, whatever columns they share.
    pub(crate) everything: bool,
    /// Paths, and folders with a slash at their end, that became something else.
    pub(crate) excluded: Vec<String>,
}

/// How deep the files of a folder's table lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// At any depth.
    #[default]
    All,
    /// In the folder itself, in folders whose names are values, or in partition folders.
    Values,
}

impl Members {
    /// Whether a path, relative to the table's location, is a candidate.
    pub(crate) fn accept(&self, path: &str) -> bool {
        let scope = match self.scope {
            Scope::All => true,
            Scope::Values => folders(path).take_while(|folder| hive_pair(folder).is_none()).all(is_value_folder),
        };
        let hidden = hidden_part(path).is_some() || (self.without_keys && !hive_keys(path).is_empty());
        let named = self.pattern.as_ref().is_none_or(|wanted| *wanted == pattern(path));
        let asked_for = self.files.as_ref().is_none_or(|files| matches_pattern(files, path));
        scope && named && asked_for && !hidden && !self.excluded.iter().any(|excluded| is_at_or_below(excluded, path))
    }
}

fn is_at_or_below(place: &str, path: &str) -> bool {
    place == path || (place.ends_with('/') && path.starts_with(place))
}
