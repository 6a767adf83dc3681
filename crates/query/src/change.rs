//! Changes of the catalog: `CREATE` and `DROP` of databases, tables and views.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use lakebed_access::Principal;
use lakebed_catalog::CreateTable;
use lakebed_storage::Mode;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};

use crate::{service::Engine, system, table_rows::status};

/// One change of the catalog, fully checked.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, for one statement")]
pub(crate) enum Change {
    CreateDatabase { name: DatabaseName, if_not_exists: bool, comment: Option<String> },
    DropDatabase { name: DatabaseName, if_exists: bool, cascade: bool },
    CreateTable(CreateTable),
    DropTable { name: TableName, if_exists: bool, view: bool },
    CreateView { name: TableName, sql: String, schema: SchemaRef, or_replace: bool },
}

/// Makes the change. One row with a status.
pub(crate) async fn apply(engine: &Engine, who: &Principal, change: Change) -> Result<RecordBatch> {
    let catalog = &engine.catalog;
    check_database(&change)?;
    match change {
        Change::CreateDatabase { name, if_not_exists, comment } => {
            catalog.create_database(&name, if_not_exists, comment.as_deref()).await?;
            status(format!("created database {name}"))
        }
        Change::DropDatabase { name, if_exists, cascade } => {
            catalog.drop_database(&name, if_exists, cascade).await?;
            status(format!("dropped database {name}"))
        }
        Change::CreateTable(request) => {
            catalog.storage().check(&request.location, Mode::Read)?;
            let table = catalog.create_external_table(request).await?;
            status(format!("created table {} with {} files", table.name, table.files))
        }
        Change::DropTable { name, if_exists, view } => {
            let what = if view { "view" } else { "table" };
            match catalog.seen_by(who).table(&name).await {
                Ok(_) => {}
                Err(error) if if_exists && is_not_found(&error) => {
                    return status(format!("there was no {what} {name}"));
                }
                Err(error) => return Err(error),
            }
            match catalog.drop_table(&name, if_exists, view).await? {
                true => status(format!("dropped {what} {name}")),
                false => status(format!("there was no {what} {name}")),
            }
        }
        Change::CreateView { name, sql, schema, or_replace } => {
            catalog.create_view(&name, &sql, schema, or_replace).await?;
            status(format!("created view {name}"))
        }
    }
}

/// The names that the server keeps for itself are nobody's.
fn check_database(change: &Change) -> Result<()> {
    let database = match change {
        Change::CreateDatabase { name, .. } | Change::DropDatabase { name, .. } => name,
        Change::CreateTable(request) => request.name.database(),
        Change::DropTable { name, .. } | Change::CreateView { name, .. } => name.database(),
    };
    match system::is_system(database) {
        true => Err(Error::new(ErrorKind::PermissionDenied, format!("database {database} belongs to the server"))),
        false => Ok(()),
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::DatabaseNotFound)
}

impl Change {
    /// What is done, for the audit log: `drop table` and its name.
    pub(crate) fn description(&self) -> (&'static str, String) {
        match self {
            Change::CreateDatabase { name, .. } => ("create database", name.to_string()),
            Change::DropDatabase { name, .. } => ("drop database", name.to_string()),
            Change::CreateTable(request) => ("create table", request.name.to_string()),
            Change::DropTable { name, view: false, .. } => ("drop table", name.to_string()),
            Change::DropTable { name, .. } => ("drop view", name.to_string()),
            Change::CreateView { name, .. } => ("create view", name.to_string()),
        }
    }
}
