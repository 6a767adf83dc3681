//! Statements on tables, views and their files.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_tables::{FileKind, TextOptions};
use lakebed_types::{DatabaseName, Result, TableName, sql_type_name};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::{
    INSERT_ROWS,
    codec::{
        column, count, from_json, from_word, integer, json, location, optional_count, optional_time, schema_bytes,
        schema_from, time, word,
    },
};
use crate::{Freshness, Table, TableKind, failure::store_failed, members::Members};

/// A table as it is stored: what everyone may see, and what the next look needs.
#[derive(Debug, Clone)]
pub(crate) struct TableRecord {
    pub(crate) id: i64,
    pub(crate) table: Table,
    /// None for a view and for a Delta table.
    pub(crate) files: Option<FilesRecord>,
}

impl TableRecord {
    pub(crate) fn is_view(&self) -> bool {
        matches!(self.table.kind, TableKind::View { .. })
    }
}

/// A Delta table as it is stored.
#[derive(Debug)]
pub(crate) struct NewDelta<'a> {
    pub(crate) name: &'a TableName,
    pub(crate) location: &'a Location,
    pub(crate) file_schema: &'a Schema,
    pub(crate) partitions: &'a Schema,
    pub(crate) rules: &'a str,
    pub(crate) comment: Option<&'a str>,
    pub(crate) created: DateTime<Utc>,
}

/// What the next look at a table of files needs.
#[derive(Debug, Clone)]
pub(crate) struct FilesRecord {
    pub(crate) location: Location,
    pub(crate) kind: FileKind,
    pub(crate) file_schema: SchemaRef,
    pub(crate) partitions: SchemaRef,
    pub(crate) members: Members,
    pub(crate) declared: bool,
    pub(crate) text: Option<TextOptions>,
    /// The crawl that found it.
    pub(crate) crawl: Option<String>,
    pub(crate) fingerprint: Option<Vec<u8>>,
}

/// A table of files to be created.
#[derive(Debug)]
pub(crate) struct NewTable<'a> {
    pub(crate) name: &'a TableName,
    pub(crate) comment: Option<&'a str>,
    pub(crate) freshness: Option<Freshness>,
    pub(crate) created: DateTime<Utc>,
}

/// What a look or a crawl found a table to be; replaces what was there.
#[derive(Debug)]
pub(crate) struct TableState<'a> {
    pub(crate) files: &'a FilesRecord,
    pub(crate) changed: bool,
    pub(crate) listed: DateTime<Utc>,
    pub(crate) newest_file: Option<DateTime<Utc>>,
    pub(crate) file_count: u64,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) warnings: &'a [String],
    pub(crate) entries: &'a [FileEntry],
}

/// One file of a table, or one left out of it.
#[derive(Debug)]
pub(crate) struct FileEntry {
    pub(crate) object: i64,
    pub(crate) partition_values: Vec<Option<String>>,
    pub(crate) problem: Option<String>,
}

const COLUMNS: &str = "SELECT id, database_name, name, comment, created, changed, view_sql, schema, partition_schema,
    location, kind, freshness, members, declared, text_options, crawl, last_listed, newest_file, files, row_count,
    bytes, fingerprint, warnings, rules FROM tables";

/// The table or view of this name.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    name: &TableName,
    default: Freshness,
) -> Result<Option<TableRecord>> {
    let mut select = QueryBuilder::<Sqlite>::new(COLUMNS);
    select.push(" WHERE database_name = ").push_bind(name.database().as_str().to_owned());
    select.push(" AND name = ").push_bind(name.table().to_owned());
    let row = select.build().fetch_optional(connection).await.map_err(store_failed)?;
    row.map(|row| record(&row, default)).transpose()
}

/// Tables and views by name: of one database, or of all.
pub(crate) async fn list(
    connection: &mut SqliteConnection,
    database: Option<&DatabaseName>,
    default: Freshness,
) -> Result<Vec<TableRecord>> {
    let mut select = QueryBuilder::<Sqlite>::new(COLUMNS);
    if let Some(database) = database {
        select.push(" WHERE database_name = ").push_bind(database.as_str().to_owned());
    }
    select.push(" ORDER BY database_name, name");
    let rows = select.build().fetch_all(connection).await.map_err(store_failed)?;
    rows.iter().map(|row| record(row, default)).collect()
}

fn record(row: &SqliteRow, default: Freshness) -> Result<TableRecord> {
    let schema = schema_from(column(row, "schema")?)?;
    let (kind, schema, files) = match (column::<Option<String>>(row, "view_sql")?, column(row, "rules")?) {
        (Some(sql), _) => (TableKind::View { sql }, schema, None),
        (None, Some(rules)) => {
            let partitions = schema_from(column(row, "partition_schema")?)?;
            let partition_column = partitions.fields().first().map(|field| field.name().clone());
            let kind = TableKind::Delta { location: location(row, "location")?, partition_column, rules };
            (kind, whole_schema(&schema, &partitions), None)
        }
        (None, None) => {
            let files = files_record(row, schema)?;
            let freshness = match column::<Option<&str>>(row, "freshness")? {
                Some(text) => text.parse()?,
                None => default,
            };
            (files.kind_with(freshness), files.whole_schema(), Some(files))
        }
    };
    let table = Table {
        name: TableName::new(DatabaseName::new(column(row, "database_name")?)?, column(row, "name")?)?,
        kind,
        schema,
        comment: column(row, "comment")?,
        created: time(row, "created")?,
        changed: time(row, "changed")?,
        last_listed: optional_time(row, "last_listed")?,
        newest_file: optional_time(row, "newest_file")?,
        files: count(row, "files")?,
        rows: optional_count(row, "row_count")?,
        bytes: count(row, "bytes")?,
        warnings: from_json(column(row, "warnings")?, "warnings")?,
    };
    Ok(TableRecord { id: column(row, "id")?, table, files })
}

fn files_record(row: &SqliteRow, file_schema: SchemaRef) -> Result<FilesRecord> {
    let text = column::<Option<&str>>(row, "text_options")?;
    Ok(FilesRecord {
        location: location(row, "location")?,
        kind: from_word(column(row, "kind")?, "kind")?,
        file_schema,
        partitions: schema_from(column(row, "partition_schema")?)?,
        members: from_json(column(row, "members")?, "members")?,
        declared: column(row, "declared")?,
        text: text.map(|text| from_json(text, "text_options")).transpose()?,
        crawl: column(row, "crawl")?,
        fingerprint: column(row, "fingerprint")?,
    })
}

impl FilesRecord {
    /// Names of the partition columns, in path order.
    pub(crate) fn partition_names(&self) -> Vec<String> {
        self.partitions.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// File columns, then partition columns.
    pub(crate) fn whole_schema(&self) -> SchemaRef {
        whole_schema(&self.file_schema, &self.partitions)
    }

    /// Whether a path below the location is a candidate. A file that is the location is one, whatever its name.
    pub(crate) fn accepts(&self, path: &str) -> bool {
        !self.location.is_folder() || self.members.accept(path)
    }

    /// As the façade says it.
    pub(crate) fn kind_with(&self, freshness: Freshness) -> TableKind {
        TableKind::Files {
            location: self.location.clone(),
            kind: self.kind,
            freshness,
            partition_columns: self.partition_names(),
        }
    }
}

fn whole_schema(files: &Schema, partitions: &Schema) -> SchemaRef {
    let fields = files.fields().iter().chain(partitions.fields());
    Arc::new(Schema::new(fields.cloned().collect::<Vec<Arc<Field>>>()))
}

/// Creates a table of files without content; `replace` follows in the same transaction. Returns its id.
pub(crate) async fn insert(connection: &mut SqliteConnection, new: &NewTable<'_>) -> Result<i64> {
    let empty = schema_bytes(&Schema::empty())?;
    let row = sqlx::query(
        "INSERT INTO tables (database_name, name, comment, created, changed, schema, partition_schema, freshness)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(new.name.database().as_str())
    .bind(new.name.table())
    .bind(new.comment)
    .bind(new.created.timestamp_micros())
    .bind(new.created.timestamp_micros())
    .bind(&empty)
    .bind(&empty)
    .bind(new.freshness.map(|freshness| freshness.to_string()))
    .fetch_one(connection)
    .await
    .map_err(store_failed)?;
    column(&row, "id")
}

/// Creates a view.
pub(crate) async fn insert_view(
    connection: &mut SqliteConnection,
    name: &TableName,
    sql: &str,
    schema: &Schema,
    created: DateTime<Utc>,
) -> Result<()> {
    let row = sqlx::query(
        "INSERT INTO tables (database_name, name, created, changed, view_sql, schema, partition_schema)
         VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(name.database().as_str())
    .bind(name.table())
    .bind(created.timestamp_micros())
    .bind(created.timestamp_micros())
    .bind(sql)
    .bind(schema_bytes(schema)?)
    .bind(schema_bytes(&Schema::empty())?)
    .fetch_one(&mut *connection)
    .await
    .map_err(store_failed)?;
    write_columns(connection, column(&row, "id")?, schema, &Schema::empty()).await
}

/// Creates a Delta table.
pub(crate) async fn insert_delta(connection: &mut SqliteConnection, new: &NewDelta<'_>) -> Result<()> {
    let row = sqlx::query(
        "INSERT INTO tables (database_name, name, comment, created, changed, schema, partition_schema, location, rules)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(new.name.database().as_str())
    .bind(new.name.table())
    .bind(new.comment)
    .bind(new.created.timestamp_micros())
    .bind(new.created.timestamp_micros())
    .bind(schema_bytes(new.file_schema)?)
    .bind(schema_bytes(new.partitions)?)
    .bind(new.location.to_string())
    .bind(new.rules)
    .fetch_one(&mut *connection)
    .await
    .map_err(store_failed)?;
    write_columns(connection, column(&row, "id")?, new.file_schema, new.partitions).await
}

/// Changes the rules of a Delta table, and its comment where one is given.
pub(crate) async fn set_rules(
    connection: &mut SqliteConnection,
    table: i64,
    rules: &str,
    comment: Option<&str>,
) -> Result<()> {
    sqlx::query("UPDATE tables SET rules = ?, comment = coalesce(?, comment) WHERE id = ?")
        .bind(rules)
        .bind(comment)
        .bind(table)
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Notes the columns of a Delta table, as its log has them now.
pub(crate) async fn set_columns(
    connection: &mut SqliteConnection,
    table: i64,
    files: &Schema,
    partitions: &Schema,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("UPDATE tables SET schema = ?, partition_schema = ?, changed = ? WHERE id = ?")
        .bind(schema_bytes(files)?)
        .bind(schema_bytes(partitions)?)
        .bind(at.timestamp_micros())
        .bind(table)
        .execute(&mut *connection)
        .await
        .map_err(store_failed)?;
    write_columns(connection, table, files, partitions).await
}

/// Writes what a table is now, its files included. False if the table is gone.
pub(crate) async fn replace(connection: &mut SqliteConnection, table: i64, state: &TableState<'_>) -> Result<bool> {
    let files = state.files;
    let done = sqlx::query(
        "UPDATE tables SET schema = ?, partition_schema = ?, location = ?, kind = ?, members = ?, declared = ?,
         text_options = ?, crawl = ?, last_listed = ?, newest_file = ?, files = ?, row_count = ?, bytes = ?,
         fingerprint = ?, warnings = ?, changed = CASE WHEN ? THEN ? ELSE changed END WHERE id = ?",
    )
    .bind(schema_bytes(&files.file_schema)?)
    .bind(schema_bytes(&files.partitions)?)
    .bind(files.location.to_string())
    .bind(word(&files.kind)?)
    .bind(json(&files.members)?)
    .bind(files.declared)
    .bind(files.text.as_ref().map(json).transpose()?)
    .bind(&files.crawl)
    .bind(state.listed.timestamp_micros())
    .bind(state.newest_file.map(|time| time.timestamp_micros()))
    .bind(integer(state.file_count))
    .bind(state.rows.map(integer))
    .bind(integer(state.bytes))
    .bind(&files.fingerprint)
    .bind(json(&state.warnings)?)
    .bind(state.changed)
    .bind(state.listed.timestamp_micros())
    .bind(table)
    .execute(&mut *connection)
    .await
    .map_err(store_failed)?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    write_columns(&mut *connection, table, &files.file_schema, &files.partitions).await?;
    write_files(connection, table, state.entries).await?;
    Ok(true)
}

async fn write_columns(
    connection: &mut SqliteConnection,
    table: i64,
    columns: &Schema,
    partitions: &Schema,
) -> Result<()> {
    delete_of(&mut *connection, "DELETE FROM columns WHERE table_id = ?", table).await?;
    let plain = columns.fields().iter().map(|field| (field, false));
    let all: Vec<_> = plain.chain(partitions.fields().iter().map(|field| (field, true))).enumerate().collect();
    for chunk in all.chunks(INSERT_ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO columns (table_id, position, name, type, nullable, is_partition) ",
        );
        insert.push_values(chunk, |mut row, (position, (field, is_partition))| {
            row.push_bind(table).push_bind(*position as i64 + 1).push_bind(field.name().clone());
            row.push_bind(sql_type_name(field.data_type())).push_bind(field.is_nullable()).push_bind(*is_partition);
        });
        insert.build().persistent(false).execute(&mut *connection).await.map_err(store_failed)?;
    }
    Ok(())
}

async fn write_files(connection: &mut SqliteConnection, table: i64, entries: &[FileEntry]) -> Result<()> {
    delete_of(&mut *connection, "DELETE FROM files WHERE table_id = ?", table).await?;
    for chunk in entries.chunks(INSERT_ROWS) {
        let values: Vec<String> = chunk.iter().map(|entry| json(&entry.partition_values)).collect::<Result<_>>()?;
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO files (table_id, object_id, partition_values, problem) ");
        insert.push_values(chunk.iter().zip(values), |mut row, (entry, values)| {
            row.push_bind(table).push_bind(entry.object).push_bind(values).push_bind(entry.problem.clone());
        });
        insert.build().persistent(false).execute(&mut *connection).await.map_err(store_failed)?;
    }
    Ok(())
}

async fn delete_of(connection: &mut SqliteConnection, sql: &'static str, table: i64) -> Result<()> {
    sqlx::query(sql).bind(table).execute(connection).await.map_err(store_failed)?;
    Ok(())
}

/// Notes that a table was listed and found unchanged.
pub(crate) async fn listed(connection: &mut SqliteConnection, table: i64, at: DateTime<Utc>) -> Result<()> {
    sqlx::query("UPDATE tables SET last_listed = ? WHERE id = ?")
        .bind(at.timestamp_micros())
        .bind(table)
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Changes a table's policy.
pub(crate) async fn set_freshness(connection: &mut SqliteConnection, table: i64, freshness: Freshness) -> Result<()> {
    sqlx::query("UPDATE tables SET freshness = ? WHERE id = ?")
        .bind(freshness.to_string())
        .bind(table)
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Removes a table or view, and what is known of objects that only it had.
pub(crate) async fn delete(connection: &mut SqliteConnection, table: i64) -> Result<()> {
    delete_of(
        &mut *connection,
        "DELETE FROM objects WHERE id IN (SELECT object_id FROM files WHERE table_id = ?1)
         AND NOT EXISTS (SELECT 1 FROM files f WHERE f.object_id = objects.id AND f.table_id <> ?1)",
        table,
    )
    .await?;
    delete_record(connection, table).await
}

/// Removes a table or view alone.
pub(crate) async fn delete_record(connection: &mut SqliteConnection, table: i64) -> Result<()> {
    delete_of(connection, "DELETE FROM tables WHERE id = ?", table).await
}

/// Names of the tables and views of a database.
pub(crate) async fn names(connection: &mut SqliteConnection, database: &DatabaseName) -> Result<Vec<String>> {
    let rows = sqlx::query("SELECT name FROM tables WHERE database_name = ? ORDER BY name")
        .bind(database.as_str())
        .fetch_all(connection)
        .await
        .map_err(store_failed)?;
    rows.iter().map(|row| column(row, "name")).collect()
}
