//! Rows in: validated and harmonized, kept in a write-ahead log, visible at once, and flushed to Delta tables.
//!
//! The way of a row: `decode` turns a body into columns of text or of its own types; `harmonize` makes a table's columns
//! of them by its [`TableRules`] and names each bad row; `log` puts them on stable storage, for all tables one after the
//! other; from there they go to the table's buffer, where queries see them, and in time a flush commits them to the
//! table in the lake together with their position in the log, which says from then on which rows are in files.
//!
//! Knows rows, rules and the order of these steps. Knows nothing of HTTP, SQL text or how a query reads a buffer.

mod append;
mod body;
mod compute;
mod create;
mod decode;
mod faults;
mod flush;
mod harmonize;
mod inner;
mod keys;
mod leased;
mod load;
mod log;
mod maintain;
mod merge;
mod prepare;
mod pressure;
mod receipt;
mod recover;
mod rejects;
mod rules;
mod service;
mod settings;
mod size;
mod table;
mod tail;

#[cfg(test)]
mod tests;

pub use body::{Ack, AppendOptions, Compression, OnError, RowsBody, RowsFormat};
pub use faults::{Faults, NoFaults, Window};
pub use log::LogFolder;
pub use receipt::{FlushReceipt, MAX_LISTED_ERRORS, MergeReceipt, Receipt, RowError, TableStatus, Tail, TailEvent};
pub use rules::{Case, ColumnRules, DayRule, EpochUnit, MergeRules, TableRules, Unknown};
pub use service::IngestService;
pub use settings::IngestSettings;
