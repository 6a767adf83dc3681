//! Credentials → principal → admission: who is asking, what they may do, and whether it may start now.
//!
//! The only crate that can make [`Admitted`], without which nothing runs. Knows nothing of SQL, HTTP or tables, and not
//! where keys are kept: a [`KeyStore`] does.

mod access;
mod admission;
pub mod audit;
mod credentials;
mod grants;
mod issuer;
mod key;
mod keys;
mod limits;
mod logins;
mod principal;
mod queue;
mod secret;

pub use access::Access;
pub use admission::Admitted;
pub use grants::{Grant, Grants};
pub use issuer::{IssuerSettings, KeySource, RoleRules, TokenAlgorithm};
pub use key::{ApiKey, KeyStore, NewKey};
pub use keys::Keys;
pub use limits::{AdmitOptions, Limits};
pub use principal::{Principal, Role};
pub use secret::{KeyText, SecretDigest};
