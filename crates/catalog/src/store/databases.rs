//! Statements on databases.

use chrono::{DateTime, Utc};
use lakebed_types::{DatabaseName, Result};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::codec::{column, count, time};
use crate::{Database, failure::store_failed};

/// Adds a database; false if there is one of this name.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    name: &DatabaseName,
    comment: Option<&str>,
    created: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query("INSERT INTO databases (name, comment, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(name.as_str())
        .bind(comment)
        .bind(created.timestamp_micros())
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(done.rows_affected() > 0)
}

/// All databases by name, with the number of their tables.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Database>> {
    let rows = sqlx::query(
        "SELECT d.name, d.comment, d.created, (SELECT count(*) FROM tables t WHERE t.database_name = d.name) AS tables
         FROM databases d ORDER BY d.name",
    )
    .fetch_all(connection)
    .await
    .map_err(store_failed)?;
    rows.iter().map(database).collect()
}

/// Removes a database and what is in it; false if there is none.
pub(crate) async fn delete(connection: &mut SqliteConnection, name: &DatabaseName) -> Result<bool> {
    let done = sqlx::query("DELETE FROM databases WHERE name = ?")
        .bind(name.as_str())
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(done.rows_affected() > 0)
}

fn database(row: &SqliteRow) -> Result<Database> {
    Ok(Database {
        name: DatabaseName::new(column(row, "name")?)?,
        comment: column(row, "comment")?,
        created: time(row, "created")?,
        tables: count(row, "tables")?,
    })
}
