//! SQL text → checked plan → admitted run → stream of batches and statistics.
//!
//! The façade of the product: every API is a translation to [`QueryService`]. Knows no protocol. The only crate besides
//! `tables` that names DataFusion, and none of DataFusion's types leave it.

mod admit;
mod background;
mod batch_size;
mod cancel;
mod change;
mod declare;
mod error;
mod estimate;
mod etag;
mod execute;
mod explain;
mod functions;
mod gauges;
mod guard;
mod history;
mod ingest;
mod memory;
mod metering;
mod operators;
mod pace;
mod page;
mod plan;
mod prepare;
mod prepared;
mod resolve;
mod result_cache;
mod rows;
mod run;
mod runtime;
mod service;
mod session;
mod settings;
mod show;
mod slow;
mod spill;
mod spool;
mod sql;
mod stats;
mod system;
mod table_rows;
mod tame;
mod watchdog;
mod work;
mod write;

pub use history::QueryRecord;
pub use ingest::{Ingest, IngestMode};
pub use page::ParquetPage;
pub use prepared::{Description, Parameters, PreparedQuery, QueryOptions};
pub use result_cache::CachePolicy;
pub use rows::RowsRequest;
pub use run::{BatchStream, RunningQuery};
pub use service::QueryService;
pub use settings::{QuerySettings, SqlLimits};
pub use spool::ResultPage;
pub use stats::StatsHandle;
pub use system::IngestStatus;
