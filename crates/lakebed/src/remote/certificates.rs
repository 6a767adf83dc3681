//! The PEM files that the settings name for TLS.

use std::path::Path;

use lakebed_types::{Error, Result};

use crate::settings::ClientSettings;

/// What is in the files.
#[derive(Default)]
pub(super) struct Certificates {
    /// The authorities that a server's certificate must come from; None for those of the system.
    pub(super) authorities: Option<Vec<u8>>,
    /// This client's certificate and its private key.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// Reads the files.
    pub(super) fn read(settings: &ClientSettings) -> Result<Self> {
        let authorities = settings.ca_cert.as_deref().map(read_file).transpose()?;
        let identity = match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert), Some(key)) => Some((read_file(cert)?, read_file(key)?)),
            (None, None) => None,
            _ => {
                return Err(Error::invalid_request(
                    "a client's certificate needs both client.tls_cert and client.tls_key",
                ));
            }
        };
        Ok(Self { authorities, identity })
    }
}

fn read_file(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        Error::invalid_request(format!("{} cannot be read: {error}", file.display())).with_source(error)
    })
}

/// The error for a file that is not what its setting says.
pub(super) fn no_pem(setting: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::invalid_request(format!("the file of {setting} is no PEM file of a certificate and its key"))
        .with_source(error)
}
