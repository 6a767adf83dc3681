//! The write-ahead log: one for all tables of a node, one thread that writes it, one fsync for all who wait.
//!
//! A folder of files `wal-<first position>.log`. A file is complete and on stable storage before the next is begun, and
//! is deleted when each table's rows in it are committed to the lake. The first failed fsync ends it: what the disk has
//! is known only to who opens it again.

mod file;
mod folder;
mod group;
mod handle;
mod record;
mod tracked;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use file::{Cut, read, scan};
pub use folder::LogFolder;
pub(crate) use handle::{Entry, Log, LogStart};
pub(crate) use record::{Intent, KeptKey, Part, Record, Rows};
pub(crate) use tracked::TrackedFile;
