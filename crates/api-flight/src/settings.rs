//! The settings of the Flight application. Plain data.

use std::{fmt, time::Duration};

/// What an operator can choose about Flight.
#[derive(Clone)]
pub struct FlightSettings {
    /// Bytes of a message that a client may send. 64 MiB by default.
    pub message_bytes: usize,
    /// How long a client may take nothing of a result, or send nothing of what it promised, before its query is ended.
    pub idle_client: Duration,
    /// For signing tickets. Processes that share clients share it.
    pub token_secret: [u8; 32],
    /// How long a ticket is good.
    pub ticket_lifetime: Duration,
    /// How long a session or a prepared statement may lie unused before it is forgotten.
    pub idle_session: Duration,
    /// The version that the server tells of itself.
    pub version: &'static str,
}

impl FlightSettings {
    /// The defaults, with this secret.
    pub fn new(token_secret: [u8; 32]) -> Self {
        Self {
            message_bytes: 64 << 20,
            idle_client: Duration::from_secs(60),
            token_secret,
            ticket_lifetime: Duration::from_secs(600),
            idle_session: Duration::from_secs(1800),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl fmt::Debug for FlightSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightSettings")
            .field("message_bytes", &self.message_bytes)
            .field("idle_client", &self.idle_client)
            .field("ticket_lifetime", &self.ticket_lifetime)
            .field("idle_session", &self.idle_session)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
