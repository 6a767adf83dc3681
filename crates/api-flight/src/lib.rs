//! Arrow Flight and Flight SQL on a port of their own.
//!
//! Decodes a call, asks the façade of `query`, encodes its batches. Knows the protocol and no engine: statements, limits,
//! principals and statistics are those of every other API. `error.rs` alone maps errors to codes. Does not read the
//! environment and opens no socket: the caller gives a [`FlightState`] and serves the [`router`].

mod action;
mod asked;
mod error;
mod front;
mod guard;
mod handshake;
mod health;
mod incoming;
mod ipc;
mod listing;
mod metadata;
mod options;
mod prepared;
mod put;
mod question;
mod router;
mod session;
mod settings;
mod shape;
mod shelf;
mod state;
mod stream;
mod ticket;
mod wire;

pub use router::router;
pub use settings::FlightSettings;
pub use state::FlightState;
