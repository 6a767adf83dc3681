//! Databases.

use lakebed_types::{DatabaseName, Error, ErrorKind, Result};
use sqlx::SqliteConnection;

use crate::{
    Catalog, Database,
    failure::database_not_found,
    store::{databases, tables},
};

/// Names that the SQL layer answers itself.
const RESERVED: [&str; 2] = ["information_schema", "system"];

impl Catalog {
    /// Creates a database.
    ///
    /// # Errors
    /// `already_exists`, unless `if_not_exists`; `invalid_request` for a reserved name.
    pub async fn create_database(&self, name: &DatabaseName, if_not_exists: bool, comment: Option<&str>) -> Result<()> {
        if RESERVED.contains(&name.as_str()) {
            return Err(
                Error::invalid_request(format!("database name `{name}` is reserved")).with_hint("Choose another name.")
            );
        }
        let mut write = self.inner.store.write().await?;
        let created = databases::insert(write.connection(), name, comment, self.inner.clock.now()).await?;
        write.commit().await?;
        match created || if_not_exists {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::AlreadyExists, format!("database `{name}` exists already"))
                .with_hint("Use `CREATE DATABASE IF NOT EXISTS` if that is fine.")),
        }
    }

    /// Drops a database. Files stay.
    ///
    /// # Errors
    /// `conflict` if it has tables and not `cascade`, and for the database `default`; `database_not_found`, unless
    /// `if_exists`.
    pub async fn drop_database(&self, name: &DatabaseName, if_exists: bool, cascade: bool) -> Result<()> {
        if *name == DatabaseName::default_database() {
            return Err(Error::new(ErrorKind::Conflict, format!("database `{name}` cannot be dropped"))
                .with_hint("Drop its tables one by one."));
        }
        let mut write = self.inner.store.write().await?;
        let default = self.inner.settings.default_freshness;
        if !exists(write.connection(), name).await? {
            return if if_exists { Ok(()) } else { Err(not_found(write.connection(), name).await?) };
        }
        let inside = tables::list(write.connection(), Some(name), default).await?;
        if !inside.is_empty() && !cascade {
            let message = format!("database `{name}` is not empty, it has {} tables and views", inside.len());
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_hint("Drop them first, or use `DROP DATABASE … CASCADE`."));
        }
        for record in &inside {
            tables::delete(write.connection(), record.id).await?;
        }
        databases::delete(write.connection(), name).await?;
        write.commit().await?;
        inside.iter().for_each(|record| self.inner.slots.remove(&record.table.name));
        Ok(())
    }

    /// All databases, by name.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn databases(&self) -> Result<Vec<Database>> {
        let mut connection = self.inner.store.read().await?;
        let mut all = databases::all(&mut connection).await?;
        let named: Vec<DatabaseName> = self.inner.aliases.lock().keys().map(|alias| alias.database().clone()).collect();
        for database in all.iter_mut().filter(|database| named.contains(&database.name)) {
            let default = self.inner.settings.default_freshness;
            let stored = tables::list(&mut connection, Some(&database.name), default).await?;
            database.tables += self.aliases_among(&database.name, &stored).len() as u64;
        }
        Ok(all)
    }

    /// One database.
    ///
    /// # Errors
    /// `database_not_found`, with the nearest name as hint.
    pub async fn database(&self, name: &DatabaseName) -> Result<Database> {
        let all = self.databases().await?;
        let known: Vec<String> = all.iter().map(|database| database.name.as_str().to_owned()).collect();
        all.into_iter().find(|database| database.name == *name).ok_or_else(|| database_not_found(name, &known))
    }
}

pub(crate) async fn exists(connection: &mut SqliteConnection, name: &DatabaseName) -> Result<bool> {
    Ok(databases::all(connection).await?.iter().any(|database| database.name == *name))
}

/// The error for a database that does not exist.
pub(crate) async fn not_found(connection: &mut SqliteConnection, name: &DatabaseName) -> Result<Error> {
    let known: Vec<String> =
        databases::all(connection).await?.into_iter().map(|database| database.name.as_str().to_owned()).collect();
    Ok(database_not_found(name, &known))
}
