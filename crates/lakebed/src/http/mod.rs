//! The HTTP listener: bounded connections, bounded waits, TLS, graceful end.

mod addresses;
mod connection;
mod server;
mod tls;

pub(crate) use server::{HttpServer, shutdown_signal};
pub(crate) use tls::{Loaded as LoadedTls, Tls};
