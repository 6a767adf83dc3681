//! Whole requests, from a caller who may read: a line with method and path, lines with headers, an empty line, the body.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Uri},
};

use crate::world::world;

pub(super) fn run(input: &[u8]) {
    let Some(request) = parse(input) else { return };
    let has_body = request.method() != Method::HEAD;
    let answer = world().send(request);
    if has_body {
        // What it asks for may be a query that the engine fails at.
        answer.check(true);
    }
}

/// None for what no HTTP library would let through.
fn parse(input: &[u8]) -> Option<Request<Body>> {
    let end = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let mut lines = input[..end].split(|byte| *byte == b'\n');
    let (method, uri) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let mut request = Request::new(Body::from(input.get(end + 2..).unwrap_or_default().to_vec()));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = uri.parse::<Uri>().ok().filter(|uri| uri.path().starts_with('/'))?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    Some(request)
}
