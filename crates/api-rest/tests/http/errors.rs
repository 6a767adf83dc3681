//! `docs/reference/errors.md` is written from the list of kinds and the statuses that the OpenAPI document tells.

use std::{fs, path::Path};

use lakebed_types::ErrorKind;
use serde_json::Value;

/// Set this variable to write the page instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

#[test]
fn the_reference_page_is_fresh() {
    let file = Path::new("../../docs/reference/errors.md");
    let expected = page(&lakebed_api_rest::openapi());
    if option_env!("UPDATE_DOCS").is_some() {
        fs::write(file, &expected).unwrap();
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert!(found == expected, "{} is stale: build and run this test with {UPDATE}=1", file.display());
}

fn page(document: &Value) -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Every error is `application/problem+json` with `type` (`urn:lakebed:error:<code>`), `title`, `status`, `detail`, `code`,\n\
         `hint` (where there is something to do about it) and `query_id`, which the `x-query-id` header has too. `code` comes from\n\
         this list and means the same at every API. This page is generated.\n\n\
         | code | status | meaning |\n|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        page.push_str(&format!("| `{}` | {} | {} |\n", kind.code(), status(document, *kind), meaning(*kind)));
    }
    page.push_str(
        "\nHTTP itself brings four more statuses, all with `invalid_request` or `request_too_large`: 405 (the route has no such\n\
         method), 406 (no format fits `Accept`), 415 (wrong media type) and 431 (headers too large). 429 and 503 have\n\
         `Retry-After`.\n\n\
         After the first byte the status is sent already. JSON then ends with an `error` member that is a problem document, NDJSON\n\
         with a record `{\"error\": {…}}`, and CSV, Arrow and Parquet break the connection off.\n",
    );
    page
}

/// The status whose description in the document has the code.
fn status(document: &Value, kind: ErrorKind) -> String {
    let responses = document["paths"]["/v1/sql"]["post"]["responses"].as_object().unwrap();
    let code = format!("`{}`", kind.code());
    let has = |response: &Value| response["description"].as_str().unwrap_or_default().contains(&code);
    let found: Vec<&String> =
        responses.iter().filter(|(_, response)| has(response)).map(|(status, _)| status).collect();
    assert_eq!(found.len(), 1, "{code}");
    found[0].clone()
}

/// The kind's own documentation.
fn meaning(kind: ErrorKind) -> String {
    let source = include_str!("../../../types/src/error.rs");
    let line = format!("= \"{}\",", kind.code());
    let at = source.lines().position(|found| found.trim().ends_with(&line)).unwrap();
    let before: Vec<&str> = source.lines().take(at).collect();
    let mut docs: Vec<&str> =
        before.iter().rev().map_while(|line| line.trim().strip_prefix("///")).map(str::trim).collect();
    docs.reverse();
    docs.join(" ")
}
