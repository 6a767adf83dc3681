//! Flight as a client sees it: over a socket, against a real query service over files on disk.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod access;
mod guide;
mod hostile;
mod ingest;
mod leftovers;
mod metadata;
mod plain;
mod prepared;
mod scripts;
mod server;
mod sessions;
mod statements;
mod tickets;
mod types;
