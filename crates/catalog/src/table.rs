//! Tables and views: list, describe, create a view, drop, change the policy.

use arrow::datatypes::SchemaRef;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};
use sqlx::SqliteConnection;

use crate::{
    Catalog, Freshness, Table, TableKind, database,
    failure::table_not_found,
    store::tables::{self, TableRecord},
};

impl Catalog {
    /// Tables and views of a database, by name, as the last look found them.
    ///
    /// # Errors
    /// `database_not_found`.
    pub async fn tables(&self, database: &DatabaseName) -> Result<Vec<Table>> {
        let mut connection = self.inner.store.read().await?;
        let records = tables::list(&mut connection, Some(database), self.inner.settings.default_freshness).await?;
        if records.is_empty() && !database::exists(&mut connection, database).await? {
            return Err(database::not_found(&mut connection, database).await?);
        }
        let aliases = self.aliases_among(database, &records);
        let mut all: Vec<Table> =
            records.into_iter().map(|record| self.as_opened(record.table)).chain(aliases).collect();
        all.sort_by(|left, right| left.name.table().cmp(right.name.table()));
        Ok(all)
    }

    /// One table or view, as the last look found it. In memory after the first time.
    ///
    /// # Errors
    /// `table_not_found` (with the nearest name as hint) or `database_not_found`.
    pub async fn table(&self, name: &TableName) -> Result<Table> {
        Ok(self.as_opened(self.described(name).await?))
    }

    /// The same as the catalog file has it.
    pub(crate) async fn described(&self, name: &TableName) -> Result<Table> {
        match self.inner.slots.described(name) {
            Ok(table) => Ok(table),
            Err(generation) => {
                let mut connection = self.inner.store.read().await?;
                if let Some(record) = find(&mut connection, name, self.inner.settings.default_freshness).await? {
                    self.inner.slots.describe(generation, &record.table);
                    return Ok(record.table);
                }
                match self.alias(&mut connection, name).await? {
                    Some(view) => Ok(view),
                    None => Err(not_found(&mut connection, name).await?),
                }
            }
        }
    }

    /// Stores a query under a name. Whether it is valid and free of cycles is the caller's business.
    ///
    /// # Errors
    /// `already_exists` for a table of that name, and for a view unless `or_replace`; `database_not_found`.
    pub async fn create_view(&self, name: &TableName, sql: &str, schema: SchemaRef, or_replace: bool) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        if let Some(existing) = find(write.connection(), name, self.inner.settings.default_freshness).await? {
            if !existing.is_view() || !or_replace {
                return Err(already_exists(&existing));
            }
            tables::delete(write.connection(), existing.id).await?;
        }
        tables::insert_view(write.connection(), name, sql, &schema, self.inner.clock.now()).await?;
        write.commit().await?;
        self.inner.slots.remove(name);
        Ok(())
    }

    /// Drops a table, or a view with `view`. Files stay. `if_exists`: no error where there is none. Returns whether one
    /// was dropped.
    ///
    /// # Errors
    /// `table_not_found` or `database_not_found`, unless `if_exists`; `invalid_request` for a view dropped as a table and
    /// the other way round.
    pub async fn drop_table(&self, name: &TableName, if_exists: bool, view: bool) -> Result<bool> {
        let mut write = self.inner.store.write().await?;
        let existing = match find(write.connection(), name, self.inner.settings.default_freshness).await {
            Ok(Some(existing)) => existing,
            Ok(None) if view && self.inner.aliases.lock().remove(name).is_some() => return Ok(true),
            Ok(None) if if_exists => return Ok(false),
            Err(error) if if_exists && error.kind() == ErrorKind::DatabaseNotFound => return Ok(false),
            Ok(None) => return Err(not_found(write.connection(), name).await?),
            Err(error) => return Err(error),
        };
        match (existing.is_view(), view) {
            (true, false) => return Err(wrong_kind(name, "view", "Use `DROP VIEW`.")),
            (false, true) => return Err(wrong_kind(name, "table", "Use `DROP TABLE`.")),
            _ => {}
        }
        tables::delete(write.connection(), existing.id).await?;
        write.commit().await?;
        self.inner.slots.remove(name);
        Ok(true)
    }

    /// Changes when new files of a table are looked for.
    ///
    /// # Errors
    /// `table_not_found` or `database_not_found`; `invalid_request` for a view.
    pub async fn set_freshness(&self, name: &TableName, freshness: Freshness) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        let record = match find(write.connection(), name, self.inner.settings.default_freshness).await? {
            Some(record) => record,
            None => return Err(not_found(write.connection(), name).await?),
        };
        match record.table.kind {
            TableKind::View { .. } => {
                return Err(wrong_kind(name, "view", "Set the policy of the tables that it reads."));
            }
            TableKind::Delta { .. } => return Err(wrong_kind(name, "Delta table", "Its log is read by every query.")),
            TableKind::Files { .. } => {}
        }
        tables::set_freshness(write.connection(), record.id, freshness).await?;
        write.commit().await?;
        self.inner.slots.invalidate(name);
        Ok(())
    }

    /// The stored record of a table or view.
    pub(crate) async fn record(&self, name: &TableName) -> Result<TableRecord> {
        let mut connection = self.inner.store.read().await?;
        match find(&mut connection, name, self.inner.settings.default_freshness).await? {
            Some(record) => Ok(record),
            None => Err(not_found(&mut connection, name).await?),
        }
    }
}

/// The record of this name, None if there is none. `database_not_found` if there is no such database.
pub(crate) async fn find(
    connection: &mut SqliteConnection,
    name: &TableName,
    default: Freshness,
) -> Result<Option<TableRecord>> {
    let record = tables::get(&mut *connection, name, default).await?;
    if record.is_none() && !database::exists(&mut *connection, name.database()).await? {
        return Err(database::not_found(connection, name.database()).await?);
    }
    Ok(record)
}

pub(crate) fn already_exists(existing: &TableRecord) -> Error {
    let (what, hint) = match existing.table.kind {
        TableKind::View { .. } => ("view", "Choose another name, or drop the view first."),
        TableKind::Files { .. } | TableKind::Delta { .. } => ("table", "Choose another name, or drop the table first."),
    };
    Error::new(ErrorKind::AlreadyExists, format!("{what} `{}` exists already", existing.table.name)).with_hint(hint)
}

fn wrong_kind(name: &TableName, is: &str, hint: &str) -> Error {
    Error::invalid_request(format!("`{name}` is a {is}")).with_hint(hint)
}

async fn not_found(connection: &mut SqliteConnection, name: &TableName) -> Result<Error> {
    Ok(table_not_found(name, &tables::names(connection, name.database()).await?))
}
