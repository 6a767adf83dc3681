//! `GET /v1/databases/{database}/tables/{table}/tail`: new rows as they come, as server-sent events.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use futures::{StreamExt, stream};
use lakebed_access::Principal;
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_ingest::TailEvent;
use lakebed_types::{Error, ErrorKind, QueryId, Result};
use serde::Deserialize;
use tokio::{sync::OwnedSemaphorePermit, time::Interval};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::{ApiResult, problem, status},
    extract::{Caller, Path, Query, table_name},
};

/// How often a stream without rows says that it is still there, so that neither side takes the other for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(tail_table))
}

/// The query string of a tail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TailQuery {
    /// Rows after this position of the server's log; from now on if missing. A `Last-Event-ID` header wins.
    #[param(example = 4711)]
    from: Option<u64>,
}

/// Streams the rows that come into a table from now on, or from a position, as server-sent events.
///
/// An event `rows` has the data `{"lsn", "rows"}` and the position as its id, so that a browser's `EventSource` goes on
/// where it was; the rows of a large request come in several events, and the last one has the id. A position whose rows
/// have gone from memory is 410 `expired`: read the table, then tail it. The stream ends with an event `error` and a
/// problem document where it fails, and without one where the table is dropped or the server stops.
#[utoipa::path(
    get, path = "/v1/databases/{database}/tables/{table}/tail", tag = "rows", operation_id = "tail_table",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "events"),
        TailQuery,
        ("last-event-id" = Option<u64>, Header, description = "The id of the last event that was seen"),
    ),
    responses((status = 200, description = "Events, without an end", content((String = "text/event-stream"))))
)]
async fn tail_table(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
    Query(query): Query<TailQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let name = table_name(&database, &table)?;
    let from = last_event(&headers)?.or(query.from);
    let events = state.ingest.tail(&who, &name, from).await?;
    let place = state.tails.clone().try_acquire_owned().map_err(|_| too_many(state.settings.tails))?;
    let tail = Tail {
        events: Some(events),
        who,
        keep_alive: tokio::time::interval(KEEP_ALIVE),
        stop: state.stop.clone(),
        threads: state.query.threads().clone(),
        _place: place,
    };
    let body =
        stream::unfold(tail, async |mut tail| tail.next().await.map(|text| (Ok::<_, std::io::Error>(text), tail)));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers would hold the rows back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let position = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    position.map(Some).ok_or_else(|| Error::invalid_request("the `Last-Event-ID` header is not a position"))
}

fn too_many(limit: usize) -> Error {
    Error::new(ErrorKind::TooManyRequests, format!("{limit} tails are open on this server already"))
        .with_hint("Close one of them, or raise ingest.tails.")
}

/// A tail on its way to its client.
struct Tail {
    /// None: the last event has been sent.
    events: Option<lakebed_ingest::Tail>,
    who: Principal,
    keep_alive: Interval,
    stop: CancellationToken,
    threads: tokio::runtime::Handle,
    _place: OwnedSemaphorePermit,
}

impl Tail {
    async fn next(&mut self) -> Option<Bytes> {
        let events = self.events.as_mut()?;
        let event = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            () = self.who.ended() => return None,
            event = events.next() => event?,
            _ = self.keep_alive.tick() => return Some(Bytes::from_static(b":\n\n")),
        };
        self.keep_alive.reset();
        let text = match event {
            Ok(event) => self
                .threads
                .spawn(async move { text_of(&event) })
                .await
                .unwrap_or_else(|_| Err(Error::internal("the rows of an event could not be written"))),
            Err(error) => Err(error),
        };
        Some(text.unwrap_or_else(|error| {
            self.events = None;
            failure(&error)
        }))
    }
}

/// NDJSON has one row a line and no other line break: joined by commas its lines are an array's elements.
fn text_of(event: &TailEvent) -> Result<Bytes> {
    let mut rows = Encoder::new(Format::NdJson, event.rows.schema(), EncodeOptions::default())?;
    let lines = rows.batch(&event.rows)?;
    // Who comes back with an id has all rows of its position.
    let id = if event.is_last { format!("id: {}\n", event.lsn) } else { String::new() };
    let mut text = format!("event: rows\n{id}data: {{\"lsn\":{},\"rows\":[", event.lsn).into_bytes();
    let lines = lines.strip_suffix(b"\n").unwrap_or(&lines);
    text.extend(lines.iter().map(|byte| if *byte == b'\n' { b',' } else { *byte }));
    text.extend_from_slice(b"]}\n\n");
    Ok(text.into())
}

fn failure(error: &Error) -> Bytes {
    tracing::debug!(?error, "a tail ended");
    format!("event: error\ndata: {}\n\n", problem(error, status(error.kind()), QueryId::random())).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_event_is_one_line_of_json_whatever_its_rows_hold() {
        let columns: [(&str, ArrayRef); 2] = [
            ("id", Arc::new(Int64Array::from(vec![1, 2]))),
            ("text", Arc::new(StringArray::from(vec![Some("a\nb\r\n\n"), None]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let first = TailEvent { lsn: 7, rows: rows.clone(), is_last: false };
        assert!(!text_of(&first).unwrap().windows(3).any(|window| window == b"id:"));
        let event = TailEvent { lsn: 7, rows, is_last: true };
        let text = String::from_utf8(text_of(&event).unwrap().to_vec()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1], lines.len()), ("event: rows", "id: 7", 4), "{text}");
        let data: Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data, json!({"lsn": 7, "rows": [{"id": 1, "text": "a\nb\r\n\n"}, {"id": 2, "text": null}]}));
    }
}
