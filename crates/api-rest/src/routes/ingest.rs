//! `/v1/databases/{database}/tables/{table}`: rows in (`POST …/rows`), and what becomes of them (`…/flush`, `…/merge`).

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::Response,
};
use futures::StreamExt;
use lakebed_access::{Principal, audit};
use lakebed_ingest::{Ack, AppendOptions, Compression, MergeReceipt, OnError, Receipt, RowsBody, RowsFormat};
use lakebed_types::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::{ApiError, ApiResult},
    extract::{Caller, Path, Query, media_type, table_name, wrong_media_type},
    incoming,
    routes::json_answer,
    wire::RowProblem,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Characters of an `Idempotency-Key`.
const MAX_KEY_CHARS: usize = 256;

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(append_rows)).routes(routes!(flush_table)).routes(routes!(merge_table))
}

/// The query string of rows to append.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AppendQuery {
    /// What holds before the answer: `memory` (taken, may be lost), `wal` (on this server's disk; the default) or `lake`
    /// (in the table's files).
    #[param(example = "wal")]
    ack: Option<String>,
    /// `reject_batch` (the default): one bad row refuses all. `reject_rows`: the good ones are taken, the others go to
    /// `<table>__rejects`.
    #[param(example = "reject_rows")]
    on_error: Option<String>,
    /// Make a table that is not there yet, with the columns of these rows, where the workgroup allows it.
    #[serde(default)]
    #[param(required = false)]
    create: bool,
    /// `json`, `ndjson`, `csv`, `arrow` or `parquet`; wins over `Content-Type`.
    format: Option<String>,
}

impl AppendQuery {
    fn options(&self, headers: &HeaderMap) -> Result<AppendOptions> {
        let ack = named(self.ack.as_deref(), "ack", Ack::from_name, "`memory`, `wal` and `lake`")?;
        let on_error =
            named(self.on_error.as_deref(), "on_error", OnError::from_name, "`reject_batch` and `reject_rows`")?;
        Ok(AppendOptions {
            ack: ack.unwrap_or(Ack::Wal),
            on_error: on_error.unwrap_or(OnError::RejectBatch),
            idempotency_key: idempotency_key(headers)?,
            create: self.create,
        })
    }
}

fn named<T>(text: Option<&str>, what: &str, read: fn(&str) -> Option<T>, names: &str) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || {
        Error::invalid_request(format!("`{}` is no value of `{what}`", text.escape_debug()))
            .with_hint(format!("There are {names}."))
    };
    read(text).map(Some).ok_or_else(wrong)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
    let wrong = || Error::invalid_request("the `Idempotency-Key` header is not a key");
    let hint = || format!("It has 1 to {MAX_KEY_CHARS} visible ASCII characters, such as a UUID.");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| wrong().with_hint(hint()))
}

/// What became of rows that were sent.
#[derive(Serialize, ToSchema)]
struct AppendAnswer {
    /// Where they stand in this server's log; null where nothing was taken.
    #[schema(example = 4711)]
    lsn: Option<u64>,
    /// Rows that were taken.
    #[schema(example = 1000)]
    accepted: u64,
    /// Rows that were not.
    #[schema(example = 0)]
    rejected: u64,
    /// The first 100 of them.
    errors: Vec<RowProblem>,
    /// What holds for the rows: `memory`, `wal` or `lake`.
    #[schema(example = "wal")]
    durable: &'static str,
    /// With `ack=lake`: the version of the table that has them.
    table_version: Option<i64>,
    /// An earlier request with the same `Idempotency-Key` has brought the rows.
    repeated: bool,
}

impl From<Receipt> for AppendAnswer {
    fn from(receipt: Receipt) -> Self {
        let problem =
            |error: lakebed_ingest::RowError| RowProblem { row: error.row, field: error.field, reason: error.reason };
        Self {
            lsn: receipt.lsn,
            accepted: receipt.accepted,
            rejected: receipt.rejected,
            errors: receipt.errors.into_iter().map(problem).collect(),
            durable: receipt.durable,
            table_version: receipt.table_version,
            repeated: receipt.repeated,
        }
    }
}

/// Appends rows to a table for ingestion. They can be queried when the answer is there, each exactly once.
///
/// The body is NDJSON, a JSON array, CSV with a header, an Arrow IPC stream or a Parquet file, by `Content-Type` or
/// `?format=`, and may be compressed (`Content-Encoding: gzip` or `zstd`). With an `Idempotency-Key`, a request that is
/// sent again is answered with the first one's receipt. 422 `invalid_value` with `errors` where a row is refused under
/// `on_error=reject_batch`: nothing of the body was taken. 429 `ingest_busy` with `Retry-After`: nothing was taken either.
#[utoipa::path(
    post, path = "/v1/databases/{database}/tables/{table}/rows", tag = "rows", operation_id = "append_rows",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "events"),
        AppendQuery,
        ("idempotency-key" = Option<String>, Header, description = "A text of the client's that names this request"),
        ("content-encoding" = Option<String>, Header, description = "`gzip` or `zstd`"),
    ),
    request_body(
        description = "The rows",
        content(
            (String = "application/x-ndjson", example = "{\"id\": 1, \"kind\": \"click\"}\n{\"id\": 2, \"kind\": \"view\"}\n"),
            (Vec<serde_json::Map<String, serde_json::Value>> = "application/json", example = json!([{"id": 1, "kind": "click"}])),
            (String = "text/csv", example = "id,kind\n1,click\n"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )
    ),
    responses((status = 200, description = "What became of the rows", body = AppendAnswer))
)]
async fn append_rows(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
    Query(query): Query<AppendQuery>,
    request: Request,
) -> ApiResult<Response> {
    let name = table_name(&database, &table)?;
    let (parts, body) = request.into_parts();
    let limit = state.settings.rows_limit_bytes;
    let bytes = incoming::chunks(body, limit, state.settings.idle_client).boxed();
    let (format, compression) = (format(&query, &parts.headers)?, compression(&parts.headers)?);
    let length = content_length(&parts.headers);
    if length.is_some_and(|length| length > limit) {
        return Err(incoming::too_large(limit).into());
    }
    let body = RowsBody { format, compression, length, bytes };
    let options = query.options(&parts.headers)?;
    if options.create {
        may_create(&state, &who)?;
    }
    let receipt = state.ingest.append(&who, &name, body, options).await?;
    if receipt.lsn.is_none() && receipt.rejected > 0 {
        return Err(refused(receipt));
    }
    if receipt.created {
        audit::changed(&who, "create table", &name);
    }
    audit::changed(&who, "append rows", &name);
    Ok(json_answer(&AppendAnswer::from(receipt)))
}

fn may_create(state: &RestState, who: &Principal) -> Result<()> {
    if state.query.access().limits_of(who).create_tables {
        return Ok(());
    }
    let message = format!("the workgroup `{}` may not make tables by sending rows", who.workgroup());
    Err(Error::new(ErrorKind::PermissionDenied, message).with_hint("Make the table first: PUT it with `ingest` rules."))
}

/// The problem of a batch that has bad rows: with the rows, as an answer would have them.
fn refused(receipt: Receipt) -> ApiError {
    let answer = AppendAnswer::from(receipt);
    let first = answer.errors.first().map(|error| match &error.field {
        Some(field) => format!(": row {}, field `{field}`: {}", error.row, error.reason),
        None => format!(": row {}: {}", error.row, error.reason),
    });
    let message = format!("{} of the rows cannot be taken, so none was{}", answer.rejected, first.unwrap_or_default());
    let error = Error::new(ErrorKind::InvalidValue, message)
        .with_hint("Correct them, or send `on_error=reject_rows` to keep the good ones.");
    let members = [("accepted", json!(0)), ("rejected", json!(answer.rejected)), ("errors", json!(answer.errors))];
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    ApiError::with_members(error, members)
}

fn format(query: &AppendQuery, headers: &HeaderMap) -> ApiResult<RowsFormat> {
    let names = "json, ndjson, csv, arrow and parquet";
    if let Some(format) = named(query.format.as_deref(), "format", RowsFormat::from_name, names)? {
        return Ok(format);
    }
    match media_type(headers).as_deref() {
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines") => {
            Ok(RowsFormat::NdJson)
        }
        Some("application/json") => Ok(RowsFormat::Json),
        Some("text/csv") => Ok(RowsFormat::Csv),
        Some("application/vnd.apache.arrow.stream") => Ok(RowsFormat::Arrow),
        Some("application/vnd.apache.parquet") => Ok(RowsFormat::Parquet),
        _ => Err(wrong_media_type(
            "Name the format in `Content-Type`, such as application/x-ndjson or text/csv, or with ?format=ndjson.",
        )),
    }
}

fn compression(headers: &HeaderMap) -> ApiResult<Compression> {
    let coding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("unreadable").trim());
    match coding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "identity") => Ok(Compression::None),
        Some("gzip" | "x-gzip") => Ok(Compression::Gzip),
        Some("zstd") => Ok(Compression::Zstd),
        Some(other) => {
            let error = Error::invalid_request(format!("the body's coding `{}` is not known", other.escape_debug()));
            let error = error.with_hint("`Content-Encoding` is gzip or zstd.");
            Err(ApiError::with_status(error, StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a flush did.
#[derive(Serialize, ToSchema)]
struct FlushAnswer {
    /// The table's version that has all rows acknowledged before the request.
    #[schema(example = 12)]
    version: i64,
    /// Rows that went into files.
    #[schema(example = 1000)]
    rows: u64,
}

/// Writes all acknowledged rows of a table into its files now, and answers when they are there.
#[utoipa::path(
    post, path = "/v1/databases/{database}/tables/{table}/flush", tag = "rows", operation_id = "flush_table",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "events"),
    ),
    responses((status = 200, description = "The rows are in the table's files", body = FlushAnswer))
)]
async fn flush_table(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
) -> ApiResult<Response> {
    let name = table_name(&database, &table)?;
    let done = state.ingest.flush(&who, &name).await?;
    audit::changed(&who, "flush table", &name);
    Ok(json_answer(&FlushAnswer { version: done.version, rows: done.rows }))
}

/// The query string of a merge.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MergeQuery {
    /// The day to merge; all that have several files if missing.
    #[param(example = "2026-11-21")]
    day: Option<String>,
}

/// What a merge did.
#[derive(Serialize, ToSchema)]
struct MergeAnswer {
    /// The table's version after it.
    #[schema(example = 13)]
    version: i64,
    /// The days that were merged; empty for a table without days.
    #[schema(example = json!(["2026-11-21"]))]
    days: Vec<String>,
    /// Days that another server merged or changed meanwhile: nothing was done to them.
    lost: Vec<String>,
    #[schema(example = 40)]
    files_before: u64,
    #[schema(example = 1)]
    files_after: u64,
    /// Rows in the files.
    #[schema(example = 1000000)]
    rows: u64,
}

impl From<MergeReceipt> for MergeAnswer {
    fn from(receipt: MergeReceipt) -> Self {
        let MergeReceipt { version, days, lost, files_before, files_after, rows } = receipt;
        Self { version, days, lost, files_before, files_after, rows }
    }
}

/// Merges the files of a table's days into sorted ones of the target size, and answers when it is done.
#[utoipa::path(
    post, path = "/v1/databases/{database}/tables/{table}/merge", tag = "rows", operation_id = "merge_table",
    params(
        ("database" = String, Path, description = "The database's name", example = "default"),
        ("table" = String, Path, description = "The table's name", example = "events"),
        MergeQuery,
    ),
    responses((status = 200, description = "What was merged", body = MergeAnswer))
)]
async fn merge_table(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path((database, table)): Path<(String, String)>,
    Query(query): Query<MergeQuery>,
) -> ApiResult<Response> {
    let name = table_name(&database, &table)?;
    let day = query.day.as_deref().map(day).transpose()?;
    let done = state.ingest.merge(&who, &name, day).await?;
    audit::changed(&who, "merge table", &name);
    Ok(json_answer(&MergeAnswer::from(done)))
}

fn day(text: &str) -> Result<chrono::NaiveDate> {
    text.parse().map_err(|_| {
        Error::invalid_request(format!("`{}` is not a day", text.escape_debug())).with_hint("Write it as 2026-11-21.")
    })
}
