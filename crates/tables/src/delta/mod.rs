//! Delta tables: the log of commits, writing sorted files, merging, retention.
//!
//! The protocol is Delta's public one (reader 1 or 3, writer 2 or 7, with the feature `timestampNtz` alone), so other
//! programs read and write these tables. A commit is one object that is created and never changed: two writers of the
//! same version cannot both succeed. Whether a commit landed is never told from the store's answer, which may be lost,
//! but from the log itself.

mod action;
mod admit;
mod backoff;
mod change;
mod checkpoint;
mod clean;
mod commit;
mod create;
mod data_file;
mod durable;
mod encode;
mod fields;
mod lease;
mod log;
mod merge;
mod nan;
mod partition;
mod probe;
mod replay;
mod state;
mod stats;
mod streams;
mod table;
mod unfinished;
mod upload;
mod vacuum;

#[cfg(test)]
mod tests;

pub use action::{AddFile, Txn};
pub use change::{Removed, Rewritten};
pub use create::DeltaOptions;
pub use fields::lake_schema;
pub use lease::{Held, Lease, Leased};
pub use merge::{MergeOptions, MergeOutcome, MergeProgress, merge_partition};
pub use probe::probe_conditional_put;
pub use state::{DeltaState, PartitionSize};
pub use table::DeltaTable;
