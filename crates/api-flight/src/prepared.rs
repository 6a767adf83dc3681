//! Prepared statements: kept for their client under a handle, planned anew each time they run, so that they read what is
//! there then.

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use arrow_flight::{
    FlightDescriptor, FlightInfo,
    sql::{ActionCreatePreparedStatementRequest, DoPutPreparedStatementResult},
};
use bytes::Bytes;
use lakebed_query::Parameters;
use lakebed_types::{DatabaseName, Error, ErrorKind, QueryId, Result};
use uuid::Uuid;

use crate::{
    FlightState,
    error::Outcome,
    guard::Call,
    ipc,
    question::Question,
    shape::{Shape, bytes_of},
    stream::FlightStream,
    wire::PreparedStatement,
};

/// Rows of parameters of one update. Each is a statement of its own.
const MAX_ROWS: usize = 1_000;
/// Bytes of the parameters that are kept with a statement.
const MAX_BYTES: usize = 1 << 20;

/// A statement that a client has prepared.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    sql: String,
    database: DatabaseName,
    is_update: bool,
    schema: SchemaRef,
    /// The row that was bound last.
    parameters: Option<RecordBatch>,
}

/// Prepares a statement.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) async fn create(
    state: &FlightState,
    call: &Call,
    request: ActionCreatePreparedStatementRequest,
) -> Result<PreparedStatement> {
    no_transaction(request.transaction_id.as_ref())?;
    let options = call.options.query(Parameters::None);
    let described = state.query.describe(&call.who, &request.query, &options).await?;
    let is_update = !described.kind.is_read_only();
    let shape = Shape::of(&described.schema, !described.parameters.fields().is_empty());
    let statement = Statement {
        sql: request.query,
        database: options.database,
        is_update,
        schema: shape.schema().clone(),
        parameters: None,
    };
    let handle = Uuid::new_v4();
    state.statements.put(call.who.name(), handle, statement);
    Ok(PreparedStatement {
        handle: handle.to_string().into(),
        // Older drivers take a statement without columns for one that changes something, and nothing else.
        dataset_schema: if is_update { Bytes::new() } else { ipc::schema_bytes(shape.schema())? },
        parameter_schema: ipc::schema_bytes(Shape::of(&described.parameters, true).schema())?,
        is_update: Some(is_update),
    })
}

/// Forgets a statement. One that is not there has been forgotten already.
pub(crate) fn close(state: &FlightState, call: &Call, handle: &[u8]) {
    if let Ok(id) = id_of(handle) {
        state.statements.take(call.who.name(), id);
    }
}

/// Keeps a row of parameters for the next run.
///
/// # Errors
/// `not_found`; `unsupported` for several rows, `request_too_large` for a large one.
pub(crate) fn bind(
    state: &FlightState,
    call: &Call,
    handle: &Bytes,
    rows: Option<RecordBatch>,
) -> Result<DoPutPreparedStatementResult> {
    if let Some(rows) = &rows {
        if rows.num_rows() > 1 {
            return Err(Error::new(ErrorKind::Unsupported, "a query takes one row of parameters")
                .with_hint("Run it once for each row."));
        }
        if bytes_of(rows) > MAX_BYTES {
            return Err(Error::new(ErrorKind::RequestTooLarge, "the parameters are too large"));
        }
    }
    let bound = rows.filter(|rows| rows.num_rows() == 1);
    let kept = state.statements.with(call.who.name(), id_of(handle)?, |statement| statement.parameters = bound);
    kept.ok_or_else(gone)?;
    Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle.clone()) })
}

/// Flight info of a statement with the parameters that are bound.
///
/// # Errors
/// `not_found`, and all that can go wrong with a statement.
pub(crate) async fn info(
    state: &FlightState,
    call: &Call,
    handle: &[u8],
    descriptor: FlightDescriptor,
) -> Outcome<(FlightInfo, QueryId)> {
    question(find(state, call, handle)?).info(state, call, descriptor).await
}

/// The rows of a statement with the parameters that are bound.
///
/// # Errors
/// As for [`info`].
pub(crate) async fn rows(state: &FlightState, call: &Call, handle: &[u8]) -> Outcome<(FlightStream, QueryId)> {
    question(find(state, call, handle)?).rows(state, call).await
}

/// The schema that a statement's rows will have.
///
/// # Errors
/// `not_found`.
pub(crate) fn schema(state: &FlightState, call: &Call, handle: &[u8]) -> Result<Shape> {
    Ok(Shape::exact(find(state, call, handle)?.schema))
}

/// Runs a statement once for each row of parameters; the number of rows that were written.
///
/// # Errors
/// `not_found`, `request_too_large`, and all that can go wrong with a statement. Earlier rows stay written.
pub(crate) async fn update(state: &FlightState, call: &Call, handle: &[u8], rows: Option<RecordBatch>) -> Outcome<i64> {
    let statement = find(state, call, handle)?;
    let is_update = statement.is_update;
    let question = question(statement);
    let Some(rows) = rows.filter(|rows| rows.num_rows() > 0) else { return question.update(state, call).await };
    if rows.num_rows() > MAX_ROWS {
        let what = format!("{} rows of parameters are too many for one call", rows.num_rows());
        return Err(Error::new(ErrorKind::RequestTooLarge, what)
            .with_hint("Send rows with a bulk ingestion instead.")
            .into());
    }
    let mut written = 0;
    for at in 0..rows.num_rows() {
        let one = Question { parameters: Some(rows.slice(at, 1)), ..question.clone() };
        written += one.update(state, call).await?;
    }
    Ok(if is_update { written } else { -1 })
}

/// Batches of parameters as one.
///
/// # Errors
/// `invalid_request`.
pub(crate) fn parameters(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    if batches.is_empty() {
        return Ok(None);
    }
    let wrong = |error| Error::invalid_request("the parameters cannot be read").with_source(error);
    concat_batches(schema, batches).map(Some).map_err(wrong)
}

/// There are no transactions, so none can be named.
///
/// # Errors
/// `unsupported`.
pub(crate) fn no_transaction(id: Option<&Bytes>) -> Result<()> {
    match id.filter(|id| !id.is_empty()) {
        Some(_) => Err(Error::new(ErrorKind::Unsupported, "there are no transactions")
            .with_hint("Each statement is done as a whole or not at all; leave autocommit on.")),
        None => Ok(()),
    }
}

fn question(statement: Statement) -> Question {
    Question { sql: statement.sql, database: statement.database, parameters: statement.parameters }
}

fn find(state: &FlightState, call: &Call, handle: &[u8]) -> Result<Statement> {
    state.statements.with(call.who.name(), id_of(handle)?, |statement| statement.clone()).ok_or_else(gone)
}

fn id_of(handle: &[u8]) -> Result<Uuid> {
    std::str::from_utf8(handle).ok().and_then(|text| text.parse().ok()).ok_or_else(gone)
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such prepared statement")
        .with_hint("It was closed, or not used for long, or prepared at another server: prepare it again.")
}
