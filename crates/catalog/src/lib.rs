//! Databases, tables, partitions, files, crawlers and their runs in SQLite; and the crawler that finds them.
//!
//! Knows names, snapshots and freshness: which files a table has now, and when to look again. Knows nothing of SQL text
//! or HTTP. What a principal may see of it is [`Seen`]; it also keeps the keys and workgroups of `access`. One
//! process owns a catalog file at a time, so what is in memory is the truth and a query over a known table costs no read
//! of the catalog file.
//!
//! The rooms: `store` is SQLite and nothing else; `survey` lists a location and looks into new files; `content` and
//! `settled` decide what one table has from what was found; `look` does that for one table, `crawler` for a whole location.

mod alias;
mod catalog;
mod content;
mod crawler;
mod database;
mod delta;
mod external;
mod failure;
mod freshness;
mod keys;
mod lock;
mod look;
mod members;
mod model;
mod path;
mod seen;
mod settled;
mod snapshot;
mod store;
mod survey;
mod table;
mod workgroups;

pub use catalog::{Catalog, CatalogSettings};
pub use crawler::report::{Change, CrawlProgress, CrawlReport, CrawlRequest, Crawler, Outcome, ReportEntry, RunState};
pub use freshness::Freshness;
pub use model::{CreateDeltaTable, CreateTable, Database, Partition, Table, TableKind};
pub use seen::Seen;

#[cfg(test)]
mod tests;
