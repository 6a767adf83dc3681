//! The keys of a token issuer, fetched over HTTP: bounded in time and size, and never redirected.

use std::time::Duration;

use async_trait::async_trait;
use lakebed_access::KeySource;
use lakebed_types::{Error, ErrorKind, Result};
use reqwest::{Client, redirect};
use serde::Deserialize;
use url::Url;

use crate::settings::{OidcSettings, is_safe};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Of one request, its body included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a document.
const MAX_BYTES: usize = 1 << 20;
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Where an issuer publishes its keys.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    client: Client,
    issuer: String,
    /// None: the issuer's own document names it.
    jwks_url: Option<Url>,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// `internal` if the HTTP client does not start.
    pub(crate) fn new(settings: &OidcSettings) -> Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Error::internal("the HTTP client does not start").with_source(error))?;
        Ok(Self { client, issuer: settings.issuer.issuer.clone(), jwks_url: settings.jwks_url.clone() })
    }

    /// OpenID Connect Discovery 1.0, section 4.
    async fn discover(&self) -> Result<Url> {
        let url = format!("{}{DISCOVERY}", self.issuer.trim_end_matches('/'));
        let wrong = |what: &str| failed(&format!("{url} {what}"));
        let document = self.get(&url).await?;
        let found: Configuration = serde_json::from_slice(&document)
            .map_err(|error| wrong("is no OpenID configuration").with_source(error))?;
        if found.issuer != self.issuer {
            return Err(wrong("names another issuer than oidc.issuer"));
        }
        let url = Url::parse(&found.jwks_uri).ok().filter(is_safe);
        url.ok_or_else(|| wrong("names keys that are not behind https"))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>> {
        let no_answer = |error: reqwest::Error| failed(&format!("no answer from {url}")).with_source(error);
        let mut response = self.client.get(url).send().await.map_err(no_answer)?;
        if !response.status().is_success() {
            return Err(failed(&format!("{url} answered {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(failed(&format!("{url} sent more than {MAX_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

#[async_trait]
impl KeySource for IssuerKeys {
    async fn fetch(&self) -> Result<Vec<u8>> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        self.get(url.as_str()).await
    }
}

fn failed(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
