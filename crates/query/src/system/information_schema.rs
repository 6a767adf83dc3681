//! `information_schema`: the catalog in the shape that tools ask for.

use arrow::{array::RecordBatch, datatypes::Field};
use lakebed_catalog::{Seen, Table};
use lakebed_types::{Result, sql_type_name};

use super::is_view;
use crate::{session::CATALOG, table_rows::Columns};

pub(super) async fn schemata(seen: Seen<'_>) -> Result<RecordBatch> {
    let databases = seen.databases().await?;
    Columns::default()
        .text("catalog_name", databases.iter().map(|_| CATALOG.to_owned()))
        .text("schema_name", databases.iter().map(|database| database.name.to_string()))
        .finish()
}

pub(super) async fn tables(seen: Seen<'_>) -> Result<RecordBatch> {
    let tables = seen.all_tables().await?;
    named(tables.iter())
        .text("table_type", tables.iter().map(|t| if is_view(t) { "VIEW" } else { "BASE TABLE" }.to_owned()))
        .finish()
}

pub(super) async fn columns(seen: Seen<'_>) -> Result<RecordBatch> {
    let tables = seen.all_tables().await?;
    let all =
        || tables.iter().flat_map(|table| table.schema.fields().iter().enumerate().map(move |(i, f)| (table, i, f)));
    let yes_or_no = |field: &Field| if field.is_nullable() { "YES" } else { "NO" }.to_owned();
    named(all().map(|(table, ..)| table))
        .text("column_name", all().map(|(.., field)| field.name().clone()))
        .count("ordinal_position", all().map(|(_, i, _)| i as u64 + 1))
        .text("is_nullable", all().map(|(.., field)| yes_or_no(field)))
        .text("data_type", all().map(|(.., field)| sql_type_name(field.data_type())))
        .finish()
}

pub(super) async fn views(seen: Seen<'_>) -> Result<RecordBatch> {
    let mut tables = seen.all_tables().await?;
    tables.retain(is_view);
    let definition = |table: &Table| seen.view_text(table).map(str::to_owned);
    named(tables.iter()).text("view_definition", tables.iter().map(definition)).finish()
}

fn named<'a>(tables: impl Iterator<Item = &'a Table> + Clone) -> Columns {
    Columns::default()
        .text("table_catalog", tables.clone().map(|_| CATALOG.to_owned()))
        .text("table_schema", tables.clone().map(|table| table.name.database().to_string()))
        .text("table_name", tables.map(|table| table.name.table().to_owned()))
}
