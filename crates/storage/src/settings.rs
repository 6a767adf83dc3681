//! Credentials, endpoints and bounds of the stores, as plain data.

use std::time::Duration;

/// Credentials, endpoints, timeouts: plain data, read from the environment and files by the binary.
#[derive(Clone)]
pub struct StorageSettings {
    /// Options for object_store by their `AmazonS3ConfigKey` / `GoogleConfigKey` / `AzureConfigKey` names, such as
    /// (`aws_region`, `eu-west-1`), (`aws_endpoint`, `http://127.0.0.1:8333`), (`aws_allow_http`, `true`).
    /// Case does not matter, later entries win, names that a store does not know are passed over.
    pub options: Vec<(String, String)>,
    /// To open a connection. Default 3 s.
    pub connect_timeout: Duration,
    /// For one request with its body. Default 30 s.
    pub request_timeout: Duration,
    /// Retries of one request. Default 3.
    pub retry_limit: usize,
    /// No retry starts later than this after the request's start. Default 20 s.
    pub retry_budget: Duration,
    /// Requests under way at once, per store. Default 128.
    pub max_connections: usize,
    /// Memory for blocks of remote objects, in bytes; 0 keeps none. Default 0.
    pub cache_bytes: u64,
    /// Runtime that network I/O runs on; None = the current one.
    pub io_runtime: Option<tokio::runtime::Handle>,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            options: Vec::new(),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(30),
            retry_limit: 3,
            retry_budget: Duration::from_secs(20),
            max_connections: 128,
            cache_bytes: 0,
            io_runtime: None,
        }
    }
}

impl std::fmt::Debug for StorageSettings {
    /// Leaves the options' values out: some are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageSettings")
            .field("options", &self.options.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("retry_limit", &self.retry_limit)
            .field("retry_budget", &self.retry_budget)
            .field("max_connections", &self.max_connections)
            .field("cache_bytes", &self.cache_bytes)
            .finish_non_exhaustive()
    }
}
