//! A server, asked over Arrow Flight SQL: Lakebed, or any other that speaks it.

use std::sync::Arc;

use arrow::{
    datatypes::{Schema, SchemaRef},
    record_batch::RecordBatch,
};
use arrow_flight::{
    FlightEndpoint, FlightInfo, error::FlightError, flight_service_client::FlightServiceClient,
    sql::client::FlightSqlServiceClient,
};
use futures::{Stream, StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use lakebed_types::{Error, ErrorKind, QueryStatistics, Result};
use parking_lot::Mutex;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt as _;
use url::Url;

use super::{Statement, certificates::Certificates};
use crate::{
    results::{self, Target},
    settings::ClientSettings,
};

/// Without TLS, and with.
const PLAIN: [&str; 2] = ["grpc", "grpc+tcp"];
const TLS: &str = "grpc+tls";

const DEFAULT_PORT: u16 = 8815;
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// What may be on its way before it is read: a stream is as fast as this, divided by the round trip.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// A larger message is not taken.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Endpoints that are read at once, where their order says nothing.
const PARALLEL_ENDPOINTS: usize = 8;

/// Headers and the trailer that Lakebed's servers know.
const DATABASE: &str = "database";
const TIMEOUT_MS: &str = "timeout-ms";
const STATISTICS: &str = "x-lakebed-statistics";

type Calls = FlightServiceClient<InterceptedService<Channel, Headers>>;
type Client = FlightSqlServiceClient<InterceptedService<Channel, Headers>>;

/// A server's Flight SQL API.
pub(crate) struct FlightApi {
    channel: Channel,
    url: Url,
    key: Option<MetadataValue<Ascii>>,
}

/// Whether the URLs of this scheme are of Flight servers.
pub(super) fn is_scheme(scheme: &str) -> bool {
    PLAIN.contains(&scheme) || scheme == TLS
}

impl FlightApi {
    /// Reads the URL and the files of the settings; connects at the first statement.
    pub(super) fn new(url: &str, settings: &ClientSettings) -> Result<Self> {
        let wrong = || {
            Error::invalid_request(format!("`{url}` is not the URL of a server"))
                .with_hint("Write it as grpc://127.0.0.1:8815, or grpc+tls:// where the server has a certificate.")
        };
        let url = Url::parse(url).map_err(|_| wrong())?;
        let (host, secure) = (url.host_str().ok_or_else(wrong)?, url.scheme() == TLS);
        let scheme = if secure { "https" } else { "http" };
        let address = format!("{scheme}://{host}:{}", url.port().unwrap_or(DEFAULT_PORT));
        let endpoint = Endpoint::from_shared(address)
            .map_err(|_| wrong())?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let endpoint = if secure { with_tls(endpoint, &Certificates::read(settings)?)? } else { endpoint };
        let bearer = |key: &String| format!("Bearer {key}").parse();
        let key = settings.key.as_ref().map(bearer).transpose();
        let key = key.map_err(|_| Error::invalid_request("the key has characters that no header can hold"))?;
        Ok(Self { channel: endpoint.connect_lazy(), url, key })
    }

    /// Runs a statement there and writes its result here.
    pub(super) async fn run(&self, statement: Statement<'_>, target: Target<'_>) -> Result<()> {
        let mut client = self.client(&statement);
        let asked = client.execute(statement.sql.to_owned(), None);
        let info = asked.await.map_err(|error| self.failed(error))?;
        let schema = self.schema(&info)?;
        let told = Told::default();
        let batches = batches(&client, info, &told).map_err(|error| self.failed(error));
        results::write(target, schema, Box::pin(batches), || told.facts()).await
    }

    fn client(&self, statement: &Statement<'_>) -> Client {
        let headers = Headers::new(self.key.clone(), statement);
        let client = FlightServiceClient::with_interceptor(self.channel.clone(), headers);
        FlightSqlServiceClient::new_from_inner(client.max_decoding_message_size(MAX_MESSAGE_BYTES))
    }

    fn schema(&self, info: &FlightInfo) -> Result<SchemaRef> {
        if info.schema.is_empty() {
            return Ok(Arc::new(Schema::empty()));
        }
        let schema = FlightInfo { schema: info.schema.clone(), ..FlightInfo::default() }.try_decode_schema();
        schema.map(Into::into).map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, error: FlightError) -> Error {
        match error {
            FlightError::Tonic(status) => self.status(*status),
            other => Error::new(ErrorKind::Unavailable, format!("the answer of {} cannot be read", self.url))
                .with_source(other),
        }
    }
}

impl FlightApi {
    /// The error that a status tells: kind and hint from its details, where it is a Lakebed server's.
    fn status(&self, status: Status) -> Error {
        let details = status.get_error_details();
        let info = details.error_info();
        let kind = info.and_then(|info| ErrorKind::from_code(&info.reason)).unwrap_or_else(|| kind_of(status.code()));
        if let Some(cause) = transport_failure(&status) {
            let hint = match self.url.scheme() {
                TLS => "Is a server with TLS running there? Name the authority of its certificate with --ca-cert.",
                _ => "Is the server running there? Start one with `lakebed serve`.",
            };
            return Error::new(ErrorKind::Unavailable, format!("no answer from {}: {cause}", self.url))
                .with_hint(hint)
                .with_source(status);
        }
        let hint = info.and_then(|info| info.metadata.get("hint"));
        // For clients that show nothing else the message ends with the hint.
        let message = hint.and_then(|hint| status.message().strip_suffix(hint.as_str()));
        let error = Error::new(kind, message.map_or(status.message(), |message| message.trim_end_matches(". ")));
        match hint {
            _ if kind == ErrorKind::Unauthenticated => {
                error.with_hint("Set LAKEBED_CLIENT_KEY to a key of that server, or pass it with --key.")
            }
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// What is sent with every call.
#[derive(Clone)]
struct Headers(Vec<(&'static str, MetadataValue<Ascii>)>);

impl Headers {
    fn new(key: Option<MetadataValue<Ascii>>, statement: &Statement<'_>) -> Self {
        let text = |text: String| MetadataValue::<Ascii>::try_from(text).ok();
        let timeout = statement.timeout.and_then(|timeout| text(timeout.as_millis().to_string()));
        let all = [("authorization", key), (DATABASE, text(statement.database.to_string())), (TIMEOUT_MS, timeout)];
        Self(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(*name, value.clone());
        }
        Ok(request)
    }
}

/// What a server tells of a query when its stream has ended.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Option<QueryStatistics>>>);

impl Told {
    fn hear(&self, trailers: Option<MetadataMap>) {
        let statistics = trailers.as_ref().and_then(|trailers| trailers.get(STATISTICS)?.to_str().ok());
        if let Some(statistics) = statistics.and_then(|text| serde_json::from_str(text).ok()) {
            *self.0.lock() = Some(statistics);
        }
    }

    fn facts(&self) -> String {
        self.0.lock().as_ref().map(results::facts).unwrap_or_default()
    }
}

/// The endpoints' batches: one endpoint after the other where the result is ordered, else as they come.
fn batches(
    client: &Client,
    info: FlightInfo,
    told: &Told,
) -> impl Stream<Item = Result<RecordBatch, FlightError>> + use<> {
    let at_once = if info.ordered { 1 } else { PARALLEL_ENDPOINTS };
    let (calls, told) = (client.inner().clone(), told.clone());
    let open = move |endpoint| open(calls.clone(), endpoint, told.clone()).try_flatten_stream().boxed();
    stream::iter(info.endpoint).map(open).flatten_unordered(at_once)
}

async fn open(
    calls: Calls,
    endpoint: FlightEndpoint,
    told: Told,
) -> Result<impl Stream<Item = Result<RecordBatch, FlightError>>, FlightError> {
    let ticket = endpoint.ticket.ok_or_else(|| FlightError::protocol("an endpoint without a ticket"))?;
    let batches = FlightSqlServiceClient::new_from_inner(calls).do_get(ticket).await?;
    Ok(stream::unfold((batches, told), |(mut batches, told)| async move {
        let next = batches.next().await;
        if next.is_none() {
            told.hear(batches.trailers());
        }
        next.map(|next| (next, (batches, told)))
    }))
}

/// Trusts the authorities that the settings name, else the system's, and shows this client's certificate if it has one.
fn with_tls(endpoint: Endpoint, certificates: &Certificates) -> Result<Endpoint> {
    let mut tls = match &certificates.authorities {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &certificates.identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    endpoint.tls_config(tls).map_err(|error| super::certificates::no_pem("client.ca_cert or client.tls_cert", error))
}

/// What the system, or TLS, says where no server has answered.
fn transport_failure(status: &Status) -> Option<String> {
    let mut cause: &dyn std::error::Error = std::error::Error::source(status)?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(cause.to_string())
}

/// For servers that give no details.
fn kind_of(code: tonic::Code) -> ErrorKind {
    use tonic::Code;
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ErrorKind::InvalidQuery,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Cancelled | Code::Aborted => ErrorKind::Cancelled,
        Code::Unimplemented => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ClientSettings {
        ClientSettings { key: None, ca_cert: None, tls_cert: None, tls_key: None }
    }

    #[tokio::test]
    async fn addresses_of_flight_servers() {
        assert!(FlightApi::new("grpc://127.0.0.1", &settings()).is_ok());
        assert!(FlightApi::new("grpc+tcp://localhost:1", &settings()).is_ok());
        assert!(FlightApi::new("grpc+tls://localhost:1", &settings()).is_ok());
        let nowhere = FlightApi::new("grpc://", &settings()).err().unwrap();
        assert_eq!(nowhere.kind(), ErrorKind::InvalidRequest);
    }
}
