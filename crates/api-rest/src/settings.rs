//! The settings of the HTTP application. Plain data.

use std::{fmt, time::Duration};

use lakebed_types::QueryId;
use sha2::{Digest, Sha256};

/// What an operator can choose about the HTTP API.
#[derive(Clone)]
pub struct RestSettings {
    /// Template of `/query-parquet`'s path, e.g.
    /// `s3://bucket/state={statename}/dname={dname}/{dname}.parquet`. None: the route answers 404.
    pub parquet_pages: Option<String>,
    /// Bytes that a request's body may have; more is 413. 1 MiB by default.
    pub body_limit_bytes: usize,
    /// Bytes that the body of rows to append may have, as it is sent. 64 MiB by default.
    pub rows_limit_bytes: u64,
    /// Tails of tables that may be open at once. 100 by default.
    pub tails: usize,
    /// Rows that one page of a paged answer may have. 10,000 by default.
    pub page_rows_max: usize,
    /// How long a client may take no byte of a result before its query is ended, or send none of the rows it appends.
    pub idle_client: Duration,
    /// For signing page tokens; random by default. Processes that share clients share it.
    pub token_secret: [u8; 32],
    /// Whether `/metrics` answers without a key. False by default: an administrator's key is needed once there are keys.
    pub open_metrics: bool,
    /// The version that `/health`, the landing page and the OpenAPI document name.
    pub version: &'static str,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            parquet_pages: None,
            body_limit_bytes: 1 << 20,
            rows_limit_bytes: 64 << 20,
            tails: 100,
            page_rows_max: 10_000,
            idle_client: Duration::from_secs(60),
            token_secret: random_secret(),
            open_metrics: false,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// 244 random bits, as two version 4 UUIDs have them.
fn random_secret() -> [u8; 32] {
    Sha256::digest(format!("{}{}", QueryId::random(), QueryId::random())).into()
}

impl fmt::Debug for RestSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestSettings")
            .field("parquet_pages", &self.parquet_pages)
            .field("body_limit_bytes", &self.body_limit_bytes)
            .field("rows_limit_bytes", &self.rows_limit_bytes)
            .field("tails", &self.tails)
            .field("page_rows_max", &self.page_rows_max)
            .field("idle_client", &self.idle_client)
            .field("open_metrics", &self.open_metrics)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
