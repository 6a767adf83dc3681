//! What a table is at one version.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_types::Result;

use super::action::{AddFile, Metadata, Protocol, RemoveFile};
use crate::{DataFile, FileKind, Snapshot, SnapshotParts};

/// The name of the configuration entry with the columns that files are sorted by, joined by commas.
pub(super) const SORT_COLUMNS: &str = "lakebed.sort";
/// The name of the entry that keeps rows from being removed.
pub(super) const APPEND_ONLY: &str = "delta.appendOnly";

/// What a Delta table is at one version. Immutable.
#[derive(Debug)]
pub struct DeltaState {
    pub(super) version: i64,
    pub(super) checkpoint: Option<i64>,
    pub(super) location: Location,
    pub(super) protocol: Arc<Protocol>,
    pub(super) metadata: Arc<Metadata>,
    pub(super) schema: SchemaRef,
    pub(super) file_schema: SchemaRef,
    pub(super) partitions: SchemaRef,
    /// Version and time by application.
    pub(super) transactions: HashMap<String, (i64, Option<i64>)>,
    /// By the path as the log writes it.
    pub(super) files: BTreeMap<String, Arc<ActiveFile>>,
    pub(super) tombstones: BTreeMap<String, Arc<RemoveFile>>,
    pub(super) snapshot: OnceLock<Arc<Snapshot>>,
}

/// A file that belongs to the table.
#[derive(Debug)]
pub(super) struct ActiveFile {
    pub(super) add: Arc<AddFile>,
    pub(super) data: DataFile,
}

impl DeltaState {
    /// The version of the log.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The table's identity: another for each table that was created, whatever its name.
    pub fn id(&self) -> &str {
        &self.metadata.id
    }

    /// All columns: those of the files, then the partition column. Batches for this table have them in this order.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns that the files hold.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.file_schema
    }

    /// The partition column, where there is one.
    pub fn partition_column(&self) -> Option<&str> {
        self.partitions.fields().first().map(|field| field.name().as_str())
    }

    /// The columns that files are sorted by, the first the most.
    pub fn sort_columns(&self) -> Vec<String> {
        let names = self.configuration(SORT_COLUMNS).unwrap_or_default();
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// An entry of the table's configuration.
    pub fn configuration(&self, name: &str) -> Option<&str> {
        self.metadata.configuration.get(name)?.as_deref()
    }

    /// Whether rows may be added and never removed.
    pub(super) fn is_append_only(&self) -> bool {
        self.configuration(APPEND_ONLY).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// How far an application has come; None where it has committed nothing.
    pub fn transaction(&self, app_id: &str) -> Option<i64> {
        self.transactions.get(app_id).map(|(version, _)| *version)
    }

    /// The files, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = &AddFile> {
        self.files.values().map(|file| &*file.add)
    }

    /// Whether a file belongs to the table, by its path in the log.
    pub fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Files, rows and bytes of the whole table. Its runs are counted by [`DeltaState::partitions`] alone.
    pub fn size(&self) -> PartitionSize {
        let sum = |of: fn(&ActiveFile) -> u64| self.files.values().map(|file| of(file)).fold(0, u64::saturating_add);
        PartitionSize {
            files: self.files.len() as u64,
            rows: sum(|file| file.data.summary.rows().unwrap_or(0)),
            bytes: sum(|file| file.add.size),
            ..PartitionSize::default()
        }
    }

    /// Versions that a reader has to go through after the last checkpoint.
    pub fn commits_since_checkpoint(&self) -> i64 {
        self.version - self.checkpoint.unwrap_or(-1)
    }

    /// When the newest file was written.
    pub fn newest_file(&self) -> Option<DateTime<Utc>> {
        self.files.values().map(|file| file.data.meta.last_modified).max()
    }

    /// The files as a snapshot, made when first asked for.
    ///
    /// # Errors
    /// `invalid_value` where another program has written a partition value that is not of its column's type.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.snapshot.get() {
            return Ok(Arc::clone(snapshot));
        }
        let columns = self.partitions.fields().iter();
        let snapshot = Arc::new(Snapshot::new(SnapshotParts {
            location: self.location.clone(),
            kind: FileKind::Parquet,
            file_schema: Arc::clone(&self.file_schema),
            partition_columns: columns.map(|field| (field.name().clone(), field.data_type().clone())).collect(),
            files: self.files.values().map(|file| file.data.clone()).collect(),
        })?);
        Ok(Arc::clone(self.snapshot.get_or_init(|| snapshot)))
    }
}

impl ActiveFile {
    /// The value of the partition column.
    pub(super) fn value(&self) -> Option<String> {
        self.data.partition_values.first().cloned().flatten()
    }
}

/// What one partition, or a whole table, holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionSize {
    /// Number of files.
    pub files: u64,
    /// Rows, where the files say so.
    pub rows: u64,
    /// Bytes, as stored.
    pub bytes: u64,
    /// Sets of files that are sorted and do not overlap: those of one merge are one, all others one each. One where
    /// everything is merged.
    pub runs: u64,
    /// Of these, the ones that a merge takes which is not full: the small ones, and large ones that they are worth it for.
    pub loose_runs: u64,
    /// Of these, the ones that a merge wrote.
    pub merged_runs: u64,
    /// When the newest file was written, as it says itself.
    pub newest: Option<DateTime<Utc>>,
}
