//! What the catalog says of databases, tables and partitions.

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_tables::{FileKind, TextOptions};
use lakebed_types::{DatabaseName, TableName};
use object_store::ObjectMeta;

use crate::Freshness;

/// What a table is made of.
#[derive(Debug, Clone)]
pub enum TableKind {
    /// Files at a location.
    Files {
        /// The folder, or the one file.
        location: Location,
        /// What the files hold.
        kind: FileKind,
        /// When new files are looked for.
        freshness: Freshness,
        /// Names of the partition columns, in path order.
        partition_columns: Vec<String>,
    },
    /// A Delta table, which takes rows that are sent.
    Delta {
        /// Its folder, with the log in it.
        location: Location,
        /// The column that it is partitioned by.
        partition_column: Option<String>,
        /// JSON: how rows that are sent become rows of the table. Whoever takes them knows its meaning.
        rules: String,
    },
    /// A stored query.
    View {
        /// Its text.
        sql: String,
    },
}

/// A table or view as the catalog has it.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its full name.
    pub name: TableName,
    /// Files, Delta or a view.
    pub kind: TableKind,
    /// All columns in the files' spelling, partition columns last.
    pub schema: SchemaRef,
    /// What its creator said of it.
    pub comment: Option<String>,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When its files or columns last changed.
    pub changed: DateTime<Utc>,
    /// Files only: when its location was last listed.
    pub last_listed: Option<DateTime<Utc>>,
    /// Files only: the modification time of the newest file.
    pub newest_file: Option<DateTime<Utc>>,
    /// Number of files; 0 for a view.
    pub files: u64,
    /// Rows of all files, where each file's number is known.
    pub rows: Option<u64>,
    /// Bytes of all files, as stored.
    pub bytes: u64,
    /// Conflicts and skipped files that the last look found, one sentence each.
    pub warnings: Vec<String>,
}

impl Table {
    /// The folder or the one file; None for a view.
    pub fn location(&self) -> Option<&Location> {
        match &self.kind {
            TableKind::Files { location, .. } | TableKind::Delta { location, .. } => Some(location),
            TableKind::View { .. } => None,
        }
    }

    /// Names of the partition columns, in path order.
    pub fn partition_columns(&self) -> &[String] {
        match &self.kind {
            TableKind::Files { partition_columns, .. } => partition_columns,
            TableKind::Delta { partition_column, .. } => partition_column.as_slice(),
            TableKind::View { .. } => &[],
        }
    }
}

/// A new Delta table.
#[derive(Debug, Clone)]
pub struct CreateDeltaTable {
    /// Its full name.
    pub name: TableName,
    /// The folder of all such tables; a new one gets a folder of its own below it.
    pub lake: Location,
    /// The folder of a table that is there already, such as one that another node writes: its log says what its columns
    /// are, and columns and sort columns of this request do not count. None for a new one.
    pub existing: Option<Location>,
    /// Its columns, the partition column included. Types that Delta does not have become near ones.
    pub schema: SchemaRef,
    /// The column to partition by.
    pub partition_column: Option<String>,
    /// What its files are sorted by, the first the most.
    pub sort_columns: Vec<String>,
    /// JSON: how rows that are sent become rows of the table.
    pub rules: String,
    /// What to say of it.
    pub comment: Option<String>,
    /// A table of this name stays as it is, without an error.
    pub if_not_exists: bool,
}

/// A database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its name.
    pub name: DatabaseName,
    /// What its creator said of it.
    pub comment: Option<String>,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// Tables and views in it.
    pub tables: u64,
}

/// The files of a table that share their partition values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// One value per partition column, as written in the path; None is NULL.
    pub values: Vec<Option<String>>,
    /// Number of files.
    pub files: u64,
    /// Rows, where each file's number is known.
    pub rows: Option<u64>,
    /// Bytes, as stored.
    pub bytes: u64,
}

/// A table declared over a location.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// Its full name.
    pub name: TableName,
    /// The folder or file.
    pub location: Location,
    /// The declared columns, with or without the partition columns; None = the columns found in the files.
    pub schema: Option<SchemaRef>,
    /// Names of the partition columns in path order; None = those found in the paths.
    pub partition_columns: Option<Vec<String>>,
    /// The files, where the caller has just written them: the location is not listed. None = those that are found there.
    pub written: Option<Vec<ObjectMeta>>,
    /// What the files must hold; None = what most of them hold.
    pub kind: Option<FileKind>,
    /// How to read text files; None = as found in each file.
    pub text: Option<TextOptions>,
    /// When new files are looked for; None = the default.
    pub freshness: Option<Freshness>,
    /// What to say of it.
    pub comment: Option<String>,
    /// A table of this name stays as it is, without an error.
    pub if_not_exists: bool,
    /// A table of this name is replaced.
    pub or_replace: bool,
}
