//! `Handshake`: a user name and a key, in the `authorization` header or in the payload, for the token of all later calls.
//!
//! The token is the key itself. It holds on every server, ends the moment the key is revoked, and nothing that opens the
//! lake has to be kept here.

use std::time::Duration;

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use lakebed_types::{Error, ErrorKind, Result};
use prost::Message;
use tonic::{Request, Streaming};

use crate::{
    FlightState,
    guard::{self, Peer},
};

/// Bytes of a payload.
const MAX_PAYLOAD: usize = 16 << 10;
/// Time for a client to send it.
const WAIT: Duration = Duration::from_secs(10);
/// The token on a server that wants none.
const ANYONE: &str = "anonymous";

/// The token that a client shows from now on, and the answer that carries it.
///
/// # Errors
/// As for `Access::authenticate`, and `invalid_request` for a payload that cannot be read.
pub(crate) async fn handshake(
    state: &FlightState,
    request: Request<Streaming<HandshakeRequest>>,
) -> Result<(String, HandshakeResponse)> {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let header = guard::credentials(request.metadata())?;
    let mut messages = request.into_inner();
    let first = match &header {
        Some(_) => None,
        None => first(&mut messages).await?,
    };
    let protocol_version = first.as_ref().map_or(0, |first| first.protocol_version);
    let credentials = match (header, first) {
        (Some(header), _) => Some(header),
        (None, Some(first)) if !first.payload.is_empty() => Some(of_payload(&first.payload)?),
        _ => None,
    };
    let who = guard::authenticate(state, credentials.as_deref(), peer).await?;
    state.query.access().count_request(&who)?;
    let secret = credentials.as_deref().and_then(lakebed_access::presented_secret);
    let token = match state.query.access().wants_credentials() {
        true => secret.ok_or_else(|| Error::internal("a caller came in without credentials"))?,
        false => ANYONE.to_owned(),
    };
    Ok((token.clone(), HandshakeResponse { protocol_version, payload: token.into() }))
}

async fn first(messages: &mut Streaming<HandshakeRequest>) -> Result<Option<HandshakeRequest>> {
    let late = |_| Error::new(ErrorKind::Unauthenticated, "the handshake took too long");
    let first = tokio::time::timeout(WAIT, messages.message()).await.map_err(late)?;
    first.map_err(|status| Error::invalid_request("the handshake cannot be read").with_source(status))
}

fn of_payload(payload: &[u8]) -> Result<String> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Error::new(ErrorKind::RequestTooLarge, "the handshake's payload is too large"));
    }
    let auth = BasicAuth::decode(payload)
        .map_err(|_| Error::invalid_request("the handshake's payload is no user name and password"))?;
    Ok(guard::basic(&auth.username, &auth.password))
}
