//! From a prepared statement to a response: the way that every route which runs SQL takes.

use axum::response::Response;
use lakebed_access::{AdmitOptions, Principal};
use lakebed_query::PreparedQuery;
use lakebed_types::QueryId;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::{
    RestState,
    error::{ApiError, ApiResult},
    negotiate::Delivery,
    stream::{self, Document, Ended, Source, Trailer},
};

/// Admits and runs a prepared statement and streams its result.
pub(crate) async fn run(
    state: &RestState,
    who: &Principal,
    prepared: PreparedQuery,
    timeout: Option<Duration>,
    delivery: Delivery,
    document: Document,
) -> ApiResult<Response> {
    let id = prepared.id();
    let failed = |error| ApiError::of(error, id);
    let options = AdmitOptions { timeout, ..AdmitOptions::default() };
    let admitted = state.query.admit(who, &prepared, &options).await.map_err(failed)?;
    let running = state.query.run(admitted, prepared).await.map_err(failed)?;
    stream::respond(Source::from(running), delivery, document, state.settings.idle_client).await
}

/// `{"query_id", "columns", "data", "row_count", "statistics"}`.
pub(crate) fn sql_document(id: QueryId) -> Document {
    Document {
        preamble: with_id(id),
        rows_member: None,
        columns: true,
        row_limit: None,
        trailer: count_and_statistics(),
    }
}

/// The first member of our own documents.
pub(crate) fn with_id(id: QueryId) -> Map<String, Value> {
    Map::from_iter([("query_id".to_owned(), json!(id))])
}

fn count_and_statistics() -> Trailer {
    Box::new(|ended: &Ended| {
        let mut members = Map::from_iter([("row_count".to_owned(), json!(ended.rows))]);
        put_statistics(&mut members, ended);
        members
    })
}

/// Statistics come last in every document.
pub(crate) fn put_statistics(members: &mut Map<String, Value>, ended: &Ended) {
    if let Some(statistics) = &ended.statistics {
        members.insert("statistics".into(), json!(statistics));
    }
}
