//! How a table's columns lie in its files.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::datasource::table_schema::TableSchema;

use crate::{
    FileKind, SnapshotParts,
    columns::{match_columns, sql_names},
    summary::ColumnSummary,
};

/// A table as the engine sees it: lower-case names, every column nullable, strings as views.
#[derive(Debug)]
pub(crate) struct TableShape {
    schema: TableSchema,
}

impl TableShape {
    pub(crate) fn new(parts: &SnapshotParts) -> Self {
        let files = parts.file_schema.fields();
        let names = files.iter().map(|field| field.name().as_str());
        let names = sql_names(names.chain(parts.partition_columns.iter().map(|(name, _)| name.as_str())));
        let types = files.iter().map(|field| field.data_type());
        let types = types.chain(parts.partition_columns.iter().map(|(_, data_type)| data_type));
        let mut fields: Vec<FieldRef> = names
            .iter()
            .zip(types)
            .map(|(name, data_type)| Arc::new(Field::new(name, engine_type(data_type, parts.kind), true)))
            .collect();
        let partitions = fields.split_off(files.len());
        let files = Arc::new(Schema::new(fields));
        Self { schema: TableSchema::builder(files).with_table_partition_cols(partitions).build() }
    }

    /// File columns and partition columns apart.
    pub(crate) fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    /// File columns, then partition columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.schema.table_schema()
    }

    /// How many columns come from the files.
    pub(crate) fn file_columns(&self) -> usize {
        self.schema.file_schema().fields().len()
    }
}

/// Views make comparing and grouping strings cheap, and the Parquet reader fills them without a copy.
fn engine_type(data_type: &DataType, kind: FileKind) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary if !kind.is_text() => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Where the table's file columns lie in each file. Files of one schema share a layout.
#[derive(Debug)]
pub(crate) struct Layouts {
    distinct: Vec<Layout>,
    by_file: Vec<usize>,
}

/// Where the table's file columns lie in files of one schema.
#[derive(Debug)]
pub(crate) struct Layout {
    /// What the Parquet reader is asked for: the file's columns, its strings as views.
    pub(crate) reader_schema: SchemaRef,
    /// For each file column of the table, its place in the file.
    pub(crate) places: Vec<Option<usize>>,
}

impl Layouts {
    pub(crate) fn new(parts: &SnapshotParts) -> Self {
        let mut distinct = Vec::new();
        let mut known: HashMap<&SchemaRef, usize> = HashMap::new();
        let by_file = parts.files.iter().map(|file| {
            *known.entry(&file.schema).or_insert_with(|| {
                distinct.push(Layout::new(parts, &file.schema));
                distinct.len() - 1
            })
        });
        let by_file = by_file.collect();
        Self { distinct, by_file }
    }

    /// The layout of a file, by its place in the snapshot.
    pub(crate) fn of(&self, file: usize) -> &Layout {
        &self.distinct[self.by_file[file]]
    }
}

impl Layout {
    fn new(parts: &SnapshotParts, file: &SchemaRef) -> Self {
        Self { reader_schema: reader_schema(file), places: match_columns(&parts.file_schema, file) }
    }
}

/// The schema that the Parquet reader is asked for, in the file's spelling.
pub(crate) fn reader_schema(file: &Schema) -> SchemaRef {
    let engine = |field: &FieldRef| {
        let data_type = engine_type(field.data_type(), FileKind::Parquet);
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    Arc::new(Schema::new(file.fields().iter().map(engine).collect::<Vec<_>>()))
}

/// What is known of one table column in one file.
pub(crate) enum Known<'a> {
    /// The file has no such column: all NULL.
    Missing,
    /// The file says nothing.
    Nothing,
    /// The file's own statistics, in the file's own type.
    Summary(&'a ColumnSummary),
}

impl crate::Snapshot {
    /// What file number `file` says of the table's file column number `column`.
    pub(crate) fn known(&self, file: usize, column: usize) -> Known<'_> {
        match self.layouts().of(file).places[column] {
            None => Known::Missing,
            Some(place) => self.files()[file].summary.columns().get(place).map_or(Known::Nothing, Known::Summary),
        }
    }
}
