//! Credentials → principal → admission: who is asking, what they may do, and whether it may start now.
//!
//! The only crate that can make [`Admitted`], without which nothing runs. Knows nothing of SQL, HTTP or tables.

mod access;
mod admission;
mod limits;
mod principal;
mod queue;

pub use access::Access;
pub use admission::Admitted;
pub use limits::{AdmitOptions, Limits};
pub use principal::{Principal, Role};
