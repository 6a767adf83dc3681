//! Tables that the server makes: `system.*` and `information_schema.*`, filled with what the principal may see.

mod crawls;
mod files;
mod information_schema;
mod ingest;
mod metrics;
mod queries;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{catalog::TableProvider, datasource::MemTable};
use lakebed_access::Principal;
use lakebed_catalog::{Table, TableKind};
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};

pub(crate) use files::partition_label;
pub(crate) use ingest::IngestState;
pub use ingest::IngestStatus;

use crate::{
    error::{from_engine, nearest},
    service::Engine,
};

const SYSTEM: &str = "system";
const INFORMATION_SCHEMA: &str = "information_schema";

const SYSTEM_TABLES: &[&str] = &[
    "queries",
    "running",
    "metrics",
    "ingest",
    "tables",
    "partitions",
    "files",
    "crawlers",
    "crawl_runs",
    "crawl_report",
];
const INFORMATION_SCHEMA_TABLES: &[&str] = &["schemata", "tables", "columns", "views"];

/// Whether the server keeps this database's name for itself.
pub(crate) fn is_system(database: &DatabaseName) -> bool {
    matches!(database.as_str(), SYSTEM | INFORMATION_SCHEMA)
}

/// The table as it is now.
pub(crate) async fn provider(engine: &Engine, who: &Principal, name: &TableName) -> Result<Arc<dyn TableProvider>> {
    let batch = rows(engine, who, name).await?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(from_engine)?;
    Ok(Arc::new(table))
}

async fn rows(engine: &Engine, who: &Principal, name: &TableName) -> Result<RecordBatch> {
    let seen = engine.catalog.seen_by(who);
    match (name.database().as_str(), name.table()) {
        (SYSTEM, "queries") => queries::queries(engine, who),
        (SYSTEM, "running") => queries::running(engine, who),
        (SYSTEM, "metrics") => metrics::metrics(engine, who),
        (SYSTEM, "ingest") => ingest::tables(engine, who),
        (SYSTEM, "tables") => files::tables(seen).await,
        (SYSTEM, "partitions") => files::partitions(seen).await,
        (SYSTEM, "files") => files::files(seen).await,
        (SYSTEM, "crawlers") => crawls::crawlers(seen).await,
        (SYSTEM, "crawl_runs") => crawls::runs(seen).await,
        (SYSTEM, "crawl_report") => crawls::report(seen).await,
        (INFORMATION_SCHEMA, "schemata") => information_schema::schemata(seen).await,
        (INFORMATION_SCHEMA, "tables") => information_schema::tables(seen).await,
        (INFORMATION_SCHEMA, "columns") => information_schema::columns(seen).await,
        (INFORMATION_SCHEMA, "views") => information_schema::views(seen).await,
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &TableName) -> Error {
    let tables = if name.database().as_str() == SYSTEM { SYSTEM_TABLES } else { INFORMATION_SCHEMA_TABLES };
    let hint = match nearest(name.table(), tables.iter().copied()) {
        Some(table) => format!("Did you mean `{}.{table}`?", name.database()),
        None => format!("There are: {}.", tables.join(", ")),
    };
    Error::new(ErrorKind::TableNotFound, format!("there is no table {name}")).with_hint(hint)
}

fn is_view(table: &Table) -> bool {
    matches!(table.kind, TableKind::View { .. })
}
