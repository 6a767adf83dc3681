//! An immutable list of a table's files.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_types::Result;
use object_store::ObjectMeta;

use crate::{Compression, FileKind, FileSummary, TextOptions};

/// One data file of a snapshot.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Path in its store, size, time and ETag.
    pub meta: ObjectMeta,
    /// One per partition column, as written in the path (percent-decoded); None = NULL.
    pub partition_values: Vec<Option<String>>,
    /// The schema of this very file.
    pub schema: SchemaRef,
    /// How the whole file is compressed.
    pub compression: Compression,
    /// The dialect of a text file.
    pub text: TextOptions,
    /// Rows and statistics.
    pub summary: Arc<FileSummary>,
}

/// The place of a file in its snapshot's list; travels with the file through the engine's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIndex(pub(crate) usize);

/// What a snapshot is made of.
#[derive(Debug, Clone)]
pub struct SnapshotParts {
    /// Folder of the table, or the one file.
    pub location: Location,
    /// What all files hold.
    pub kind: FileKind,
    /// Columns of the files, in the spelling of the files, without the partition columns.
    pub file_schema: SchemaRef,
    /// Partition columns, in path order.
    pub partition_columns: Vec<(String, DataType)>,
    /// The files, in any order.
    pub files: Vec<DataFile>,
}

/// An immutable list of a table's files, with what is needed to prune and plan without a request.
#[derive(Debug)]
pub struct Snapshot {
    parts: SnapshotParts,
    schema: SchemaRef,
    version: String,
}

#[expect(clippy::todo, reason = "being written")]
impl Snapshot {
    /// Sorts the files by path and computes the version: a hash over paths, sizes, ETags/times, schema and options.
    pub fn new(parts: SnapshotParts) -> Result<Self> {
        let _ = parts;
        todo!()
    }
    /// 16 hex digits. The same files give the same version on every machine.
    pub fn version(&self) -> &str {
        &self.version
    }
    /// Folder of the table, or the one file.
    pub fn location(&self) -> &Location {
        &self.parts.location
    }
    /// What all files hold.
    pub fn kind(&self) -> FileKind {
        self.parts.kind
    }
    /// File columns, then partition columns, in the spelling of the files.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
    /// Columns that the files hold, without partition columns, in the spelling of the files.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.parts.file_schema
    }
    /// Partition columns and their types, in path order.
    pub fn partition_columns(&self) -> &[(String, DataType)] {
        &self.parts.partition_columns
    }
    /// The files, by path.
    pub fn files(&self) -> &[DataFile] {
        &self.parts.files
    }
    /// Rows of all files, where each is known.
    pub fn rows(&self) -> Option<u64> {
        self.parts.files.iter().map(|file| file.summary.rows()).sum()
    }
    /// Size of all files.
    pub fn bytes(&self) -> u64 {
        self.parts.files.iter().map(|file| file.meta.size).sum()
    }
    /// When the newest file was written.
    pub fn newest_file(&self) -> Option<DateTime<Utc>> {
        self.parts.files.iter().map(|file| file.meta.last_modified).max()
    }
}
