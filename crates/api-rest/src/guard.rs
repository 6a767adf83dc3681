//! Who is asking, found out before any handler runs: a route whose handler forgets to ask is closed, not open.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, Result};

use crate::{RestState, error::ApiError, routes::operations::METRICS};

/// The layer around every route that is not open to all. Handlers and the envelope find the principal in the extensions of
/// request and response.
pub(crate) async fn guard(State(state): State<RestState>, mut request: Request, next: Next) -> Response {
    if state.settings.open_metrics && is_metrics(&request) {
        return next.run(request).await;
    }
    let (credentials, address) = (credentials(&request), address(&request));
    match principal(&state, credentials, address).await {
        Ok(who) => {
            request.extensions_mut().insert(who.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(who);
            response
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

fn is_metrics(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str() == METRICS)
}

async fn principal(state: &RestState, credentials: Option<HeaderValue>, address: Option<IpAddr>) -> Result<Principal> {
    let not_text = |_| Error::new(ErrorKind::Unauthenticated, "the `Authorization` header is not text");
    let text = credentials.as_ref().map(|value| value.to_str().map_err(not_text)).transpose()?;
    state.query.access().authenticate(text, address).await
}

fn credentials(request: &Request) -> Option<HeaderValue> {
    request.headers().get(header::AUTHORIZATION).cloned()
}

/// Where the connection comes from: whoever serves the router puts it into the request's extensions.
fn address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}
