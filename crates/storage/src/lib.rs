//! Location URL → object store: which buckets and folders may be reached, with which credentials,
//! timeouts and retries, and what each request cost.
//!
//! Knows object stores and nothing of tables, formats or SQL. Every store that leaves this crate
//! refuses paths outside the allowed prefixes, counts requests and bytes, and bounds every wait. Blocks of remote
//! objects stay in memory for readers that say which version of an object they want ([`ObjectVersion`]).

mod allow_list;
mod aws_profile;
mod bucket;
mod cache;
mod classify;
mod connect;
mod counted;
mod counters;
mod guarded;
mod instance_credentials;
mod local;
mod location;
mod location_text;
mod opened;
mod s3_error;
mod settings;
mod storage;
mod upload;
mod version;
mod walk;

pub use allow_list::Mode;
pub use aws_profile::aws_profile_options;
pub use classify::{classify, classify_chain};
pub use counters::StoreCounters;
pub use location::Location;
pub use settings::StorageSettings;
pub use storage::Storage;
pub use version::{ObjectVersion, immutable};
