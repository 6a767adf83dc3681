//! The listener, and the signals that end it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use lakebed_types::{Error, ErrorKind, Result};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Tls,
    addresses::Addresses,
    connection::{self, Context},
};
use crate::settings::ServerSettings;

/// How long to rest when the system has no more handles.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// HTTP/1.1, and HTTP/2 over TLS.
    Http,
    /// gRPC: HTTP/2 alone.
    Flight,
}

impl Api {
    fn scheme(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Api::Http, false) => "http",
            (Api::Http, true) => "https",
            (Api::Flight, false) => "grpc",
            (Api::Flight, true) => "grpc+tls",
        }
    }

    fn way_out(self) -> &'static str {
        match self {
            Api::Http => "Choose another address with --http.",
            Api::Flight => "Choose another address with --flight, or --flight off for none.",
        }
    }
}

/// A bound listener.
pub(crate) struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    api: Api,
    connections: Arc<Semaphore>,
    addresses: Addresses,
    tls: Option<Arc<Tls>>,
    handshake_timeout: Duration,
    header_timeout: Duration,
}

impl HttpServer {
    /// Binds an address for an API, with the bounds of the settings.
    ///
    /// # Errors
    /// `unavailable` if the address is taken or not ours.
    pub(crate) async fn bind(
        address: SocketAddr,
        api: Api,
        settings: &ServerSettings,
        tls: Option<Arc<Tls>>,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, format!("cannot listen on {address}: {error}"))
                .with_hint(format!("Is another server running there? {}", api.way_out()))
                .with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            api,
            connections: Arc::new(Semaphore::new(settings.connections)),
            addresses: Addresses::new(settings.connections_per_address),
            tls,
            handshake_timeout: settings.handshake_timeout,
            header_timeout: settings.header_timeout,
        })
    }

    /// Where it is reached: `https://127.0.0.1:8000`, with the port that the system chose for port 0.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.api.scheme(self.tls.is_some()), self.address)
    }

    /// Accepts connections until `stop`, then lets each finish the answer that it is sending. Beyond the bound,
    /// connections wait in the system's backlog.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let context = Context {
            router,
            api: self.api,
            tls: self.tls.clone(),
            handshake_timeout: self.handshake_timeout,
            header_timeout: self.header_timeout,
            stop: stop.clone(),
        };
        let open = TaskTracker::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.accept(&context, &open) => {}
            }
        }
        open.close();
        open.wait().await;
    }

    async fn accept(&self, context: &Context, open: &TaskTracker) {
        let Ok(permit) = self.connections.clone().acquire_owned().await else { return };
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = self.addresses.take(peer.ip()) else {
                    metrics::counter!("lakebed_connections_refused_total").increment(1);
                    tracing::debug!(%peer, "too many connections from one address");
                    return;
                };
                let served = connection::serve(stream, peer, context.clone());
                open.spawn(async move {
                    served.await;
                    drop((place, permit));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Resolves at the first SIGINT or SIGTERM.
pub(crate) async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be watched");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}
