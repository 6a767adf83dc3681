//! The listeners of all APIs: bounded connections, bounded waits, TLS, graceful end.

mod addresses;
mod connection;
mod server;
mod tls;

pub(crate) use server::{Api, HttpServer, shutdown_signal};
pub(crate) use tls::{Loaded as LoadedTls, Tls};
