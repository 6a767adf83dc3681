//! `[server]`: addresses, connections and shutdown.

use std::{net::SocketAddr, time::Duration};

use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "server.http", default: "127.0.0.1:8000", about: "Address of the HTTP API." },
    Key {
        name: "server.insecure",
        default: "false",
        about: "Serve without keys on an address that is not loopback: everyone who reaches it may query.",
    },
    Key {
        name: "server.open_metrics",
        default: "false",
        about: "Answer `/metrics` without a key; otherwise an administrator's is needed once there are keys.",
    },
    Key { name: "server.connections", default: "1000", about: "Open HTTP connections at once." },
    Key { name: "server.header_timeout", default: "10s", about: "Time for a client to send its request's headers." },
    Key { name: "server.body_limit", default: "1MiB", about: "Size of a request's body." },
    Key { name: "server.shutdown_grace", default: "30s", about: "Time for running queries to end at shutdown." },
    Key {
        name: "server.parquet_pages",
        default: "",
        about: "Path of `/query-parquet`, such as `s3://bucket/state={statename}/dname={dname}/{dname}.parquet`.",
    },
    Key {
        name: "server.token_secret",
        default: "",
        about: "Secret that signs page tokens; servers that share clients share it (default: `token.key` in `data.dir`).",
    },
];

/// Addresses, connections and shutdown.
#[derive(Debug, Clone)]
pub(crate) struct ServerSettings {
    pub(crate) http: SocketAddr,
    pub(crate) insecure: bool,
    pub(crate) open_metrics: bool,
    pub(crate) connections: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) body_limit_bytes: usize,
    pub(crate) shutdown_grace: Duration,
    pub(crate) parquet_pages: Option<String>,
    pub(crate) token_secret: Option<String>,
}

impl ServerSettings {
    /// Reads the section.
    pub(crate) fn read(values: &Values) -> Result<Self> {
        Ok(Self {
            http: values.parse("server.http", "an address such as 127.0.0.1:8000")?,
            insecure: values.flag("server.insecure")?,
            open_metrics: values.flag("server.open_metrics")?,
            connections: values.parse("server.connections", "a number")?,
            header_timeout: values.duration("server.header_timeout")?,
            body_limit_bytes: usize::try_from(values.bytes("server.body_limit")?).unwrap_or(usize::MAX),
            shutdown_grace: values.duration("server.shutdown_grace")?,
            parquet_pages: values.text("server.parquet_pages").map(str::to_owned),
            token_secret: values.text("server.token_secret").map(str::to_owned),
        })
    }
}
