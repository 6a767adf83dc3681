//! Second names of tables, for as long as the catalog is open: views that are not stored.

use std::collections::HashMap;

use lakebed_types::{DatabaseName, Result, TableName};
use sqlx::SqliteConnection;

use crate::{
    Catalog, Table, TableKind,
    store::tables::{self, TableRecord},
};

impl Catalog {
    /// Gives a table another name, under which it is a view like any other until the catalog is closed. Whatever is stored
    /// under that name comes first, so that nothing is hidden by it; and without the table there is no such view.
    pub fn also_known_as(&self, table: TableName, alias: TableName) {
        self.inner.aliases.lock().insert(alias, table);
    }

    /// The view of this name, as far as the table is there.
    pub(crate) async fn alias(&self, connection: &mut SqliteConnection, alias: &TableName) -> Result<Option<Table>> {
        let Some(name) = self.inner.aliases.lock().get(alias).cloned() else { return Ok(None) };
        let record = tables::get(connection, &name, self.inner.settings.default_freshness).await?;
        Ok(record.map(|record| view_of(&record.table, alias)))
    }

    /// The views of a database whose tables are `stored`.
    pub(crate) fn aliases_among(&self, database: &DatabaseName, stored: &[TableRecord]) -> Vec<Table> {
        let find = |name: &TableName| stored.iter().map(|record| &record.table).find(|table| table.name == *name);
        let aliases: HashMap<TableName, TableName> = self.inner.aliases.lock().clone();
        let seen = aliases.iter().filter_map(|(alias, name)| {
            let is_free = alias.database() == database && find(alias).is_none();
            if is_free { find(name).map(|table| view_of(table, alias)) } else { None }
        });
        seen.collect()
    }
}

fn view_of(table: &Table, alias: &TableName) -> Table {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let (database, name) = (quoted(table.name.database().as_str()), quoted(table.name.table()));
    Table {
        name: alias.clone(),
        kind: TableKind::View { sql: format!("SELECT * FROM {database}.{name}") },
        schema: table.schema.clone(),
        comment: Some(format!("another name of {}", table.name)),
        created: table.created,
        changed: table.changed,
        last_listed: None,
        newest_file: None,
        files: 0,
        rows: None,
        bytes: 0,
        warnings: Vec::new(),
    }
}
