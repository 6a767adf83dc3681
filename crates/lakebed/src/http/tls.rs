//! TLS from PEM files, read again when they change.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use lakebed_types::{Error, Result};
use parking_lot::{Mutex, RwLock};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio_rustls::TlsAcceptor;

use crate::settings::TlsSettings;

/// What a client may choose of, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Bytes of a PEM file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Files that were read and fit together.
pub(crate) struct Loaded {
    settings: TlsSettings,
    config: Arc<ServerConfig>,
    stamps: Vec<Stamp>,
}

/// The server's side of TLS. Connections that are open keep the certificate that they began with.
pub(crate) struct Tls {
    loaded: RwLock<Loaded>,
    /// The files as they were at the last look, whether they could be used or not.
    seen: Mutex<Vec<Stamp>>,
}

/// What tells that a file has changed; None where it is not there.
type Stamp = Option<(SystemTime, u64)>;

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `invalid_request` if one cannot be read, holds nothing of use, or does not fit the others.
    pub(crate) fn open(settings: TlsSettings) -> Result<Self> {
        let loaded = Self::load(settings)?;
        Ok(Self { seen: Mutex::new(loaded.stamps.clone()), loaded: RwLock::new(loaded) })
    }

    /// Reads files without using them.
    ///
    /// # Errors
    /// As for [`Tls::open`].
    pub(crate) fn load(settings: TlsSettings) -> Result<Loaded> {
        let stamps = stamps(&settings);
        let config = config(&settings)?;
        Ok(Loaded { settings, config, stamps })
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.loaded.read().config.clone())
    }

    /// Uses these files from the next connection on.
    pub(crate) fn replace(&self, loaded: Loaded) {
        self.seen.lock().clone_from(&loaded.stamps);
        *self.loaded.write() = loaded;
    }

    /// Reads the files again if one of them is another than at the last look, and says in the log what came of it.
    pub(crate) fn look(&self) {
        let settings = self.loaded.read().settings.clone();
        let now = stamps(&settings);
        if std::mem::replace(&mut *self.seen.lock(), now.clone()) == now {
            return;
        }
        match Self::load(settings) {
            Ok(loaded) => {
                self.replace(loaded);
                tracing::info!("the TLS files have changed and are in use");
            }
            Err(error) => {
                tracing::error!(?error, "the TLS files have changed and cannot be used; those from before stay in use");
            }
        }
    }
}

fn stamps(settings: &TlsSettings) -> Vec<Stamp> {
    let files = [Some(&settings.cert), Some(&settings.key), settings.client_ca.as_ref()];
    let stamp = |file: &PathBuf| {
        let known = std::fs::metadata(file).ok()?;
        Some((known.modified().ok()?, known.len()))
    };
    files.into_iter().flatten().map(stamp).collect()
}

fn config(settings: &TlsSettings) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = settings.client_ca.as_deref().map(|file| client_verifier(file, &provider)).transpose()?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("no TLS version is left").with_source(error))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(&settings.cert)?;
    let key = read(&settings.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| wrong(&settings.key, "a private key", error))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let (cert, key) = (settings.cert.display(), settings.key.display());
        Error::invalid_request(format!("the certificate {cert} and the key {key} cannot be used together: {error}"))
            .with_source(error)
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// Lets in who has a certificate of one of these authorities, and nobody else.
fn client_verifier(file: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| wrong(file, "certificates of authorities", error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| wrong(file, "certificates of authorities", error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(file)?;
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| wrong(file, "certificates", error))?;
    if all.is_empty() {
        return Err(Error::invalid_request(format!("{} holds no certificate", file.display()))
            .with_hint("It must be a PEM file with BEGIN CERTIFICATE."));
    }
    Ok(all)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| {
        Error::invalid_request(format!("{} cannot be read: {error}", file.display())).with_source(error)
    };
    if std::fs::metadata(file).map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(Error::invalid_request(format!("{} is too large for a PEM file", file.display())));
    }
    std::fs::read(file).map_err(failed)
}

fn wrong(file: &Path, what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid_request(format!("{} does not hold {what} in PEM: {error}", file.display())).with_source(error)
}
