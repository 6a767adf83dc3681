//! `SHOW` and `DESCRIBE`: rows about the catalog, as the principal sees it.

use arrow::{
    array::{Array, RecordBatch, StringArray},
    compute::{filter_record_batch, kernels::comparison::like},
    datatypes::Schema,
};
use lakebed_catalog::{Seen, Table, TableKind};
use lakebed_tables::FileKind;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, sql_type_name};

use crate::{
    error::from_arrow,
    resolve,
    session::Sessions,
    settings::QuerySettings,
    sql::{QualifiedName, Show, quote_identifier, quote_literal},
    system::partition_label,
    table_rows::Columns,
};

/// What `SHOW` answers from.
pub(crate) struct Shown<'a> {
    pub(crate) seen: Seen<'a>,
    pub(crate) sessions: &'a Sessions,
    pub(crate) settings: &'a QuerySettings,
    pub(crate) database: &'a DatabaseName,
}

impl Shown<'_> {
    pub(crate) async fn show(&self, show: Show) -> Result<RecordBatch> {
        match show {
            Show::Databases { like } => matching(self.databases().await?, like.as_deref()),
            Show::Tables { database, like } => matching(self.tables(database, false).await?, like.as_deref()),
            Show::Views { database, like } => matching(self.tables(database, true).await?, like.as_deref()),
            Show::Columns { table } => self.describe(&table).await,
            Show::CreateTable { table } => self.create_text(&table).await,
            Show::CreateView { view } => self.create_text(&view).await,
            Show::Partitions { table } => self.partitions(&table).await,
            Show::Functions { like } => matching(self.functions()?, like.as_deref()),
            Show::Setting { name } => self.settings(name.as_deref()),
        }
    }

    /// The columns of a table.
    pub(crate) async fn describe(&self, name: &QualifiedName) -> Result<RecordBatch> {
        let table = self.table(name).await?;
        columns_of(&table.schema, table.partition_columns())
    }

    async fn table(&self, name: &QualifiedName) -> Result<Table> {
        self.seen.table(&resolve::table_name(name, self.database)?).await
    }

    async fn databases(&self) -> Result<RecordBatch> {
        let databases = self.seen.databases().await?;
        Columns::default()
            .text("database_name", databases.iter().map(|database| database.name.to_string()))
            .text("comment", databases.iter().map(|database| database.comment.clone()))
            .finish()
    }

    async fn tables(&self, database: Option<String>, views_only: bool) -> Result<RecordBatch> {
        let database = database.map_or_else(|| Ok(self.database.clone()), |name| DatabaseName::new(&name))?;
        let mut tables = self.seen.tables(&database).await?;
        tables.retain(|table| !views_only || is_view(table));
        let kind = |table: &Table| if is_view(table) { "view" } else { "table" }.to_owned();
        Columns::default()
            .text("table_name", tables.iter().map(|table| table.name.table().to_owned()))
            .text("table_type", tables.iter().map(kind))
            .text("database_name", tables.iter().map(|table| table.name.database().to_string()))
            .finish()
    }

    async fn partitions(&self, name: &QualifiedName) -> Result<RecordBatch> {
        let table = self.table(name).await?;
        let columns = table.partition_columns();
        if columns.is_empty() {
            return Err(Error::new(ErrorKind::InvalidQuery, format!("{} has no partitions", table.name)));
        }
        let partitions = self.seen.catalog().partitions(&table.name).await?;
        let names = || columns.iter().map(String::as_str);
        Columns::default()
            .text("partition", partitions.iter().map(|partition| partition_label(names(), &partition.values)))
            .count("files", partitions.iter().map(|partition| partition.files))
            .count("rows", partitions.iter().map(|partition| partition.rows))
            .count("bytes", partitions.iter().map(|partition| partition.bytes))
            .finish()
    }

    fn functions(&self) -> Result<RecordBatch> {
        let mut functions: Vec<(String, &'static str)> = self.sessions.functions();
        functions.sort();
        functions.dedup();
        Columns::default()
            .text("function_name", functions.iter().map(|(name, _)| name.clone()))
            .text("function_type", functions.iter().map(|(_, kind)| (*kind).to_owned()))
            .finish()
    }

    fn settings(&self, name: Option<&str>) -> Result<RecordBatch> {
        let sql = &self.settings.sql;
        let all = [
            ("batch_rows", self.settings.batch_rows.to_string()),
            ("database", self.database.to_string()),
            ("memory_bytes", self.settings.memory_bytes.to_string()),
            ("memory_per_query_bytes", self.settings.memory_per_query_bytes.to_string()),
            ("null_ordering", "nulls_last".to_owned()),
            ("sql_bytes", sql.bytes.to_string()),
            ("sql_depth", sql.depth.to_string()),
            ("sql_operators", sql.operators.to_string()),
            ("threads", self.settings.threads.to_string()),
            ("timezone", "UTC".to_owned()),
        ];
        let wanted: Vec<_> = all.iter().filter(|(known, _)| name.is_none_or(|name| name == *known)).collect();
        if wanted.is_empty() {
            let text = format!("there is no setting `{}`", name.unwrap_or_default());
            return Err(Error::invalid_request(text).with_hint("SHOW ALL lists the settings."));
        }
        Columns::default()
            .text("name", wanted.iter().map(|(name, _)| (*name).to_owned()))
            .text("value", wanted.iter().map(|(_, value)| value.clone()))
            .finish()
    }

    async fn create_text(&self, name: &QualifiedName) -> Result<RecordBatch> {
        let table = self.table(name).await?;
        if is_view(&table) && self.seen.view_text(&table).is_none() {
            let text = format!("`{}` may not read the text of view {}", self.seen.who().name(), table.name);
            return Err(Error::new(ErrorKind::PermissionDenied, text)
                .with_hint("It may name what is hidden; a key without grants is needed."));
        }
        Columns::default().text("statement", std::iter::once(statement_of(&table))).finish()
    }
}

/// Columns as `DESCRIBE` shows them.
pub(crate) fn columns_of(schema: &Schema, partition_columns: &[String]) -> Result<RecordBatch> {
    let fields = || schema.fields().iter();
    Columns::default()
        .text("column_name", fields().map(|field| field.name().clone()))
        .text("data_type", fields().map(|field| sql_type_name(field.data_type())))
        .text("is_nullable", fields().map(|field| if field.is_nullable() { "YES" } else { "NO" }.to_owned()))
        .flag("is_partition", fields().map(|field| partition_columns.contains(field.name())))
        .finish()
}

fn is_view(table: &Table) -> bool {
    matches!(table.kind, TableKind::View { .. })
}

/// The statement that would declare the table.
fn statement_of(table: &Table) -> String {
    let name = format!("{}.{}", quote_identifier(table.name.database().as_str()), quote_identifier(table.name.table()));
    match &table.kind {
        TableKind::View { sql } => format!("CREATE VIEW {name} AS\n{sql}"),
        TableKind::Files { location, kind, partition_columns, .. } => {
            let stored = match kind {
                FileKind::Parquet => "PARQUET",
                FileKind::Csv => "CSV",
                FileKind::NdJson | FileKind::JsonArray => "JSON",
            };
            external_statement(&name, table, stored, partition_columns, &location.to_string())
        }
        TableKind::Delta { location, rules, .. } => rows_request(table, &location.to_string(), rules),
    }
}

/// A table for rows is not declared by SQL: the request that would make it, as a comment.
fn rows_request(table: &Table, place: &str, rules: &str) -> String {
    let rules: serde_json::Value = serde_json::from_str(rules).unwrap_or_default();
    let body = serde_json::json!({ "location": place, "ingest": rules });
    format!(
        "-- rows come in for this table over HTTP, and this request declares it:\n-- PUT /v1/databases/{}/tables/{}\n-- {body}",
        table.name.database().as_str(),
        table.name.table(),
    )
}

fn external_statement(name: &str, table: &Table, stored: &str, partitions: &[String], place: &str) -> String {
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        format!("  {} {}", quote_identifier(field.name()), sql_type_name(field.data_type()))
    };
    let columns = table.schema.fields().iter().map(column).collect::<Vec<_>>().join(",\n");
    let partitions = partitions.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
    let partitioned = if partitions.is_empty() { String::new() } else { format!("\nPARTITIONED BY ({partitions})") };
    let place = quote_literal(place);
    format!("CREATE EXTERNAL TABLE {name} (\n{columns}\n)\nSTORED AS {stored}{partitioned}\nLOCATION {place}")
}

/// The rows whose first column is like the pattern.
fn matching(batch: RecordBatch, pattern: Option<&str>) -> Result<RecordBatch> {
    let (Some(pattern), Some(names)) = (pattern, batch.column(0).as_any().downcast_ref::<StringArray>()) else {
        return Ok(batch);
    };
    let keep = like(names, &StringArray::new_scalar(pattern)).map_err(from_arrow)?;
    debug_assert_eq!(keep.len(), batch.num_rows());
    filter_record_batch(&batch, &keep).map_err(from_arrow)
}
