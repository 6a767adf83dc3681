//! One connection: its handshake, its protocol, its end.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{Api, Tls};

/// Bytes of a request's line and headers.
const HEADER_BYTES: usize = 32 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 100;
/// The same for gRPC, whose clients put keys, cookies and parameters of their URLs into headers.
const GRPC_HEADER_BYTES: u32 = 64 << 10;
/// What a client may send ahead on one stream and on one connection: rows for tables come in messages of megabytes.
const GRPC_STREAM_WINDOW: u32 = 4 << 20;
const GRPC_CONNECTION_WINDOW: u32 = 16 << 20;
/// Bytes of one stream's answer that wait in the connection.
const GRPC_SEND_BUFFER: usize = 1 << 20;
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(10);
/// The first byte of every TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// What a client that speaks plain HTTP to a TLS port is told. Not a redirect: it may have sent a key already.
const SPEAK_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 42\r\n\r\n\
    this port speaks TLS: ask it with https://";

/// What a connection needs besides its socket. Cheap to clone.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) router: Router,
    pub(super) api: Api,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) handshake_timeout: Duration,
    pub(super) header_timeout: Duration,
    pub(super) stop: CancellationToken,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, context: Context) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let Some(tls) = context.tls.clone() else {
        return match context.api {
            Api::Http => http1(stream, peer, &context).await,
            Api::Flight if begins(&stream, &context).await => http2(stream, peer, &context).await,
            Api::Flight => {}
        };
    };
    let shaken = tokio::select! {
        shaken = timeout(context.handshake_timeout, handshake(&tls, stream)) => shaken,
        () = context.stop.cancelled() => return,
    };
    let outcome = match shaken {
        Ok(Ok(stream)) if context.api == Api::Flight || is_http2(&stream) => {
            return http2(stream, peer, &context).await;
        }
        Ok(Ok(stream)) => return http1(stream, peer, &context).await,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    metrics::counter!("lakebed_tls_handshakes_failed_total").increment(1);
    tracing::debug!(%peer, reason = outcome, "a TLS handshake failed");
}

/// Whether the client says anything in time: the protocol itself would wait for ever.
async fn begins(stream: &TcpStream, context: &Context) -> bool {
    let mut first = [0];
    tokio::select! {
        peeked = timeout(context.header_timeout, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1))),
        () = context.stop.cancelled() => false,
    }
}

async fn handshake(tls: &Tls, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
        send_away(stream).await?;
        return Err(io::Error::other("the client speaks no TLS"));
    }
    tls.acceptor().accept(stream).await
}

/// Closed with something unread, a socket takes back what was sent on it: so the client's request is read to its end.
async fn send_away(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(SPEAK_TLS).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// Drives a connection, and tells it to `end` when the server stops.
async fn drive<C>(connection: C, stop: &CancellationToken, end: impl FnOnce(Pin<&mut C>))
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stop.cancelled() => {
            end(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn http1(stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr, context: &Context) {
    let router = TowerToHyperService::new(context.router.clone());
    let service = service_fn(move |request: Request<Incoming>| router.call(with_peer(request, peer)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.header_timeout)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    drive(connection, &context.stop, |connection| connection.graceful_shutdown()).await;
}

async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr, context: &Context) {
    let router = TowerToHyperService::new(context.router.clone());
    let service = service_fn(move |request: Request<Incoming>| router.call(with_peer(request, peer)));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT);
    if context.api == Api::Flight {
        builder
            .max_header_list_size(GRPC_HEADER_BYTES)
            .initial_stream_window_size(GRPC_STREAM_WINDOW)
            .initial_connection_window_size(GRPC_CONNECTION_WINDOW)
            .max_send_buf_size(GRPC_SEND_BUFFER);
    }
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    drive(connection, &context.stop, |connection| connection.graceful_shutdown()).await;
}

fn with_peer(mut request: Request<Incoming>, peer: SocketAddr) -> Request<Incoming> {
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}
