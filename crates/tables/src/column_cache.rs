//! Decoded columns of Parquet files in memory, and scans that go by them.
//!
//! What queries scan again and again is unpacked once. A scan asks the cache for each row group and column that it needs,
//! decodes what is missing, and keeps it; pruning by statistics is the engine's.

mod file;
mod rows;
mod scan;
mod store;

pub(crate) use rows::ColumnMorsel;
pub(crate) use scan::{ColumnScan, ColumnSource};
pub(crate) use store::ColumnCache;
