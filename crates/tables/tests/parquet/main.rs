//! Parquet tables as a user meets them: through the engine, over files on a local disk.
#![expect(clippy::unwrap_used, reason = "tests")]

mod columns;
mod lake;
mod open;
mod pages;
mod pruning;
mod safety;
mod scan;
mod write;
