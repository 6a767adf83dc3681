//! Page tokens: where a page ends, signed, so that a client can neither forge one nor use another's.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use lakebed_types::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Characters that a token may have; ours have some 300.
const MAX_TOKEN_CHARS: usize = 4096;

/// What a page token says. Sent as `base64url(JSON).base64url(HMAC-SHA256)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PageToken {
    /// What is paged: `rows`, `results`, `queries`.
    pub(crate) scope: String,
    /// Which one: a query's id, or a digest of the request.
    pub(crate) subject: String,
    /// The snapshot that the first page was read from, where that matters.
    pub(crate) snapshot: Option<String>,
    /// Where the next page begins.
    pub(crate) position: String,
    /// Whose token it is.
    pub(crate) principal: String,
}

impl PageToken {
    /// The token as text.
    pub(crate) fn sign(&self, secret: &[u8; 32]) -> Result<String> {
        let payload = serde_json::to_vec(self).map_err(|e| Error::internal("writing a page token").with_source(e))?;
        let signature = keyed(secret, &payload)?.finalize().into_bytes();
        Ok(format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(&payload), BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Reads a token and checks that it was made here, for this scope, subject and principal.
    ///
    /// # Errors
    /// `invalid_request`, the same for every reason.
    pub(crate) fn open(text: &str, secret: &[u8; 32], scope: &str, subject: &str, principal: &str) -> Result<Self> {
        let token = Self::verify(text, secret)
            .filter(|token| token.scope == scope && token.subject == subject && token.principal == principal);
        token.ok_or_else(wrong_token)
    }

    fn verify(text: &str, secret: &[u8; 32]) -> Option<Self> {
        if text.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let (payload, signature) = text.split_once('.')?;
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        keyed(secret, &payload).ok()?.verify_slice(&signature).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    /// The position as a row offset.
    pub(crate) fn offset(&self) -> Result<u64> {
        self.position.parse().map_err(|_| wrong_token())
    }
}

fn keyed(secret: &[u8; 32], payload: &[u8]) -> Result<Hmac<Sha256>> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret).map_err(|e| Error::internal("keying a page token").with_source(e))?;
    mac.update(payload);
    Ok(mac)
}

fn wrong_token() -> Error {
    Error::invalid_request("the page token is not one of this server for this request")
        .with_hint("Send `next_page_token` of the page before, unchanged and with the same other parameters.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn token() -> PageToken {
        PageToken {
            scope: "rows".into(),
            subject: "abc".into(),
            snapshot: Some("0123456789abcdef".into()),
            position: "100".into(),
            principal: "everyone".into(),
        }
    }

    #[test]
    fn a_token_reads_back_only_where_it_belongs() {
        let text = token().sign(&SECRET).unwrap();
        assert_eq!(PageToken::open(&text, &SECRET, "rows", "abc", "everyone").unwrap(), token());
        assert!(PageToken::open(&text, &[8; 32], "rows", "abc", "everyone").is_err());
        assert!(PageToken::open(&text, &SECRET, "results", "abc", "everyone").is_err());
        assert!(PageToken::open(&text, &SECRET, "rows", "abd", "everyone").is_err());
        assert!(PageToken::open(&text, &SECRET, "rows", "abc", "someone").is_err());
    }

    #[test]
    fn a_changed_offset_breaks_the_signature() {
        let text = token().sign(&SECRET).unwrap();
        let (_, signature) = text.split_once('.').unwrap();
        let forged = serde_json::to_vec(&PageToken { position: "0".into(), ..token() }).unwrap();
        let forged = format!("{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(forged));
        assert!(PageToken::open(&forged, &SECRET, "rows", "abc", "everyone").is_err());
    }

    proptest! {
        #[test]
        fn no_text_opens_by_chance(text in ".{0,200}") {
            prop_assert!(PageToken::open(&text, &SECRET, "rows", "abc", "everyone").is_err());
        }

        #[test]
        fn every_flipped_byte_is_noticed(at in 0usize..300, bit in 0u8..7) {
            let text = token().sign(&SECRET).unwrap();
            let mut bytes = text.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(forged) = String::from_utf8(bytes) {
                let opened = PageToken::open(&forged, &SECRET, "rows", "abc", "everyone");
                prop_assert!(opened.is_err());
            }
        }
    }
}
