//! The OpenAPI document: what the routes say of themselves, and the problems that any of them may answer with.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use lakebed_types::ErrorKind;
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        Components, ContentBuilder, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use crate::{
    error::{PROBLEM_JSON, status},
    wire::Problem,
};

#[derive(OpenApi)]
#[openapi(info(
    title = "Lakebed",
    description = "SQL over files in object storage. Every answer has `x-query-id` and `Server-Timing`; every error is \
        `application/problem+json` with a `code` from one closed list.",
    license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
))]
struct Base;

/// What the routes are grouped by, in the order of the documentation.
const TAGS: [(&str, &str); 9] = [
    ("sql", "SQL in, rows out."),
    ("queries", "Run without waiting; history; results page by page."),
    ("rows", "Rows of a table without SQL, out and in."),
    ("catalog", "Databases and tables."),
    ("crawlers", "Find tables in a location."),
    ("compatibility", "Shapes of earlier data APIs, for clients that exist."),
    ("keys", "Who may ask, and for what."),
    ("workgroups", "How much those who ask may use."),
    ("operations", "Health, readiness and metrics."),
];

/// Statuses that HTTP itself brings, besides those of the error kinds.
const PROTOCOL: [(StatusCode, &str); 4] = [
    (StatusCode::METHOD_NOT_ALLOWED, "The route has no such method"),
    (StatusCode::NOT_ACCEPTABLE, "No format fits `Accept`"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body's media type is not one of this route"),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large"),
];

/// The document before the routes are added.
pub(crate) fn base(version: &str) -> Document {
    let mut document = Base::openapi();
    document.info.version = version.to_owned();
    let tag = |(name, description): (&str, &str)| TagBuilder::new().name(name).description(Some(description)).build();
    document.tags = Some(TAGS.into_iter().map(tag).collect());
    add_security(&mut document);
    document
}

/// How a key is sent. The empty requirement stands for servers that have no keys.
fn add_security(document: &mut Document) {
    let components = document.components.get_or_insert_with(Components::new);
    let none: [&str; 0] = [];
    let mut wanted = vec![SecurityRequirement::default()];
    for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
        components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
        wanted.push(SecurityRequirement::new(name, none));
    }
    document.security = Some(wanted);
}

/// Adds the problems to every operation.
pub(crate) fn add_problems(document: &mut Document) {
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema());
    let problems = problems();
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            for (status, description) in &problems {
                let known = operation.responses.responses.entry(status.as_u16().to_string());
                known.or_insert_with(|| RefOr::T(problem_response(description)));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().filter_map(Option::as_mut)
}

/// Status → description: which codes have it.
fn problems() -> BTreeMap<StatusCode, String> {
    let mut codes: BTreeMap<StatusCode, Vec<&str>> = BTreeMap::new();
    for kind in ErrorKind::ALL {
        codes.entry(status(*kind)).or_default().push(kind.code());
    }
    let described = codes.into_iter().map(|(status, codes)| (status, format!("`{}`", codes.join("`, `"))));
    let protocol = PROTOCOL.into_iter().map(|(status, description)| (status, description.to_owned()));
    described.chain(protocol).collect()
}

fn problem_response(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}
