//! A Lakebed server, asked over HTTP.

use std::{path::Path, time::Duration};

use arrow::buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use bytes::Bytes;
use futures::StreamExt as _;
use lakebed_formats::Format;
use lakebed_types::{Error, ErrorKind, Estimate, Result, TableEstimate, TableName, format_bytes};
use reqwest::{Certificate, Client, ClientBuilder, Identity, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use super::{
    Statement,
    certificates::{Certificates, no_pem},
};
use crate::{display::Display, progress::ResultBar, results::Target, settings::ClientSettings, writer::Output};

/// The route of the keys.
const KEYS: &str = "/v1/keys";
/// How long a server may take for the rows of one request.
const APPEND_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows to send, as one body.
pub(crate) struct Rows<'a> {
    pub(crate) bytes: Bytes,
    pub(crate) media_type: &'a str,
    /// Names the body: a server that has it already does not take it again.
    pub(crate) key: &'a str,
}

/// What a server says of rows that were sent to it.
pub(crate) struct Appended {
    document: Value,
    /// Nothing was taken, because some of the rows cannot be.
    pub(crate) refused: bool,
}

impl Appended {
    pub(crate) fn accepted(&self) -> u64 {
        self.document["accepted"].as_u64().unwrap_or_default()
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.document["rejected"].as_u64().unwrap_or_default()
    }

    /// An earlier request has brought them.
    pub(crate) fn repeated(&self) -> bool {
        self.document["repeated"].as_bool().unwrap_or_default()
    }

    /// The first bad rows: the number in the body, from 1, and what is wrong.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (u64, String)> {
        self.document["errors"].as_array().into_iter().flatten().map(|error| {
            let reason = error["reason"].as_str().unwrap_or_default();
            let text = match error["field"].as_str() {
                Some(field) => format!("field `{field}`: {reason}"),
                None => reason.to_owned(),
            };
            (error["row"].as_u64().unwrap_or_default(), text)
        })
    }
}

/// A server's HTTP API.
pub(crate) struct HttpApi {
    client: Client,
    base: Url,
    key: Option<String>,
}

impl HttpApi {
    /// Reads the URL and the files of the settings; asks nothing yet. The key is sent with every request.
    pub(crate) fn new(url: &str, settings: &ClientSettings) -> Result<Self> {
        let wrong = || {
            Error::invalid_request(format!("`{url}` is not the URL of a server"))
                .with_hint("Write it as http://127.0.0.1:8000 or grpc://127.0.0.1:8815.")
        };
        let base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong());
        }
        let client = with_certificates(Client::builder().connect_timeout(CONNECT_TIMEOUT), settings)?.build();
        let client = client.map_err(|error| Error::internal("the HTTP client does not start").with_source(error))?;
        Ok(Self { client, base, key: settings.key.clone() })
    }

    /// Runs a statement there and writes its result here.
    pub(super) async fn run(&self, statement: Statement<'_>, target: Target<'_>) -> Result<()> {
        let mut body = json!({ "query": statement.sql, "database": statement.database });
        if let Some(timeout) = statement.timeout {
            body["timeout_ms"] = json!(timeout.as_millis() as u64);
        }
        let accept = target.format.unwrap_or(Format::Arrow).media_type();
        let response = self.post("/v1/sql", &body, accept).await?;
        match target.format {
            Some(_) => copy(response, target.output).await,
            None => show(response).await,
        }
    }

    /// What a statement would read there.
    pub(super) async fn estimate(&self, statement: Statement<'_>) -> Result<Estimate> {
        let body = json!({ "query": statement.sql, "database": statement.database });
        let answer = self.document(self.post("/v1/estimate", &body, Format::Json.media_type()).await?).await?;
        let number = |value: &Value, name: &str| value[name].as_u64().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let table = |value: &Value| TableEstimate {
            table: text(&value["table"]),
            columns: value["columns"].as_array().into_iter().flatten().map(text).collect(),
            files: number(value, "files"),
            files_pruned: number(value, "files_pruned"),
            row_groups: number(value, "row_groups"),
            rows: number(value, "rows"),
            bytes: number(value, "bytes"),
        };
        Ok(Estimate {
            files: number(&answer, "files"),
            files_pruned: number(&answer, "files_pruned"),
            row_groups: number(&answer, "row_groups"),
            rows: number(&answer, "rows"),
            bytes: number(&answer, "bytes"),
            price_usd: answer["price_usd"].as_f64().unwrap_or_default(),
            tables: answer["tables"].as_array().into_iter().flatten().map(table).collect(),
        })
    }

    /// Creates a key; the answer holds its text.
    pub(crate) async fn create_key(&self, body: &Value) -> Result<Value> {
        self.document(self.post(KEYS, body, Format::Json.media_type()).await?).await
    }

    /// The keys, as the server lists them.
    pub(crate) async fn list_keys(&self) -> Result<Value> {
        self.document(self.send(self.client.get(self.route(KEYS)?)).await?).await
    }

    /// Revokes a key by id or name.
    pub(crate) async fn revoke_key(&self, key: &str) -> Result<()> {
        let mut url = self.route(KEYS)?;
        // Escapes what a path cannot hold.
        url.path_segments_mut().map_err(|()| Error::internal("a route has no path"))?.push(key);
        self.send(self.client.delete(url)).await.map(drop)
    }

    /// Sends rows to a table. `query`: `ack`, `on_error` and the like.
    ///
    /// # Errors
    /// The problem that the server answers with, unless it is that of rows: then they are in [`Appended::refused`].
    pub(crate) async fn append(&self, table: &TableName, query: &[(&str, &str)], rows: Rows<'_>) -> Result<Appended> {
        let mut url = self.route("/v1/databases")?;
        url.path_segments_mut().map_err(|()| Error::internal("a route has no path"))?.extend([
            table.database().as_str(),
            "tables",
            table.table(),
            "rows",
        ]);
        let request = self.client.post(url).query(query).timeout(APPEND_TIMEOUT);
        let request = request.header(header::CONTENT_TYPE, rows.media_type).header("idempotency-key", rows.key);
        let response = self.answer(request.body(rows.bytes)).await?;
        let refused = response.status() == StatusCode::UNPROCESSABLE_ENTITY;
        if !refused && !response.status().is_success() {
            return Err(problem(response).await);
        }
        let status = response.status();
        let document = self.document(response).await?;
        match document["errors"].is_array() {
            true => Ok(Appended { document, refused }),
            false => Err(problem_of(status, &document)),
        }
    }

    async fn document(&self, response: Response) -> Result<Value> {
        response.json().await.map_err(|error| broken(&self.base, error))
    }

    async fn post(&self, path: &str, body: &Value, accept: &str) -> Result<Response> {
        self.send(self.client.post(self.route(path)?).header(header::ACCEPT, accept).json(body)).await
    }

    fn route(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|error| Error::internal("a route is no URL").with_source(error))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = self.answer(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    /// The answer, whatever its status.
    async fn answer(&self, request: RequestBuilder) -> Result<Response> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        request.send().await.map_err(|error| {
            let failed = Error::new(ErrorKind::Unavailable, format!("no answer from {}{}", self.base, reason(&error)));
            let hint = match self.base.scheme() {
                "https" => "Is a server with TLS running there? Name the authority of its certificate with --ca-cert.",
                _ => "Is the server running there? Start one with `lakebed serve`.",
            };
            failed.with_hint(hint).with_source(error)
        })
    }
}

/// Trusts the authorities that the settings name, if they name any, and shows their certificate to servers that ask.
fn with_certificates(mut builder: ClientBuilder, settings: &ClientSettings) -> Result<ClientBuilder> {
    let certificates = Certificates::read(settings)?;
    if let Some(pem) = &certificates.authorities {
        let all = Certificate::from_pem_bundle(pem).map_err(|error| no_pem("client.ca_cert", error))?;
        if all.is_empty() {
            return Err(Error::invalid_request("the file of client.ca_cert holds no certificate"));
        }
        builder = all.into_iter().fold(builder.tls_built_in_root_certs(false), ClientBuilder::add_root_certificate);
    }
    if let Some((certificate, key)) = certificates.identity {
        let both = [certificate, b"\n".to_vec(), key].concat();
        builder = builder.identity(Identity::from_pem(&both).map_err(|error| no_pem("client.tls_cert", error))?);
    }
    Ok(builder)
}

/// The innermost cause of a failure: what the system, or TLS, says.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!(": {cause}")
}

/// The error that a problem document tells.
async fn problem(response: Response) -> Error {
    let status = response.status();
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let error = problem_of(status, &response.json().await.unwrap_or_default());
    match wait {
        Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
        None => error,
    }
}

fn problem_of(status: StatusCode, document: &Value) -> Error {
    let kind = document["code"].as_str().and_then(ErrorKind::from_code).unwrap_or(ErrorKind::Unavailable);
    let message = document["detail"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
    let error = Error::new(kind, message);
    match document["hint"].as_str() {
        Some(_) if kind == ErrorKind::Unauthenticated => {
            error.with_hint("Set LAKEBED_CLIENT_KEY to a key of that server, or pass it with --key.")
        }
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn broken(server: &Url, error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the answer of {server} broke off: the result is not whole"))
        .with_hint("The query failed there while its result was sent; `GET /v1/queries` tells why.")
        .with_source(error)
}

async fn copy(response: Response, output: Option<&Path>) -> Result<()> {
    let server = response.url().clone();
    let mut output = Output::open(output)?;
    let bar = ResultBar::of_bytes();
    let mut bytes = 0;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| broken(&server, error))?;
        bytes += chunk.len() as u64;
        bar.add(0, chunk.len());
        output.write(&chunk)?;
    }
    drop(bar);
    output.finish()?;
    eprintln!("{} received", format_bytes(bytes));
    Ok(())
}

async fn show(response: Response) -> Result<()> {
    let server = response.url().clone();
    let damaged = |error| Error::internal("the server's Arrow stream is damaged").with_source(error);
    let mut decoder = StreamDecoder::new();
    let mut display: Option<Display> = None;
    let bar = ResultBar::of_rows();
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let mut buffer = Buffer::from(chunk.map_err(|error| broken(&server, error))?);
        while !buffer.is_empty() {
            let Some(batch) = decoder.decode(&mut buffer).map_err(damaged)? else { break };
            bar.add(batch.num_rows(), batch.get_array_memory_size());
            display.get_or_insert_with(|| Display::new(batch.schema())).batch(&batch)?;
        }
    }
    decoder.finish().map_err(damaged)?;
    drop(bar);
    let display = display.or_else(|| decoder.schema().map(Display::new));
    display.map_or(Ok(()), |display| display.finish(""))
}
