//! A statement as a client sends it: SQL text, or JSON around it.

use std::time::Duration;

use axum::{
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use lakebed_query::{Parameters, QueryOptions};
use lakebed_types::{DatabaseName, Error};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    RestState,
    error::{ApiError, ApiResult},
    extract::{media_type, parse_json, read_body, wrong_media_type},
    negotiate::{Delivery, cache_policy},
};

/// The API's name in the history.
pub(crate) const SOURCE: &str = "rest";

/// A statement and how to run it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "query": "SELECT origin, count(*) AS flights FROM flights WHERE month = $1 GROUP BY origin",
    "parameters": [7]
}))]
pub(crate) struct Statement {
    /// One SQL statement.
    pub(crate) query: String,
    /// Where unqualified tables are looked up; `default` if missing.
    pub(crate) database: Option<String>,
    /// An array for `$1` or `?`, an object for `$name`.
    #[schema(value_type = Option<Object>)]
    pub(crate) parameters: Option<Value>,
    /// Answer with a first page of this many rows and a `next_page_token`, instead of streaming all rows.
    #[schema(minimum = 1)]
    pub(crate) page_size: Option<u64>,
    /// Milliseconds of run time; the smaller of this and the server's limit holds.
    #[schema(minimum = 1)]
    pub(crate) timeout_ms: Option<u64>,
    /// `auto` (default) or `string`: how JSON writes 64-bit integers and decimals.
    pub(crate) numbers: Option<String>,
    /// `json`, `ndjson`, `csv`, `arrow` or `parquet`; wins over `Accept`.
    pub(crate) format: Option<String>,
}

/// The same choices in the query string, for bodies that are plain SQL text. What the JSON body says wins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatementOptions {
    /// Where unqualified tables are looked up; `default` if missing.
    database: Option<String>,
    /// Rows of a first page, instead of streaming all rows.
    #[param(minimum = 1)]
    page_size: Option<u64>,
    /// Milliseconds of run time.
    #[param(minimum = 1)]
    timeout_ms: Option<u64>,
    /// `auto` or `string`: how JSON writes 64-bit integers and decimals.
    numbers: Option<String>,
    /// `json`, `ndjson`, `csv`, `arrow` or `parquet`; wins over `Accept`.
    format: Option<String>,
}

impl Statement {
    /// Fills what the statement leaves open from the query string.
    #[must_use]
    pub(crate) fn or(mut self, options: StatementOptions) -> Self {
        self.database = self.database.or(options.database);
        self.page_size = self.page_size.or(options.page_size);
        self.timeout_ms = self.timeout_ms.or(options.timeout_ms);
        self.numbers = self.numbers.or(options.numbers);
        self.format = self.format.or(options.format);
        self
    }

    pub(crate) fn options(&self, headers: &HeaderMap) -> ApiResult<QueryOptions> {
        let database =
            self.database.as_deref().map_or_else(|| Ok(DatabaseName::default_database()), DatabaseName::new)?;
        let parameters = read_parameters(self.parameters.as_ref())?;
        Ok(QueryOptions { database, parameters, source: SOURCE, result_cache: cache_policy(headers) })
    }

    pub(crate) fn timeout(&self) -> ApiResult<Option<Duration>> {
        match self.timeout_ms {
            Some(0) => Err(Error::invalid_request("`timeout_ms` is 0")
                .with_hint("Leave it out for no limit of your own.")
                .into()),
            other => Ok(other.map(Duration::from_millis)),
        }
    }

    pub(crate) fn delivery(&self, headers: &HeaderMap) -> ApiResult<Delivery> {
        Delivery::negotiate(headers, self.format.as_deref(), self.numbers.as_deref())
    }
}

/// An array is positional, an object is named.
pub(crate) fn read_parameters(parameters: Option<&Value>) -> ApiResult<Parameters> {
    match parameters {
        None | Some(Value::Null) => Ok(Parameters::None),
        Some(Value::Array(values)) => Ok(Parameters::Positional(values.clone())),
        Some(Value::Object(members)) => {
            Ok(Parameters::Named(members.iter().map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
        Some(_) => Err(Error::invalid_request("`parameters` is neither an array nor an object").into()),
    }
}

impl FromRequest<RestState> for Statement {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &RestState) -> ApiResult<Self> {
        let media_type = media_type(request.headers());
        match media_type.as_deref() {
            Some("application/json") => parse_json(&read_body(request, state).await?),
            // A form is what `curl -d` calls any body.
            None | Some("text/plain" | "application/sql" | "application/x-www-form-urlencoded") => {
                let body = read_body(request, state).await?;
                let query = String::from_utf8(body.into())
                    .map_err(|_| Error::invalid_request("the SQL text is not valid UTF-8"))?;
                Ok(Self { query, ..Self::default() })
            }
            Some(_) => Err(wrong_media_type(
                "Send SQL text with `Content-Type: text/plain`, or `{\"query\": \"…\"}` with `application/json`.",
            )),
        }
    }
}
