//! Tickets: what a stream will hold, signed, so that a client can neither forge one nor use another's. Any server with the
//! same secret can serve them.

use arrow::array::RecordBatch;
use arrow_flight::sql::{Any, ProstMessageExt, TicketStatementQuery};
use bytes::Bytes;
use lakebed_access::Principal;
use lakebed_types::{Error, ErrorKind, QueryId, Result};
use prost::Message;
use ring::hmac;

use crate::{ipc, wire::TicketPayload};

/// Bytes of a ticket. A client sends them back in one small message.
const MAX_BYTES: usize = 512 << 10;
/// Bytes of the signature before the payload.
const SIGNATURE_BYTES: usize = 32;
/// What the key is used for: page tokens of the other API have the same secret.
const PURPOSE: &[u8] = b"lakebed flight ticket 1";

/// Signs tickets and checks them.
#[derive(Debug)]
pub(crate) struct Signer {
    key: hmac::Key,
}

/// A ticket that was made here, for the one who sends it, and is still good.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) payload: TicketPayload,
    pub(crate) query: QueryId,
}

impl Signer {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, PURPOSE);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// The ticket's bytes: a `TicketStatementQuery`. A statement that is too long for one is left out: then only the server
    /// that has its plan can answer.
    pub(crate) fn sign(&self, mut payload: TicketPayload) -> Bytes {
        if payload.encoded_len() > MAX_BYTES {
            payload.sql = None;
            payload.parameters = Bytes::new();
        }
        let payload = payload.encode_to_vec();
        let mut handle = hmac::sign(&self.key, &payload).as_ref().to_vec();
        handle.extend_from_slice(&payload);
        TicketStatementQuery { statement_handle: handle.into() }.as_any().encode_to_vec().into()
    }

    /// Reads what a client sends back as a ticket's bytes.
    ///
    /// # Errors
    /// As for [`Signer::open`].
    pub(crate) fn open_any(&self, bytes: &[u8], who: &Principal, now: i64) -> Result<Ticket> {
        let any = Any::decode(bytes).map_err(|_| forged())?;
        let ticket: TicketStatementQuery = any.unpack().ok().flatten().ok_or_else(forged)?;
        self.open(&ticket.statement_handle, who, now)
    }

    /// Reads a ticket's handle.
    ///
    /// # Errors
    /// `permission_denied` for one that was not made here for this principal, `expired` for one that was.
    pub(crate) fn open(&self, handle: &[u8], who: &Principal, now: i64) -> Result<Ticket> {
        let (signature, payload) = handle.split_at_checked(SIGNATURE_BYTES).ok_or_else(forged)?;
        hmac::verify(&self.key, payload, signature).map_err(|_| forged())?;
        let payload = TicketPayload::decode(payload).map_err(|_| forged())?;
        if payload.principal != who.name() {
            return Err(forged());
        }
        if payload.expires <= now {
            return Err(expired());
        }
        let query = payload.query.parse().map_err(|_| forged())?;
        Ok(Ticket { payload, query })
    }
}

impl Ticket {
    /// The row of parameters in it.
    ///
    /// # Errors
    /// `internal`.
    pub(crate) fn parameters(&self) -> Result<Option<RecordBatch>> {
        one_batch(&self.payload.parameters)
    }

    /// The result in it, where its statement has run already.
    ///
    /// # Errors
    /// `internal`.
    pub(crate) fn result(&self) -> Result<Option<RecordBatch>> {
        one_batch(&self.payload.result)
    }
}

fn one_batch(bytes: &Bytes) -> Result<Option<RecordBatch>> {
    if bytes.is_empty() { Ok(None) } else { ipc::read_batch(bytes).map(Some) }
}

fn forged() -> Error {
    Error::new(ErrorKind::PermissionDenied, "the ticket is not one of this server for this caller")
        .with_hint("Ask for flight info again, and send its ticket unchanged.")
}

/// For a ticket whose time is over, or whose plan is gone.
pub(crate) fn expired() -> Error {
    Error::new(ErrorKind::Expired, "the ticket's time is over").with_hint("Ask for flight info again.")
}

#[cfg(test)]
mod tests {
    use lakebed_access::Role;

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn payload() -> TicketPayload {
        TicketPayload {
            principal: "anonymous".into(),
            expires: 100,
            query: QueryId::random().to_string(),
            sql: Some("SELECT 1".into()),
            database: "default".into(),
            ..TicketPayload::default()
        }
    }

    fn kind(outcome: Result<Ticket>) -> ErrorKind {
        outcome.unwrap_err().kind()
    }

    #[test]
    fn a_ticket_is_good_for_its_owner_and_its_time() {
        let (signer, who) = (Signer::new(&SECRET), Principal::anonymous(Role::Read));
        let bytes = signer.sign(payload());
        assert_eq!(signer.open_any(&bytes, &who, 99).unwrap().payload.sql.as_deref(), Some("SELECT 1"));
        assert_eq!(kind(signer.open_any(&bytes, &who, 100)), ErrorKind::Expired);
        assert_eq!(kind(signer.open_any(&bytes, &Principal::local(), 99)), ErrorKind::PermissionDenied);
        assert_eq!(kind(Signer::new(&[8; 32]).open_any(&bytes, &who, 99)), ErrorKind::PermissionDenied);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (signer, who) = (Signer::new(&SECRET), Principal::anonymous(Role::Read));
        let bytes = signer.sign(payload());
        for at in 0..bytes.len() {
            let mut forged = bytes.to_vec();
            forged[at] ^= 1 << (at % 8);
            assert!(signer.open_any(&forged, &who, 99).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_statement_too_long_for_a_ticket_stays_here() {
        let (signer, who) = (Signer::new(&SECRET), Principal::anonymous(Role::Read));
        let long = TicketPayload { sql: Some("x".repeat(MAX_BYTES)), ..payload() };
        let bytes = signer.sign(long);
        assert!(bytes.len() < 1024);
        assert_eq!(signer.open_any(&bytes, &who, 99).unwrap().payload.sql, None);
    }
}
