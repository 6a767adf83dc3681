//! A statement on its way: planned, promised as flight info, run, streamed.

use arrow::array::RecordBatch;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use lakebed_access::AdmitOptions;
use lakebed_query::{Parameters, PreparedQuery, RunningQuery};
use lakebed_types::{DatabaseName, Error, ErrorKind, QueryId, Result, TableName};

use crate::{
    FlightState,
    error::{Failure, Outcome},
    guard::Call,
    ipc,
    shape::Shape,
    state::Planned,
    stream::{self, FlightStream},
    ticket::{self, Ticket as Opened},
    wire::TicketPayload,
};

/// A statement with all that it needs to run.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) sql: String,
    pub(crate) database: DatabaseName,
    /// One row of them.
    pub(crate) parameters: Option<RecordBatch>,
}

impl Question {
    /// A statement without parameters.
    pub(crate) fn new(sql: impl Into<String>, call: &Call) -> Self {
        Self { sql: sql.into(), database: call.options.database.clone(), parameters: None }
    }

    /// All rows of a table.
    pub(crate) fn table(name: &TableName) -> Self {
        let sql = format!("SELECT * FROM \"{}\".\"{}\"", name.database(), name.table());
        Self { sql, database: name.database().clone(), parameters: None }
    }

    async fn prepare(&self, state: &FlightState, call: &Call) -> Result<PreparedQuery> {
        let parameters = self.parameters.clone().map_or(Parameters::None, Parameters::Row);
        let mut options = call.options.query(parameters);
        options.database = self.database.clone();
        state.query.prepare(&call.who, &self.sql, &options).await
    }

    /// The schema that its rows will have.
    pub(crate) async fn schema(&self, state: &FlightState, call: &Call) -> Result<Shape> {
        Ok(shape_of(&self.prepare(state, call).await?))
    }

    /// What a client needs to get its rows. A statement that changes something runs here, once: clients of several kinds
    /// ask for this and may never come for the rows.
    pub(crate) async fn info(
        &self,
        state: &FlightState,
        call: &Call,
        descriptor: FlightDescriptor,
    ) -> Outcome<(FlightInfo, QueryId)> {
        let prepared = self.prepare(state, call).await?;
        let (id, shape) = (prepared.id(), shape_of(&prepared));
        let result = match prepared.kind().is_read_only() {
            true => {
                let planned = Planned { who: call.who.clone(), prepared };
                state.plans.put(call.who.name(), id, planned);
                Bytes::new()
            }
            false => ipc::write_batch(&self.run_to_end(state, call, prepared, &shape).await?)?,
        };
        let payload = TicketPayload {
            principal: call.who.name().to_owned(),
            expires: expiry(state),
            query: id.to_string(),
            sql: Some(self.sql.clone()),
            database: self.database.as_str().to_owned(),
            parameters: self.parameters.as_ref().map(ipc::write_batch).transpose()?.unwrap_or_default(),
            schema: shape.digest().into(),
            result,
        };
        Ok((flight_info(state, &shape, state.signer.sign(payload), descriptor)?, id))
    }

    async fn run_to_end(
        &self,
        state: &FlightState,
        call: &Call,
        prepared: PreparedQuery,
        shape: &Shape,
    ) -> Outcome<RecordBatch> {
        let batches = collect(state, call, prepared).await?;
        match batches.first() {
            Some(batch) => Ok(shape.fit(batch)?),
            None => Ok(RecordBatch::new_empty(shape.schema().clone())),
        }
    }

    /// Its rows.
    pub(crate) async fn rows(&self, state: &FlightState, call: &Call) -> Outcome<(FlightStream, QueryId)> {
        let prepared = self.prepare(state, call).await?;
        let id = prepared.id();
        Ok((run(state, call, prepared).await?, id))
    }

    /// Runs it for what it does, and tells how many rows it wrote: -1 where it is no such statement.
    pub(crate) async fn update(&self, state: &FlightState, call: &Call) -> Outcome<i64> {
        let prepared = self.prepare(state, call).await?;
        if prepared.kind().is_read_only() {
            drain(state, call, prepared).await?;
            return Ok(-1);
        }
        let batches = collect(state, call, prepared).await?;
        Ok(batches.first().and_then(row_count).unwrap_or(0))
    }
}

/// The number of rows in the result of a statement that writes.
pub(crate) fn row_count(batch: &RecordBatch) -> Option<i64> {
    use arrow::{array::AsArray, datatypes::Int64Type};
    let counts = batch.column_by_name("count")?.as_primitive_opt::<Int64Type>()?;
    (!counts.is_empty()).then(|| counts.value(0))
}

/// Flight info with one endpoint, which every address of this server serves.
///
/// # Errors
/// `internal`.
pub(crate) fn flight_info(
    state: &FlightState,
    shape: &Shape,
    ticket: Bytes,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo> {
    let mut endpoint = FlightEndpoint { ticket: Some(Ticket { ticket }), ..FlightEndpoint::default() };
    endpoint.expiration_time.get_or_insert_default().seconds = expiry(state);
    Ok(FlightInfo {
        schema: ipc::schema_bytes(shape.schema())?,
        flight_descriptor: Some(descriptor),
        endpoint: vec![endpoint],
        total_records: -1,
        total_bytes: -1,
        ordered: true,
        app_metadata: Bytes::new(),
    })
}

/// Seconds since 1970 until which what is given out now is good.
pub(crate) fn expiry(state: &FlightState) -> i64 {
    let lifetime = i64::try_from(state.settings.ticket_lifetime.as_secs()).unwrap_or(i64::MAX);
    state.clock.now().timestamp().saturating_add(lifetime)
}

/// The rows of a ticket.
pub(crate) async fn rows_of(state: &FlightState, call: &Call, ticket: Opened) -> Outcome<(FlightStream, QueryId)> {
    if let Some(result) = ticket.result()? {
        let shape = Shape::exact(result.schema());
        return Ok((stream::of_batch(&result, &shape, call.options.compression)?, ticket.query));
    }
    let prepared = match planned(state, call, ticket.query) {
        Some(prepared) => prepared,
        None => again(state, call, &ticket).await?,
    };
    let id = prepared.id();
    Ok((run(state, call, prepared).await?, id))
}

/// The plan, if it is still here and this caller has the rights that it was made with.
fn planned(state: &FlightState, call: &Call, id: QueryId) -> Option<PreparedQuery> {
    let planned = state.plans.take(call.who.name(), id)?;
    planned.who.has_rights_of(&call.who).then_some(planned.prepared)
}

/// Plans a ticket's statement once more: here for the first time, or for a second reading.
async fn again(state: &FlightState, call: &Call, ticket: &Opened) -> Result<PreparedQuery> {
    let sql = ticket.payload.sql.clone().ok_or_else(ticket::expired)?;
    let database = DatabaseName::new(&ticket.payload.database)?;
    let question = Question { sql, database, parameters: ticket.parameters()? };
    let prepared = question.prepare(state, call).await?;
    if !prepared.kind().is_read_only() {
        return Err(Error::internal("a ticket holds a statement that changes something"));
    }
    if !ticket.payload.schema.is_empty() && shape_of(&prepared).digest() != ticket.payload.schema {
        return Err(Error::new(ErrorKind::Conflict, "the columns have changed since the ticket was given out")
            .with_hint("Ask for flight info again."));
    }
    state.runs.put(call.who.name(), ticket.query, prepared.id());
    Ok(prepared)
}

/// Parameters may still change what can be NULL, so with them everything may.
fn shape_of(prepared: &PreparedQuery) -> Shape {
    Shape::of(&prepared.schema(), !prepared.parameters().fields().is_empty())
}

async fn run(state: &FlightState, call: &Call, prepared: PreparedQuery) -> Outcome<FlightStream> {
    let shape = shape_of(&prepared);
    let running = start(state, call, prepared).await?;
    let (compression, idle_client) = (call.options.compression, state.settings.idle_client);
    Ok(stream::of_query(&state.query, running, shape, compression, idle_client)?)
}

async fn start(state: &FlightState, call: &Call, prepared: PreparedQuery) -> Outcome<RunningQuery> {
    let id = prepared.id();
    let failed = |error| Failure::of(error, id);
    let options = AdmitOptions { timeout: call.options.timeout, ..AdmitOptions::default() };
    let admitted = state.query.admit(&call.who, &prepared, &options).await.map_err(failed)?;
    state.query.run(admitted, prepared).await.map_err(failed)
}

/// The whole result of a statement that has a small one.
pub(crate) async fn collect(state: &FlightState, call: &Call, prepared: PreparedQuery) -> Outcome<Vec<RecordBatch>> {
    let RunningQuery { id, batches, .. } = start(state, call, prepared).await?;
    batches.try_collect().await.map_err(|error| Failure::of(error, id))
}

async fn drain(state: &FlightState, call: &Call, prepared: PreparedQuery) -> Outcome<()> {
    let RunningQuery { id, batches, .. } = start(state, call, prepared).await?;
    batches.try_for_each(|_| async { Ok(()) }).await.map_err(|error| Failure::of(error, id))
}
