//! Removing files that no version needs any more.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_storage::{Mode, classify};
use lakebed_types::{ErrorKind, Result};
use object_store::{ObjectMeta, path::Path};

use super::{
    clean::interval, durable, log::STAGED, partition, state::DeltaState, table::DeltaTable, unfinished::is_unfinished,
};

/// The table's own entry for how long files stay that left it.
const RETENTION: &str = "delta.deletedFileRetentionDuration";

impl DeltaTable {
    /// Removes data files that have not belonged to the table for `retention`, or for as long as the table says itself where
    /// that is longer, and files of that age that never did. Files that this process writes and has not committed stay,
    /// however old they are. For other processes and for queries it has to be longer than any flush, merge or query takes: a
    /// week is the custom; no file may be committed that was written longer ago. How many were removed.
    ///
    /// # Errors
    /// The store's.
    pub async fn vacuum(&self, retention: Duration) -> Result<u64> {
        self.storage.check(&self.location, Mode::ReadWrite)?;
        // Listed first: what is added to the table meanwhile is in the state then.
        let listed: Vec<ObjectMeta> = match self.storage.list(&self.location).try_collect().await {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::ObjectNotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        // Then, what is about to be committed; last, what is committed. So no file is missed in between.
        let unfinished = self.unfinished.now();
        let state = self.refresh().await?;
        let oldest = self.clock.now() - state.kept_for(retention);
        let kept = self.kept(&state, oldest)?;
        let partition = state.partition_column();
        let is_old = |meta: &ObjectMeta| meta.last_modified < oldest;
        let is_unused = |path: &Path| !kept.contains(path) && !is_unfinished(&unfinished, path);
        let goes = |meta: &&ObjectMeta| {
            let path = &meta.location;
            is_old(meta) && (self.is_staged(path) || (self.is_data_file(path, partition) && is_unused(path)))
        };
        let gone = listed.iter().filter(goes).map(|meta| meta.location.clone()).collect();
        let folders = listed.iter().filter_map(|meta| self.location.sibling(&meta.location).local_path());
        let folders = folders.filter_map(|path| path.parent().map(ToOwned::to_owned)).collect();
        let staged = durable::remove_staged(folders, oldest.into()).await;
        Ok(self.remove_objects(gone).await? + staged)
    }

    /// Removes objects; those that are gone already count, too.
    pub(super) async fn remove_objects(&self, paths: Vec<Path>) -> Result<u64> {
        let count = paths.len() as u64;
        let store = self.storage.store(&self.location)?;
        let mut removed = store.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(result) = removed.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(classify(error, &self.location)),
            }
        }
        Ok(count)
    }

    /// Files of the table, and those that left it not long ago.
    fn kept(&self, state: &DeltaState, oldest: DateTime<Utc>) -> Result<HashSet<Path>> {
        let oldest = oldest.timestamp_millis();
        let recent = state.tombstones.values().filter(|remove| remove.deletion_timestamp.is_none_or(|at| at >= oldest));
        let paths = state.files.keys().chain(recent.map(|remove| &remove.path));
        let place = |path: &String| Ok(self.location.child(&partition::decoded(path)?)?.path().clone());
        paths.map(place).collect()
    }

    /// Names that begin with `_` or `.`, at any depth, are not ours to remove, unless the partition column's does.
    fn is_data_file(&self, path: &Path, partition: Option<&str>) -> bool {
        let is_partition = |part: &str| {
            let rest = partition.and_then(|column| part.strip_prefix(column));
            rest.is_some_and(|rest| rest.starts_with('='))
        };
        let below = path.prefix_match(self.location.path());
        let visible = below.is_some_and(|mut parts| {
            parts.all(|part| !part.as_ref().starts_with(['_', '.']) || is_partition(part.as_ref()))
        });
        visible && path.as_ref().ends_with(".parquet")
    }

    /// What was to become part of the log.
    fn is_staged(&self, path: &Path) -> bool {
        let Some(mut below) = path.prefix_match(self.location.path()) else { return false };
        let (folder, name, more) = (below.next(), below.next(), below.next());
        folder.is_some_and(|folder| folder.as_ref() == "_delta_log")
            && name.is_some_and(|name| name.as_ref().starts_with('.') && name.as_ref().ends_with(STAGED))
            && more.is_none()
    }
}

impl DeltaState {
    /// For how long files stay that left the table, where `wanted` is the least.
    pub(super) fn kept_for(&self, wanted: Duration) -> Duration {
        self.configuration(RETENTION).and_then(interval).map_or(wanted, |told| told.max(wanted))
    }
}
