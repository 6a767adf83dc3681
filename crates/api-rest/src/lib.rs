//! HTTP and JSON over the query service: routes, OpenAPI, documentation pages.
//!
//! Each handler decodes, calls one façade function and encodes; `error.rs` alone maps errors to statuses. Knows HTTP
//! and the formats' names. Does not know SQL, files or the engine, reads no environment and opens no socket: the
//! caller gives a [`RestState`] and serves the [`router`].

mod compress;
mod envelope;
mod error;
mod execute;
mod extract;
mod guard;
mod incoming;
mod negotiate;
mod openapi;
mod router;
mod routes;
mod rules;
mod settings;
mod state;
mod statement;
mod stream;
mod token;
mod wire;

pub use router::{openapi, router};
pub use settings::RestSettings;
pub use state::RestState;
