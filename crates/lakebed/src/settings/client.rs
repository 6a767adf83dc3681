//! `[client]`: how this command line asks other servers.

use std::path::PathBuf;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "client.key",
        default: "",
        about: "Key or token that commands with `--url` send; what `--key` says otherwise.",
    },
    Key {
        name: "client.ca_cert",
        default: "",
        about: "PEM file of the authorities that a server's certificate must come from (default: the system's).",
    },
    Key {
        name: "client.tls_cert",
        default: "",
        about: "PEM file of this client's certificate, for servers that want one.",
    },
    Key { name: "client.tls_key", default: "", about: "PEM file of that certificate's private key." },
];

/// How this command line asks other servers.
#[derive(Debug, Clone)]
pub(crate) struct ClientSettings {
    pub(crate) key: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
}

impl ClientSettings {
    /// Reads the section.
    pub(crate) fn read(values: &Values) -> Self {
        let file = |name| values.text(name).map(PathBuf::from);
        Self {
            key: values.text("client.key").map(str::to_owned),
            ca_cert: file("client.ca_cert"),
            tls_cert: file("client.tls_cert"),
            tls_key: file("client.tls_key"),
        }
    }
}
