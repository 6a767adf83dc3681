//! What clients send: statements that change something, parameters, and rows for tables.

use arrow_flight::{
    FlightData, PutResult,
    sql::{
        Command, CommandStatementIngest, DoPutUpdateResult, TableDefinitionOptions, TableExistsOption,
        TableNotExistOption,
    },
};
use lakebed_query::{Ingest, IngestMode};
use lakebed_types::{DatabaseName, Error, ErrorKind, Result, TableName};
use prost::Message;
use tonic::Streaming;

use crate::{
    FlightState,
    asked::{not_offered, sql_command},
    error::Outcome,
    guard::Call,
    incoming::{self, Bounds, Incoming},
    metadata::CATALOG,
    prepared::{self, no_transaction},
    question::{self, Question},
};

/// Rows of parameters that are read.
const MAX_PARAMETERS: usize = 100_000;

/// Does what the first message says; the answer to it.
///
/// # Errors
/// All that can go wrong with a statement and with what a client sends.
pub(crate) async fn put(state: &FlightState, call: &Call, mut messages: Streaming<FlightData>) -> Outcome<PutResult> {
    let idle = state.settings.idle_client;
    let late = |_| Error::new(ErrorKind::Cancelled, "the client sent nothing for too long");
    let first = tokio::time::timeout(idle, messages.message()).await.map_err(late)?;
    let first = first.map_err(|status| incoming::of_status(&status))?;
    let first = first.ok_or_else(|| Error::invalid_request("the client sent nothing"))?;
    let command = first.flight_descriptor.as_ref().map(|descriptor| sql_command(&descriptor.cmd)).transpose()?;
    let command = command.flatten().ok_or_else(no_command)?;
    let bounds = Bounds { message_bytes: state.settings.message_bytes, idle };
    let incoming = Incoming { first, rest: messages };
    let app_metadata = match command {
        Command::CommandStatementUpdate(update) => {
            no_transaction(update.transaction_id.as_ref())?;
            count(Question::new(update.query, call).update(state, call).await?)
        }
        Command::CommandPreparedStatementUpdate(update) => {
            let rows = parameters(incoming, bounds).await?;
            count(prepared::update(state, call, &update.prepared_statement_handle, rows).await?)
        }
        Command::CommandPreparedStatementQuery(query) => {
            let rows = parameters(incoming, bounds).await?;
            prepared::bind(state, call, &query.prepared_statement_handle, rows)?.encode_to_vec()
        }
        Command::CommandStatementIngest(command) => count(ingest(state, call, command, incoming, bounds).await?),
        other => return Err(not_offered(other.type_url()).into()),
    };
    Ok(PutResult { app_metadata: app_metadata.into() })
}

fn no_command() -> Error {
    Error::invalid_request("the first message has no command of Flight SQL")
        .with_hint("Rows go into tables with CommandStatementIngest, as ADBC's bulk ingestion sends it.")
}

fn count(record_count: i64) -> Vec<u8> {
    DoPutUpdateResult { record_count }.encode_to_vec()
}

async fn parameters(incoming: Incoming, bounds: Bounds) -> Result<Option<arrow::array::RecordBatch>> {
    match incoming.collect(bounds, MAX_PARAMETERS).await? {
        Some((schema, batches)) => prepared::parameters(&schema, &batches),
        None => Ok(None),
    }
}

async fn ingest(
    state: &FlightState,
    call: &Call,
    command: CommandStatementIngest,
    incoming: Incoming,
    bounds: Bounds,
) -> Outcome<i64> {
    no_transaction(command.transaction_id.as_ref())?;
    if command.temporary {
        return Err(Error::new(ErrorKind::Unsupported, "there are no temporary tables").into());
    }
    let mode = mode(command.table_definition_options.as_ref())?;
    let table = table(&command, call)?;
    let (schema, batches) = incoming.open(bounds).await?;
    let options = call.options.query(lakebed_query::Parameters::None);
    let ingest = Ingest { table, mode };
    let prepared = state.query.prepare_ingest(&call.who, ingest, schema, batches, &options).await?;
    let written = question::collect(state, call, prepared).await?;
    Ok(written.first().and_then(question::row_count).unwrap_or(0))
}

fn table(command: &CommandStatementIngest, call: &Call) -> Result<TableName> {
    if command.catalog.as_deref().is_some_and(|catalog| !catalog.is_empty() && catalog != CATALOG) {
        return Err(Error::new(ErrorKind::DatabaseNotFound, "there is no such catalog")
            .with_hint(format!("The one catalog is `{CATALOG}`.")));
    }
    let database = match command.schema.as_deref().filter(|schema| !schema.is_empty()) {
        Some(schema) => DatabaseName::new(schema)?,
        None => call.options.database.clone(),
    };
    TableName::new(database, &command.table)
}

fn mode(options: Option<&TableDefinitionOptions>) -> Result<IngestMode> {
    let options =
        options.ok_or_else(|| Error::invalid_request("the ingestion does not say what to do with its table"))?;
    match (options.if_not_exist(), options.if_exists()) {
        (TableNotExistOption::Create, TableExistsOption::Fail) => Ok(IngestMode::Create),
        (TableNotExistOption::Create, TableExistsOption::Append) => Ok(IngestMode::CreateOrAppend),
        (TableNotExistOption::Create, TableExistsOption::Replace) => Ok(IngestMode::Replace),
        (TableNotExistOption::Fail, TableExistsOption::Append) => Ok(IngestMode::Append),
        (if_not, if_there) => {
            let what = format!("an ingestion cannot {} and {}", if_not.as_str_name(), if_there.as_str_name());
            Err(Error::invalid_request(what))
        }
    }
}
