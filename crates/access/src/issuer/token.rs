//! The text of a token: three parts in base64, of which the header says how the last signs the first two (RFC 7515).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{TokenAlgorithm, claims::Claims};
use crate::logins::Refusal;

/// Bytes of a token's text.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// A token whose signature is not yet checked.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) algorithm: TokenAlgorithm,
    pub(super) key_id: Option<String>,
    /// What the signature is of.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    payload: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood. None is.
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TokenUnreadable);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::TokenUnreadable)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::TokenUnreadable)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::TokenUnreadable)?;
        if header.crit.is_some() {
            return Err(Refusal::TokenUnreadable);
        }
        let algorithm = TokenAlgorithm::from_name(&header.alg).ok_or(Refusal::TokenAlgorithm)?;
        Ok(Self { algorithm, key_id: header.kid, signed, signature: decode(signature)?, payload })
    }

    /// What it says. For tokens whose signature is good.
    pub(super) fn claims(&self) -> Result<Claims, Refusal> {
        let claims: Map<String, Value> =
            serde_json::from_slice(&decode(self.payload)?).map_err(|_| Refusal::TokenUnreadable)?;
        Ok(Claims::new(claims))
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::TokenUnreadable)
}
