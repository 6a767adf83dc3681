//! The commands that ask about the server and its catalog: each answers with one small batch.

mod keys;
mod like;
pub(crate) mod sql_info;
pub(crate) mod tables;
pub(crate) mod type_info;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use arrow_flight::sql::{Command, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTables, CommandGetXdbcTypeInfo};
use lakebed_types::{Error, Result};

use crate::{FlightState, guard::Call};

/// The one catalog, as `information_schema` names it.
pub(crate) const CATALOG: &str = "lakebed";

/// A question about the server or its catalog.
#[derive(Debug, Clone)]
pub(crate) enum Metadata {
    Catalogs,
    Databases(CommandGetDbSchemas),
    Tables(CommandGetTables),
    TableTypes,
    PrimaryKeys,
    /// Exported, imported, and both at once.
    ForeignKeys,
    SqlInfo(CommandGetSqlInfo),
    TypeInfo(CommandGetXdbcTypeInfo),
}

impl Metadata {
    /// The question in a command, where it is one.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        Some(match command {
            Command::CommandGetCatalogs(_) => Self::Catalogs,
            Command::CommandGetDbSchemas(command) => Self::Databases(command.clone()),
            Command::CommandGetTables(command) => Self::Tables(command.clone()),
            Command::CommandGetTableTypes(_) => Self::TableTypes,
            Command::CommandGetPrimaryKeys(_) => Self::PrimaryKeys,
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => Self::ForeignKeys,
            Command::CommandGetSqlInfo(command) => Self::SqlInfo(command.clone()),
            Command::CommandGetXdbcTypeInfo(command) => Self::TypeInfo(*command),
            _ => return None,
        })
    }

    /// The schema of the answer: the same for every caller.
    pub(crate) fn schema(&self, state: &FlightState) -> SchemaRef {
        match self {
            Self::Catalogs => schema(&[("catalog_name", false)]),
            Self::Databases(_) => schema(&[("catalog_name", true), ("db_schema_name", false)]),
            Self::Tables(command) => tables::schema(command.include_schema),
            Self::TableTypes => schema(&[("table_type", false)]),
            Self::PrimaryKeys => keys::primary(),
            Self::ForeignKeys => keys::foreign(),
            Self::SqlInfo(_) => sql_info::schema(),
            Self::TypeInfo(_) => state.type_info.schema(),
        }
    }

    /// The answer, with what this caller may see.
    ///
    /// # Errors
    /// Those of the catalog file, and `internal`.
    pub(crate) async fn answer(&self, state: &FlightState, call: &Call) -> Result<RecordBatch> {
        let schema = self.schema(state);
        match self {
            Self::Catalogs => batch(schema, vec![texts([CATALOG])]),
            Self::Databases(command) => tables::databases(state, call, command, schema).await,
            Self::Tables(command) => tables::tables(state, call, command, schema).await,
            Self::TableTypes => batch(schema, vec![texts(tables::TYPES)]),
            Self::PrimaryKeys | Self::ForeignKeys => Ok(RecordBatch::new_empty(schema)),
            Self::SqlInfo(command) => sql_info::answer(&state.sql_info, command, schema),
            Self::TypeInfo(command) => state.type_info.record_batch(command.data_type).map_err(|error| failed(&error)),
        }
    }
}

fn schema(columns: &[(&str, bool)]) -> SchemaRef {
    let field = |(name, nullable): &(&str, bool)| Field::new(*name, DataType::Utf8, *nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::internal("metadata cannot be put together").with_source(error.to_string())
}
