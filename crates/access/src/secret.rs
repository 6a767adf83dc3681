//! The text of a key: its id and its secret, and what is kept of the secret.

use std::fmt;

use lakebed_types::{Error, Result};
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const PREFIX: &str = "lb";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// A key as its holder has it: `lb_<id>_<secret>`, both in hexadecimal. Shown once; only `Display` tells the secret.
#[derive(Clone)]
pub struct KeyText {
    id: String,
    secret: [u8; SECRET_BYTES],
}

impl KeyText {
    /// A new key from the operating system's random numbers.
    ///
    /// # Errors
    /// `internal` if the operating system has none.
    pub(crate) fn random() -> Result<Self> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        let drawn = OsRng.try_fill_bytes(&mut id).and_then(|()| OsRng.try_fill_bytes(&mut secret));
        drawn.map_err(|cause| Error::internal("no random numbers for a key").with_source(cause))?;
        Ok(Self { id: hex::encode(id), secret })
    }

    /// Reads a key as it was shown; None for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let (mut id_bytes, mut secret_bytes) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        hex::decode_to_slice(id, &mut id_bytes).ok()?;
        hex::decode_to_slice(secret, &mut secret_bytes).ok()?;
        Some(Self { id: hex::encode(id_bytes), secret: secret_bytes })
    }

    /// The public half.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.secret).into())
    }
}

impl fmt::Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}_{}_{}", self.id, hex::encode(self.secret))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}_{}_…", self.id)
    }
}

/// What is kept of a secret: its SHA-256.
///
/// A slow hash such as Argon2 is for passwords, which people choose and others can guess. A secret of 256 random bits
/// cannot be guessed however fast the hash is, and a fast one keeps a check at microseconds for every request, right or
/// wrong.
#[derive(Clone)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// A digest as it was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest to keep.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the digest of that key's secret. Takes the same time whatever differs.
    pub(crate) fn is_of(&self, key: &KeyText) -> bool {
        self.0.ct_eq(&key.digest().0).into()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_text() {
        let key = KeyText::random().unwrap();
        let read = KeyText::parse(&key.to_string()).unwrap();
        assert_eq!(read.id(), key.id());
        assert!(key.digest().is_of(&read));
        assert!(!key.digest().is_of(&KeyText::random().unwrap()));
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        let key = KeyText::random().unwrap();
        let secret = hex::encode(key.secret);
        assert!(key.to_string().contains(&secret));
        let shown = format!("{key:?} {:?}", key.digest());
        assert!(!shown.contains(&secret) && !shown.contains(&hex::encode(key.digest().0)), "{shown}");
    }

    #[test]
    fn other_texts_are_no_keys() {
        let text = KeyText::random().unwrap().to_string();
        for bad in ["", "lb", "lb__", "lb_1_2", &text[1..], &text[..text.len() - 1], &format!("{text}0"), "lb_ß_ß"] {
            assert!(KeyText::parse(bad).is_none(), "{bad}");
        }
    }
}
