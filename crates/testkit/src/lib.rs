//! What tests of several crates need: a lake on disk, a real S3 server, a store that goes wrong, a clock that
//! stands still.
//!
//! Only for tests: no other crate depends on it outside of them. Its functions return plain errors, for tests to unwrap.

mod canned_server;
mod clock;
mod encode;
mod faults;
mod faulty_store;
mod faulty_upload;
mod lake;
mod ports;
mod s3_server;
mod scripts;

pub use canned_server::CannedServer;
pub use clock::MockClock;
pub use encode::{csv_bytes, gzip, json_array_bytes, ndjson_bytes, parquet_bytes};
pub use faults::Fault;
pub use faulty_store::FaultyStore;
pub use lake::TestLake;
pub use s3_server::{S3Key, S3Server, weed_binary};
pub use scripts::{Answer, Door, or_empty, run_scripts, scripts_folder, scripts_lake};

/// What a test unwraps.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
