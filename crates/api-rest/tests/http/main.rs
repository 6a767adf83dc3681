//! The HTTP API as a client sees it: one file per resource, against a real query service over files on disk.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod compat;
mod crawlers;
mod databases;
mod docs;
mod errors;
mod failures;
mod grants;
mod ingest;
mod keys;
mod landing;
mod matrix;
mod operations;
mod protocol;
mod queries;
mod query_parquet;
mod rows;
mod scripts;
mod server;
mod sql;
mod tables;
mod watchdog;
mod workgroups;
