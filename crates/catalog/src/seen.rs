//! The catalog as one principal sees it: what it may not see does not exist.

use lakebed_access::Principal;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};

use crate::{
    Catalog, CrawlReport, Crawler, Database, Table, TableKind,
    failure::{crawler_not_found, database_not_found, table_not_found},
};

/// The catalog as one principal sees it. A name that is hidden and one that does not exist give the same error, and its
/// hint knows only what may be seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    catalog: &'a Catalog,
    who: &'a Principal,
}

impl Catalog {
    /// The catalog as this principal sees it.
    pub fn seen_by<'a>(&'a self, who: &'a Principal) -> Seen<'a> {
        Seen { catalog: self, who }
    }
}

impl<'a> Seen<'a> {
    /// Who looks.
    pub fn who(self) -> &'a Principal {
        self.who
    }

    /// The catalog itself, for names that were found here.
    pub fn catalog(self) -> &'a Catalog {
        self.catalog
    }

    /// The databases, by name, each with the number of tables that are seen.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn databases(self) -> Result<Vec<Database>> {
        let mut databases = self.catalog.databases().await?;
        databases.retain(|database| self.who.can_see_database(&database.name));
        if !self.who.sees_everything() {
            for database in &mut databases {
                database.tables = self.visible(&database.name).await?.len() as u64;
            }
        }
        Ok(databases)
    }

    /// One database.
    ///
    /// # Errors
    /// `database_not_found`.
    pub async fn database(self, name: &DatabaseName) -> Result<Database> {
        let mut all = self.databases().await?;
        match all.iter().position(|database| database.name == *name) {
            Some(at) => Ok(all.swap_remove(at)),
            None => Err(self.no_database(name).await?),
        }
    }

    /// The tables and views of a database, by name.
    ///
    /// # Errors
    /// `database_not_found`.
    pub async fn tables(self, database: &DatabaseName) -> Result<Vec<Table>> {
        match self.who.can_see_database(database) {
            true => match self.visible(database).await {
                Err(error) if error.kind() == ErrorKind::DatabaseNotFound => Err(self.no_database(database).await?),
                tables => tables,
            },
            false => Err(self.no_database(database).await?),
        }
    }

    /// The tables and views of all databases, by database and name.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn all_tables(self) -> Result<Vec<Table>> {
        let mut all = Vec::new();
        for database in self.databases().await? {
            all.extend(self.visible(&database.name).await?);
        }
        Ok(all)
    }

    /// The text of a view; None for who does not see everything, because it may name what is hidden.
    pub fn view_text(self, table: &Table) -> Option<&str> {
        match &table.kind {
            TableKind::View { sql } if self.who.sees_everything() => Some(sql),
            _ => None,
        }
    }

    /// One table or view.
    ///
    /// # Errors
    /// `table_not_found`, `database_not_found`.
    pub async fn table(self, name: &TableName) -> Result<Table> {
        match self.who.can_see_table(name) {
            true => match self.catalog.table(name).await {
                Err(error) if is_not_found(&error) => Err(self.no_table(name).await?),
                table => table,
            },
            false => Err(self.no_table(name).await?),
        }
    }

    /// The crawlers, by name. Who does not see everything sees none: they are about paths.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn crawlers(self) -> Result<Vec<Crawler>> {
        match self.who.sees_everything() {
            true => self.catalog.crawlers().await,
            false => Ok(Vec::new()),
        }
    }

    /// One crawler.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn crawler(self, name: &str) -> Result<Crawler> {
        match self.who.sees_everything() {
            true => self.catalog.crawler(name).await,
            false => Err(crawler_not_found(name, &[])),
        }
    }

    /// The last runs of all crawlers, newest first, without entries.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn runs(self, limit: usize) -> Result<Vec<CrawlReport>> {
        match self.who.sees_everything() {
            true => self.catalog.runs(None, limit).await,
            false => Ok(Vec::new()),
        }
    }

    /// The error for a database that this principal does not find.
    async fn no_database(self, name: &DatabaseName) -> Result<Error> {
        let known: Vec<String> =
            self.databases().await?.into_iter().map(|database| database.name.as_str().to_owned()).collect();
        Ok(database_not_found(name, &known))
    }

    /// The error for a table that this principal does not find.
    async fn no_table(self, name: &TableName) -> Result<Error> {
        match self.tables(name.database()).await {
            Ok(tables) => {
                let known: Vec<String> = tables.into_iter().map(|table| table.name.table().to_owned()).collect();
                Ok(table_not_found(name, &known))
            }
            Err(error) if error.kind() == ErrorKind::DatabaseNotFound => Ok(error),
            Err(error) => Err(error),
        }
    }

    async fn visible(self, database: &DatabaseName) -> Result<Vec<Table>> {
        let mut tables = self.catalog.tables(database).await?;
        tables.retain(|table| self.who.can_see_table(&table.name));
        Ok(tables)
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::DatabaseNotFound)
}
