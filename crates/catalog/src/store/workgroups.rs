//! Statements on workgroups and what they have scanned.

use lakebed_access::{Usage, Workgroup};
use lakebed_types::{Error, Result};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::codec::{column, count, from_json, integer, json, time};
use crate::failure::store_failed;

/// All workgroups but `default`.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Workgroup>> {
    let rows = sqlx::query("SELECT * FROM workgroups").fetch_all(connection).await.map_err(store_failed)?;
    rows.iter().map(workgroup).collect()
}

/// Adds a workgroup, or replaces it.
pub(crate) async fn put(connection: &mut SqliteConnection, workgroup: &Workgroup) -> Result<()> {
    sqlx::query("REPLACE INTO workgroups (name, limits, created, changed) VALUES (?, ?, ?, ?)")
        .bind(&workgroup.name)
        .bind(json(&workgroup.limits)?)
        .bind(workgroup.created.timestamp_micros())
        .bind(workgroup.changed.timestamp_micros())
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Removes a workgroup and what it has scanned.
pub(crate) async fn delete(connection: &mut SqliteConnection, name: &str) -> Result<()> {
    for statement in ["DELETE FROM workgroups WHERE name = ?", "DELETE FROM workgroup_usage WHERE workgroup = ?"] {
        sqlx::query(statement).bind(name).execute(&mut *connection).await.map_err(store_failed)?;
    }
    Ok(())
}

/// What was scanned, by workgroup.
pub(crate) async fn all_usage(connection: &mut SqliteConnection) -> Result<Vec<(String, Usage)>> {
    let rows = sqlx::query("SELECT * FROM workgroup_usage").fetch_all(connection).await.map_err(store_failed)?;
    rows.iter().map(usage).collect()
}

/// Notes what a workgroup has scanned.
pub(crate) async fn put_usage(connection: &mut SqliteConnection, workgroup: &str, usage: &Usage) -> Result<()> {
    sqlx::query("REPLACE INTO workgroup_usage (workgroup, day, day_bytes, month_bytes) VALUES (?, ?, ?, ?)")
        .bind(workgroup)
        .bind(usage.day.to_string())
        .bind(integer(usage.day_bytes))
        .bind(integer(usage.month_bytes))
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

fn workgroup(row: &SqliteRow) -> Result<Workgroup> {
    Ok(Workgroup {
        name: column(row, "name")?,
        limits: from_json(column(row, "limits")?, "limits")?,
        created: time(row, "created")?,
        changed: time(row, "changed")?,
    })
}

fn usage(row: &SqliteRow) -> Result<(String, Usage)> {
    let day: String = column(row, "day")?;
    let day = day.parse().map_err(|_| Error::internal("the catalog holds a day that cannot be read"))?;
    let usage = Usage { day, day_bytes: count(row, "day_bytes")?, month_bytes: count(row, "month_bytes")? };
    Ok((column(row, "workgroup")?, usage))
}
