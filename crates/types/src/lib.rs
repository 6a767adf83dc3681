//! The words every other crate speaks: names, identifiers, error kinds, statement classes, time.
//!
//! Knows nothing of files, networks, threads or SQL text. Nothing here does I/O and nothing is async.

mod clock;
mod error;
mod id;
mod name;
mod size;
mod sql_type;
mod statement;
mod statistics;

pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use id::QueryId;
pub use name::{DatabaseName, TableName};
pub use size::{format_bytes, format_count, parse_bytes};
pub use sql_type::{parse_sql_type, sql_type_name};
pub use statement::{StatementClass, StatementKind};
pub use statistics::{Estimate, QueryState, QueryStatistics, ResultCacheUse, TableEstimate};
