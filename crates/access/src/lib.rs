//! Credentials → principal → admission: who is asking, what they may do, and whether it may start now.
//!
//! The only crate that can make [`Admitted`], without which nothing runs. Knows nothing of SQL, HTTP or tables, and not
//! where keys and workgroups are kept: a [`KeyStore`] and a [`WorkgroupStore`] do.

mod access;
mod admission;
pub mod audit;
mod breach;
mod credentials;
mod grants;
mod issuer;
mod key;
mod keys;
mod limits;
mod line;
mod logins;
mod memory;
mod principal;
mod queue;
mod rate;
mod secret;
mod usage;
mod workgroup;
mod workgroups;

pub use access::Access;
pub use admission::Admitted;
pub use breach::breach;
pub use credentials::presented_secret;
pub use grants::{Grant, Grants};
pub use issuer::{IssuerSettings, KeySource, RoleRules, TokenAlgorithm};
pub use key::{ApiKey, KeyStore, NewKey};
pub use keys::Keys;
pub use limits::{AdmitOptions, Limit, Limits, QueueTicket};
pub use memory::{MemoryGrant, ServerMemory};
pub use principal::{Principal, Role};
pub use secret::{KeyText, SecretDigest};
pub use usage::Usage;
pub use workgroup::{DEFAULT_WORKGROUP, GroupLimits, Workgroup, WorkgroupStore};
pub use workgroups::Workgroups;
