//! The HTTP listener: bounded connections, bounded waits, graceful end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use lakebed_types::{Error, ErrorKind, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::settings::ServerSettings;

/// Bytes of a request's line and headers.
const HEADER_BYTES: usize = 32 << 10;
/// How long to rest when the system has no more handles.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A bound listener.
pub(crate) struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    connections: Arc<Semaphore>,
    header_timeout: Duration,
}

impl HttpServer {
    /// Binds the address of the settings.
    ///
    /// # Errors
    /// `unavailable` if the address is taken or not ours.
    pub(crate) async fn bind(settings: &ServerSettings) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, format!("cannot listen on {}: {error}", settings.http))
                .with_hint("Is another server running there? Choose another address with --http.")
                .with_source(error)
        };
        let listener = TcpListener::bind(settings.http).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let connections = Arc::new(Semaphore::new(settings.connections));
        Ok(Self { listener, address, connections, header_timeout: settings.header_timeout })
    }

    /// The address, with the port that the system chose for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until `stop`, then lets each finish the answer that it is sending. Beyond the bound,
    /// connections wait in the system's backlog.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let open = TaskTracker::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.accept(&router, &stop, &open) => {}
            }
        }
        open.close();
        open.wait().await;
    }

    async fn accept(&self, router: &Router, stop: &CancellationToken, open: &TaskTracker) {
        let Ok(permit) = self.connections.clone().acquire_owned().await else { return };
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), self.header_timeout, stop.clone());
                open.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    header_timeout: Duration,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
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
