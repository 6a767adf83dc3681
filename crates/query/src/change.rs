//! Changes of the catalog: `CREATE` and `DROP` of databases, tables and views.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use lakebed_access::Principal;
use lakebed_catalog::CreateTable;
use lakebed_storage::Mode;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};

use crate::{resolve, service::Engine, system, table_rows::status};

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
    check_name(who, &change)?;
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

/// The names that the server keeps for itself are nobody's, and what one may not see one cannot change.
fn check_name(who: &Principal, change: &Change) -> Result<()> {
    let (database, table) = match change {
        Change::CreateDatabase { name, .. } | Change::DropDatabase { name, .. } => (name, None),
        Change::CreateTable(request) => (request.name.database(), Some(&request.name)),
        Change::DropTable { name, .. } | Change::CreateView { name, .. } => (name.database(), Some(name)),
    };
    if system::is_system(database) {
        return Err(Error::new(ErrorKind::PermissionDenied, format!("database {database} belongs to the server")));
    }
    match table {
        _ if !who.can_see_database(database) => {
            Err(Error::new(ErrorKind::DatabaseNotFound, format!("there is no database {database}")))
        }
        Some(name) if !who.can_see_table(name) => Err(resolve::not_there(name)),
        _ => Ok(()),
    }
}
