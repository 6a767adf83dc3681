//! An immutable list of a table's files.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::common::{ScalarValue, Statistics};
use lakebed_storage::Location;
use lakebed_types::{Error, ErrorKind, Result};
use object_store::ObjectMeta;

use crate::{
    Compression, FileKind, FileSummary, TextOptions,
    layout::{Layouts, TableShape},
    prune::ColumnArrays,
};

mod version;

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
    /// Typed, one list per file.
    partition_values: Vec<Vec<ScalarValue>>,
    shape: TableShape,
    layouts: Layouts,
    /// One per table column, built when a filter first asks.
    pub(crate) arrays: Vec<OnceLock<Option<ColumnArrays>>>,
    pub(crate) file_statistics: OnceLock<Vec<Arc<Statistics>>>,
    pub(crate) table_statistics: OnceLock<Statistics>,
}

impl Snapshot {
    /// Sorts the files by path and computes the version: a hash over paths, sizes, ETags or times, schema and options.
    /// A file column that has the name of a partition column is dropped: the path's value wins, as in Athena and DuckDB.
    /// `invalid_value` where a partition value is not of its column's type.
    pub fn new(mut parts: SnapshotParts) -> Result<Self> {
        parts.files.sort_by(|left, right| left.meta.location.cmp(&right.meta.location));
        parts.file_schema = without_partitions(&parts.file_schema, &parts.partition_columns);
        if parts.kind.is_text() {
            parts.file_schema = without_unknown_types(&parts.file_schema);
        }
        let partition_values = parts.files.iter().map(|file| typed_values(&parts, file)).collect::<Result<_>>()?;
        let schema = whole_schema(&parts);
        let shape = TableShape::new(&parts);
        let layouts = Layouts::new(&parts);
        let version = version::version(&parts, &schema);
        let arrays = schema.fields().iter().map(|_| OnceLock::new()).collect();
        Ok(Self {
            parts,
            schema,
            version,
            partition_values,
            shape,
            layouts,
            arrays,
            file_statistics: OnceLock::new(),
            table_statistics: OnceLock::new(),
        })
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

    /// The typed partition values of one file, in column order.
    pub(crate) fn partition_values(&self, file: usize) -> &[ScalarValue] {
        &self.partition_values[file]
    }

    /// The table as the engine sees it.
    pub(crate) fn shape(&self) -> &TableShape {
        &self.shape
    }

    /// Which column of which file is which column of the table.
    pub(crate) fn layouts(&self) -> &Layouts {
        &self.layouts
    }
}

fn without_partitions(schema: &SchemaRef, partitions: &[(String, DataType)]) -> SchemaRef {
    let is_partition = |field: &Field| partitions.iter().any(|(name, _)| name.eq_ignore_ascii_case(field.name()));
    if !schema.fields().iter().any(|field| is_partition(field)) {
        return Arc::clone(schema);
    }
    let kept = schema.fields().iter().filter(|field| !is_partition(field)).cloned();
    Arc::new(Schema::new(kept.collect::<Vec<_>>()))
}

/// A column of text files that was NULL wherever it was looked at: whatever comes there later is a text.
fn without_unknown_types(schema: &SchemaRef) -> SchemaRef {
    let is_unknown = |field: &Field| field.data_type() == &DataType::Null;
    if !schema.fields().iter().any(|field| is_unknown(field)) {
        return Arc::clone(schema);
    }
    let known = |field: &Field| if is_unknown(field) { DataType::Utf8 } else { field.data_type().clone() };
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_data_type(known(field)));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn whole_schema(parts: &SnapshotParts) -> SchemaRef {
    let partitions = parts.partition_columns.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true));
    let files = parts.file_schema.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(files.chain(partitions).collect::<Vec<_>>()))
}

fn typed_values(parts: &SnapshotParts, file: &DataFile) -> Result<Vec<ScalarValue>> {
    if file.partition_values.len() != parts.partition_columns.len() {
        return Err(Error::internal(format!(
            "{} has another number of partition values than its table",
            file.meta.location
        )));
    }
    let typed = parts.partition_columns.iter().zip(&file.partition_values);
    typed.map(|((name, data_type), value)| typed_value(file, name, data_type, value.as_deref())).collect()
}

fn typed_value(file: &DataFile, name: &str, data_type: &DataType, value: Option<&str>) -> Result<ScalarValue> {
    let typed = match value {
        Some(text) => ScalarValue::try_from_string(text.to_owned(), data_type),
        None => ScalarValue::try_from(data_type),
    };
    typed.map_err(|error| {
        let message = format!(
            "{}: the partition value {name}={} is no {data_type}",
            file.meta.location,
            value.unwrap_or_default()
        );
        Error::new(ErrorKind::InvalidValue, message).with_source(error)
    })
}
