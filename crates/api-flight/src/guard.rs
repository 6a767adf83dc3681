//! Who is calling, found out before any call is looked at: a call that forgets to ask is closed, not open. Also the options
//! of the caller's session, and whether its workgroup may send one more request in this second.

use std::{net::SocketAddr, panic::AssertUnwindSafe};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::FutureExt;
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, Result};
use tonic::{Status, metadata::MetadataMap};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{FlightState, error::Failure, options::Options, session};

/// The one call that a stranger may make: to show who it is.
const HANDSHAKE: &str = "Handshake";
/// The call whose actions count themselves: cancelling must work also for who sends too much.
const ACTION: &str = "DoAction";
/// Where older clients put what the handshake gave them.
const TOKEN_HEADER: &str = "auth-token-bin";

/// Who is calling, and with which options.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) who: Principal,
    pub(crate) options: Options,
    /// The session whose cookie it sent.
    pub(crate) session: Option<Uuid>,
}

impl Call {
    /// Of a request that came through the guard.
    ///
    /// # Errors
    /// `internal` for one that did not.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self> {
        let call = request.extensions().get::<Self>();
        call.cloned().ok_or_else(|| Error::internal("a call came past the guard"))
    }
}

/// Where a call comes from: whoever serves the routes puts it into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<SocketAddr>);

/// The layer around all calls of the Flight service.
pub(crate) async fn guard(State(state): State<FlightState>, mut request: Request, next: Next) -> Response {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let headers = MetadataMap::from_headers(request.headers().clone());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
    request.extensions_mut().insert(Peer(peer));
    let span = tracing::info_span!("flight", method, principal = tracing::field::Empty);
    if method != HANDSHAKE {
        match call(&state, &headers, peer, &method).await {
            Ok(call) => {
                span.record("principal", call.who.name());
                request.extensions_mut().insert(call);
            }
            Err(refused) => return answer(refused),
        }
    }
    metrics::counter!("lakebed_flight_calls_total", "method" => known(&method)).increment(1);
    match AssertUnwindSafe(next.run(request).instrument(span)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => answer(Error::internal("the server failed on this call")),
    }
}

fn answer(error: Error) -> Response {
    Status::from(Failure::from(error)).into_http::<Body>()
}

/// A label must not be a caller's to choose.
fn known(method: &str) -> &'static str {
    const METHODS: [&str; 10] = [
        HANDSHAKE,
        "ListFlights",
        "GetFlightInfo",
        "PollFlightInfo",
        "GetSchema",
        "DoGet",
        "DoPut",
        ACTION,
        "ListActions",
        "DoExchange",
    ];
    METHODS.into_iter().find(|known| *known == method).unwrap_or("unknown")
}

async fn call(state: &FlightState, headers: &MetadataMap, peer: Option<SocketAddr>, method: &str) -> Result<Call> {
    let credentials = credentials(headers)?;
    let who = authenticate(state, credentials.as_deref(), peer).await?;
    if method != ACTION {
        state.query.access().count_request(&who)?;
    }
    let session = session::presented(headers)?;
    let options = session::options(state, who.name(), session)?.with_headers(headers)?;
    Ok(Call { who, options, session })
}

/// The principal of credentials.
///
/// # Errors
/// As for `Access::authenticate`.
pub(crate) async fn authenticate(
    state: &FlightState,
    credentials: Option<&str>,
    peer: Option<SocketAddr>,
) -> Result<Principal> {
    state.query.access().authenticate(credentials, peer.map(|address| address.ip())).await
}

/// What a call presents, as an `Authorization` header has it.
///
/// # Errors
/// `unauthenticated` for what is not text.
pub(crate) fn credentials(headers: &MetadataMap) -> Result<Option<String>> {
    let not_text = |name: &str| Error::new(ErrorKind::Unauthenticated, format!("the header `{name}` is not text"));
    if let Some(value) = headers.get("authorization") {
        return value.to_str().map(|text| Some(text.to_owned())).map_err(|_| not_text("authorization"));
    }
    let Some(value) = headers.get_bin(TOKEN_HEADER) else { return Ok(None) };
    let token = value.to_bytes().ok().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    token.map(|token| Some(format!("Bearer {token}"))).ok_or_else(|| not_text(TOKEN_HEADER))
}

/// User and password as an `Authorization` header has them.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}
