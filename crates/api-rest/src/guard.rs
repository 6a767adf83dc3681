//! Who is asking, found out before any handler runs: a route whose handler forgets to ask is closed, not open. And whether
//! its workgroup may send one more request in this second.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderValue, Method, header},
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
    let who = principal(&state, credentials, address).await;
    match who.and_then(|who| counted(&state, &request, who)) {
        Ok(who) => {
            request.extensions_mut().insert(who.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(who);
            response
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// What must work also for who sends too much: cancelling, watching, and changing the limit.
const UNCOUNTED: [&str; 3] = [METRICS, "/v1/workgroups", "/v1/workgroups/{name}"];
const CANCELLED: &str = "/v1/queries/{id}";

fn counted(state: &RestState, request: &Request, who: Principal) -> Result<Principal> {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let cancels = path == CANCELLED && request.method() == Method::DELETE;
    if !cancels && !UNCOUNTED.contains(&path) {
        state.query.access().count_request(&who)?;
    }
    Ok(who)
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
