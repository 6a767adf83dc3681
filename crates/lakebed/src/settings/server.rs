//! `[server]`: addresses, connections and shutdown.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use lakebed_types::{Error, Result};

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "server.http", default: "127.0.0.1:8000", about: "Address of the HTTP API." },
    Key { name: "server.flight", default: "127.0.0.1:8815", about: "Address of Arrow Flight SQL, or `off`." },
    Key {
        name: "server.flight_message_limit",
        default: "64MiB",
        about: "Size of a message that a client of Flight may send: a batch of rows that it adds to a table.",
    },
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
    Key {
        name: "server.tls_cert",
        default: "",
        about: "PEM file of the server's certificate and those between it and its authority; with it the server speaks only TLS.",
    },
    Key { name: "server.tls_key", default: "", about: "PEM file of that certificate's private key." },
    Key {
        name: "server.tls_client_ca",
        default: "",
        about: "PEM file of authorities: only clients with a certificate of one of them are let in.",
    },
    Key { name: "server.handshake_timeout", default: "10s", about: "Time for a client to begin TLS." },
    Key { name: "server.connections", default: "1000", about: "Open connections at once, of each API." },
    Key {
        name: "server.connections_per_address",
        default: "200",
        about: "Of these, connections of one address (with IPv6, of one /64 network). Behind a proxy, as many as it opens.",
    },
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

/// Where certificate and key are, and who may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Authorities of clients; None: any client.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Addresses, connections and shutdown.
#[derive(Debug, Clone)]
pub(crate) struct ServerSettings {
    pub(crate) http: SocketAddr,
    /// None: there is no Flight.
    pub(crate) flight: Option<SocketAddr>,
    pub(crate) flight_message_bytes: usize,
    pub(crate) insecure: bool,
    pub(crate) open_metrics: bool,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
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
            flight: flight(values)?,
            flight_message_bytes: usize::try_from(values.bytes("server.flight_message_limit")?).unwrap_or(usize::MAX),
            insecure: values.flag("server.insecure")?,
            open_metrics: values.flag("server.open_metrics")?,
            tls: TlsSettings::read(values)?,
            handshake_timeout: values.duration("server.handshake_timeout")?,
            connections: values.parse("server.connections", "a number")?,
            connections_per_address: values.parse("server.connections_per_address", "a number")?,
            header_timeout: values.duration("server.header_timeout")?,
            body_limit_bytes: usize::try_from(values.bytes("server.body_limit")?).unwrap_or(usize::MAX),
            shutdown_grace: values.duration("server.shutdown_grace")?,
            parquet_pages: values.text("server.parquet_pages").map(str::to_owned),
            token_secret: values.text("server.token_secret").map(str::to_owned),
        })
    }
}

fn flight(values: &Values) -> Result<Option<SocketAddr>> {
    match values.text("server.flight") {
        Some(text) if text.eq_ignore_ascii_case("off") => Ok(None),
        _ => values.parse("server.flight", "an address such as 127.0.0.1:8815, or off").map(Some),
    }
}

impl TlsSettings {
    /// Reads the files' names; None where the server speaks plain HTTP.
    pub(crate) fn read(values: &Values) -> Result<Option<Self>> {
        let file = |name| values.text(name).map(PathBuf::from);
        let client_ca = file("server.tls_client_ca");
        match (file("server.tls_cert"), file("server.tls_key")) {
            (Some(cert), Some(key)) => Ok(Some(Self { cert, key, client_ca })),
            (None, None) if client_ca.is_none() => Ok(None),
            _ => Err(Error::invalid_request("TLS needs both server.tls_cert and server.tls_key")
                .with_hint("Set both to PEM files, or none of the server.tls_ settings.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(set: &[&str]) -> Result<Option<TlsSettings>> {
        let mut values = Values::default();
        set.iter().for_each(|name| values.set(name, "x.pem", "lakebed.toml").unwrap());
        TlsSettings::read(&values)
    }

    #[test]
    fn tls_is_whole_or_not_at_all() {
        assert!(tls(&[]).unwrap().is_none());
        assert!(tls(&["server.tls_cert", "server.tls_key"]).unwrap().is_some_and(|tls| tls.client_ca.is_none()));
        for part in ["server.tls_cert", "server.tls_key", "server.tls_client_ca"] {
            assert!(tls(&[part]).is_err(), "{part} alone must not mean plain HTTP");
        }
    }
}
