//! Actions: prepared statements, cancelling, renewing, sessions.

use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightEndpoint, FlightInfo,
    RenewFlightEndpointRequest, Ticket,
    sql::{
        ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
        ActionCreatePreparedStatementRequest, Any, ProstMessageExt, TicketStatementQuery,
    },
};
use lakebed_types::{Error, ErrorKind, QueryId, Result};
use prost::Message;
use uuid::Uuid;

use crate::{FlightState, guard::Call, prepared, question, session};

const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
const CANCEL_QUERY: &str = "CancelQuery";
const RENEW: &str = "RenewFlightEndpoint";
const CREATE: &str = "CreatePreparedStatement";
const CLOSE: &str = "ClosePreparedStatement";
const SET_OPTIONS: &str = "SetSessionOptions";
const GET_OPTIONS: &str = "GetSessionOptions";
const CLOSE_SESSION: &str = "CloseSession";

/// All actions, and what they do.
const ACTIONS: [(&str, &str); 8] = [
    (CANCEL_FLIGHT_INFO, "Ends a query. CancelFlightInfoRequest, CancelFlightInfoResult."),
    (CANCEL_QUERY, "Ends a query; older than CancelFlightInfo. ActionCancelQueryRequest, ActionCancelQueryResult."),
    (RENEW, "Makes an endpoint's ticket last longer. RenewFlightEndpointRequest, FlightEndpoint."),
    (CREATE, "Prepares a statement. ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult."),
    (CLOSE, "Forgets a prepared statement. ActionClosePreparedStatementRequest, no result."),
    (
        SET_OPTIONS,
        "Sets catalog, schema, compression or timeout-ms. SetSessionOptionsRequest, SetSessionOptionsResult.",
    ),
    (GET_OPTIONS, "Tells the session's options. GetSessionOptionsRequest, GetSessionOptionsResult."),
    (CLOSE_SESSION, "Ends the session. CloseSessionRequest, CloseSessionResult."),
];
/// Of Flight SQL, and not offered: there are no transactions and no Substrait plans.
const NOT_OFFERED: [&str; 5] =
    ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint", "CreatePreparedSubstraitPlan"];

/// What an action gives back.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The one result, where there is one.
    pub(crate) body: Option<Vec<u8>>,
    /// The session that it began.
    pub(crate) begun: Option<Uuid>,
    /// Whether it ended the session.
    pub(crate) ended: bool,
}

impl From<Vec<u8>> for Done {
    fn from(body: Vec<u8>) -> Self {
        Self { body: Some(body), ..Self::default() }
    }
}

/// The actions, for `ListActions`.
pub(crate) fn all() -> impl Iterator<Item = ActionType> {
    let one = |(name, about): (&str, &str)| ActionType { r#type: name.to_owned(), description: about.to_owned() };
    ACTIONS.into_iter().map(one)
}

/// Does an action.
///
/// # Errors
/// `invalid_request` for an action or a body that is not known; those of what it does.
pub(crate) async fn act(state: &FlightState, call: &Call, action: &Action) -> Result<Done> {
    let name = action.r#type.as_str();
    // Who sends too much must still be able to end what runs.
    if !matches!(name, CANCEL_FLIGHT_INFO | CANCEL_QUERY) {
        state.query.access().count_request(&call.who)?;
    }
    match name {
        CANCEL_FLIGHT_INFO => cancel_info(state, call, action).map(Done::from),
        CANCEL_QUERY => cancel_query(state, call, action).map(Done::from),
        RENEW => renew(state, call, action).map(Done::from),
        CREATE => {
            let request: ActionCreatePreparedStatementRequest = unpack(action)?;
            Ok(prepared::create(state, call, request).await?.to_any().encode_to_vec().into())
        }
        CLOSE => {
            let request: ActionClosePreparedStatementRequest = unpack(action)?;
            prepared::close(state, call, &request.prepared_statement_handle);
            Ok(Done::default())
        }
        SET_OPTIONS => {
            let (body, begun) = session::set(state, call, action).await?;
            Ok(Done { body: Some(body), begun, ended: false })
        }
        GET_OPTIONS => session::get(state, call).map(Done::from),
        CLOSE_SESSION => Ok(Done { body: Some(session::close(state, call)), begun: None, ended: true }),
        other if NOT_OFFERED.contains(&other) => {
            Err(Error::new(ErrorKind::Unsupported, format!("the action {other} is not offered")))
        }
        other => Err(Error::invalid_request(format!("`{}` is no action", other.escape_debug()))
            .with_hint("ListActions tells which there are.")),
    }
}

fn unpack<M: Message + Default + ProstMessageExt>(action: &Action) -> Result<M> {
    let any = Any::decode(action.body.as_ref()).ok();
    let message = any.and_then(|any| any.unpack().ok().flatten());
    message.ok_or_else(|| unreadable(&action.r#type))
}

fn unreadable(name: &str) -> Error {
    Error::invalid_request(format!("the request of {name} cannot be read"))
}

fn cancel_info(state: &FlightState, call: &Call, action: &Action) -> Result<Vec<u8>> {
    let request = CancelFlightInfoRequest::decode(action.body.as_ref()).map_err(|_| unreadable(&action.r#type))?;
    let info = request.info.ok_or_else(|| unreadable(&action.r#type))?;
    let status = cancel(state, call, &info)?;
    Ok(CancelFlightInfoResult { status: status as i32 }.encode_to_vec())
}

fn cancel_query(state: &FlightState, call: &Call, action: &Action) -> Result<Vec<u8>> {
    let request: ActionCancelQueryRequest = unpack(action)?;
    let info = FlightInfo::decode(request.info).map_err(|_| unreadable(&action.r#type))?;
    let result = cancel(state, call, &info)? as i32;
    Ok(ActionCancelQueryResult { result }.as_any().encode_to_vec())
}

/// Ends what runs for the info's tickets, and forgets what waits to be run.
fn cancel(state: &FlightState, call: &Call, info: &FlightInfo) -> Result<CancelStatus> {
    let mut status = CancelStatus::NotCancellable;
    let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
    // What is asked about the catalog is its own ticket, and answered at once.
    let is_signed =
        |ticket: &&Ticket| Any::decode(ticket.ticket.as_ref()).is_ok_and(|any| any.is::<TicketStatementQuery>());
    for ticket in tickets.filter(is_signed) {
        let id = state.signer.open_any(&ticket.ticket, &call.who, i64::MIN)?.query;
        if cancel_one(state, call, id)? {
            status = CancelStatus::Cancelled;
        }
    }
    Ok(status)
}

fn cancel_one(state: &FlightState, call: &Call, id: QueryId) -> Result<bool> {
    if state.plans.take(call.who.name(), id).is_some() {
        return Ok(true);
    }
    let again = state.runs.with(call.who.name(), id, |run| *run);
    let mut found = false;
    for id in std::iter::once(id).chain(again) {
        match state.query.cancel(&call.who, id) {
            Ok(_) => found = true,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn renew(state: &FlightState, call: &Call, action: &Action) -> Result<Vec<u8>> {
    let request = RenewFlightEndpointRequest::decode(action.body.as_ref()).map_err(|_| unreadable(&action.r#type))?;
    let mut endpoint: FlightEndpoint = request.endpoint.ok_or_else(|| unreadable(&action.r#type))?;
    let ticket = endpoint.ticket.as_mut().ok_or_else(|| unreadable(&action.r#type))?;
    let now = state.clock.now().timestamp();
    let mut payload = state.signer.open_any(&ticket.ticket, &call.who, now)?.payload;
    payload.expires = question::expiry(state);
    ticket.ticket = state.signer.sign(payload);
    endpoint.expiration_time.get_or_insert_default().seconds = question::expiry(state);
    Ok(endpoint.encode_to_vec())
}
