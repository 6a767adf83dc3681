//! Databases and tables, as the caller sees them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use lakebed_catalog::{Table, TableKind};
use lakebed_types::{DatabaseName, Result};

use super::{CATALOG, batch, like, texts};
use crate::{FlightState, guard::Call, ipc, shape::Shape};

/// The kinds of tables.
pub(super) const TYPES: [&str; 2] = ["TABLE", "VIEW"];

/// Where a column comes from, in the words of Flight SQL.
const CATALOG_NAME: &str = "ARROW:FLIGHT:SQL:CATALOG_NAME";
const SCHEMA_NAME: &str = "ARROW:FLIGHT:SQL:SCHEMA_NAME";
const TABLE_NAME: &str = "ARROW:FLIGHT:SQL:TABLE_NAME";

/// Databases that the server makes; every statement can name them, and no list tells of them.
const SYSTEM: [&str; 2] = ["system", "information_schema"];

/// Whether the server makes the tables of this database.
pub(crate) fn is_system(name: &DatabaseName) -> bool {
    SYSTEM.contains(&name.as_str())
}

/// The schema of an answer about tables: exactly these columns, with the last only where it was asked for.
pub(super) fn schema(with_schemas: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("table_type", DataType::Utf8, false),
    ];
    if with_schemas {
        fields.push(Field::new("table_schema", DataType::Binary, false));
    }
    Arc::new(Schema::new(fields))
}

/// The databases of a pattern.
pub(super) async fn databases(
    state: &FlightState,
    call: &Call,
    command: &CommandGetDbSchemas,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let mut names: Vec<String> = Vec::new();
    if is_catalog(command.catalog.as_deref()) {
        let databases = state.query.catalog().seen_by(&call.who).databases().await?;
        let wanted = |name: &str| is_wanted(command.db_schema_filter_pattern.as_deref(), name);
        names.extend(databases.iter().map(|d| d.name.as_str().to_owned()).filter(|name| wanted(name)));
        names.sort();
    }
    batch(schema, vec![texts(names.iter().map(|_| CATALOG)), texts(&names)])
}

/// The tables and views of the patterns, by database and name.
pub(super) async fn tables(
    state: &FlightState,
    call: &Call,
    command: &CommandGetTables,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let mut tables = Vec::new();
    if is_catalog(command.catalog.as_deref()) {
        tables = state.query.catalog().seen_by(&call.who).all_tables().await?;
        tables.retain(|table| {
            is_wanted(command.db_schema_filter_pattern.as_deref(), table.name.database().as_str())
                && is_wanted(command.table_name_filter_pattern.as_deref(), table.name.table())
                && (command.table_types.is_empty() || command.table_types.iter().any(|kind| kind == kind_of(table)))
        });
        tables.sort_by(|one, other| one.name.cmp(&other.name));
    }
    let mut columns = vec![
        texts(tables.iter().map(|_| CATALOG)),
        texts(tables.iter().map(|table| table.name.database().as_str())),
        texts(tables.iter().map(|table| table.name.table())),
        texts(tables.iter().map(kind_of)),
    ];
    if command.include_schema {
        let schemas = tables.iter().map(|table| ipc::schema_bytes(&described(table)));
        let schemas = schemas.collect::<Result<Vec<_>>>()?;
        let schemas: ArrayRef = Arc::new(BinaryArray::from_iter_values(schemas));
        columns.push(schemas);
    }
    batch(schema, columns)
}

/// The columns as they will be sent, and where they come from.
fn described(table: &Table) -> Schema {
    // Whatever a file says, another may have none of it.
    let shape = Shape::of(&table.schema, true);
    let fields = shape.schema().fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        metadata.insert(CATALOG_NAME.to_owned(), CATALOG.to_owned());
        metadata.insert(SCHEMA_NAME.to_owned(), table.name.database().as_str().to_owned());
        metadata.insert(TABLE_NAME.to_owned(), table.name.table().to_owned());
        field.as_ref().clone().with_metadata(metadata)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn kind_of(table: &Table) -> &'static str {
    match table.kind {
        TableKind::Files { .. } | TableKind::Delta { .. } => TYPES[0],
        TableKind::View { .. } => TYPES[1],
    }
}

/// An empty name means what has no catalog, and all that is here has one.
fn is_catalog(asked: Option<&str>) -> bool {
    asked.is_none_or(|name| name == CATALOG)
}

fn is_wanted(pattern: Option<&str>, name: &str) -> bool {
    pattern.is_none_or(|pattern| like::matches(pattern, name))
}
