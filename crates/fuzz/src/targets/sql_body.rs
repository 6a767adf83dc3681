//! Bodies of `POST /v1/sql`, from a caller who may read: JSON where they begin with a bracket, else SQL. What they ask for
//! runs, for as long as the server lets it.

use axum::{body::Body, http::Request};

use crate::world::world;

pub(super) fn run(input: &[u8]) {
    let media_type = if input.starts_with(b"{") { "application/json" } else { "text/plain" };
    let request = Request::post("/v1/sql").header("content-type", media_type);
    let answer = world().send(request.body(Body::from(input.to_vec())).expect("a request"));
    answer.check(true);
}
