//! A server, asked over HTTP or over Arrow Flight: its URL says which.

mod certificates;
mod flight;
mod http;

use lakebed_types::{DatabaseName, Error, Estimate, Result};

use self::flight::FlightApi;
pub(crate) use self::http::{Appended, HttpApi, Rows};
use crate::{results::Target, settings::ClientSettings};

/// A statement for a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub(crate) sql: &'a str,
    /// The database of unqualified tables.
    pub(crate) database: &'a DatabaseName,
    pub(crate) timeout: Option<std::time::Duration>,
}

/// A server's API for statements.
pub(crate) enum Server {
    Http(HttpApi),
    Flight(FlightApi),
}

impl Server {
    /// Reads the URL and the files of the settings; asks nothing yet. The key is sent with every request.
    pub(crate) fn new(url: &str, settings: &ClientSettings) -> Result<Self> {
        match url.split_once("://") {
            Some((scheme, _)) if flight::is_scheme(scheme) => FlightApi::new(url, settings).map(Self::Flight),
            _ => HttpApi::new(url, settings).map(Self::Http),
        }
    }

    /// Runs a statement there and writes its result here.
    pub(crate) async fn run(&self, statement: Statement<'_>, target: Target<'_>) -> Result<()> {
        match self {
            Self::Http(server) => server.run(statement, target).await,
            Self::Flight(server) => server.run(statement, target).await,
        }
    }

    /// What a statement would read there.
    pub(crate) async fn estimate(&self, statement: Statement<'_>) -> Result<Estimate> {
        match self {
            Self::Http(server) => server.estimate(statement).await,
            Self::Flight(_) => Err(Error::invalid_request("Arrow Flight has no estimates")
                .with_hint("Ask the server's HTTP address: --url http://….")),
        }
    }
}
