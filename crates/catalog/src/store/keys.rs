//! Statements on keys.

use chrono::{DateTime, Utc};
use lakebed_access::{ApiKey, Role, SecretDigest};
use lakebed_types::{Error, Result};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::codec::{column, from_json, json, optional_time, time};
use crate::failure::store_failed;

/// All keys.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<ApiKey>> {
    let rows = sqlx::query("SELECT * FROM keys").fetch_all(connection).await.map_err(store_failed)?;
    rows.iter().map(key).collect()
}

/// Adds a key.
pub(crate) async fn insert(connection: &mut SqliteConnection, key: &ApiKey) -> Result<()> {
    sqlx::query("INSERT INTO keys (id, name, role, grants, workgroup, digest, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(&key.id)
        .bind(&key.name)
        .bind(key.role.name())
        .bind(json(&key.grants)?)
        .bind(&key.workgroup)
        .bind(key.digest.as_bytes().as_slice())
        .bind(key.created.timestamp_micros())
        .bind(key.expires.map(|expires| expires.timestamp_micros()))
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Marks a key as revoked.
pub(crate) async fn revoke(connection: &mut SqliteConnection, id: &str, revoked: DateTime<Utc>) -> Result<()> {
    sqlx::query("UPDATE keys SET revoked = ? WHERE id = ?")
        .bind(revoked.timestamp_micros())
        .bind(id)
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Removes a key's record.
pub(crate) async fn delete(connection: &mut SqliteConnection, id: &str) -> Result<()> {
    sqlx::query("DELETE FROM keys WHERE id = ?").bind(id).execute(connection).await.map_err(store_failed)?;
    Ok(())
}

/// Notes when a key was last used.
pub(crate) async fn used(connection: &mut SqliteConnection, id: &str, at: DateTime<Utc>) -> Result<()> {
    sqlx::query("UPDATE keys SET last_used = ? WHERE id = ?")
        .bind(at.timestamp_micros())
        .bind(id)
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

fn key(row: &SqliteRow) -> Result<ApiKey> {
    let damaged = |name: &str| Error::internal(format!("the catalog holds a key whose `{name}` cannot be read"));
    let digest: Vec<u8> = column(row, "digest")?;
    Ok(ApiKey {
        id: column(row, "id")?,
        name: column(row, "name")?,
        role: Role::from_name(column(row, "role")?).ok_or_else(|| damaged("role"))?,
        grants: from_json(column(row, "grants")?, "grants")?,
        workgroup: column(row, "workgroup")?,
        digest: SecretDigest::from_bytes(digest.try_into().map_err(|_| damaged("digest"))?),
        created: time(row, "created")?,
        expires: optional_time(row, "expires")?,
        revoked: optional_time(row, "revoked")?,
        last_used: optional_time(row, "last_used")?,
    })
}
