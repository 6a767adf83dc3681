//! An issuer's public keys (RFC 7517, RFC 7518, RFC 8037).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use lakebed_types::{Error, ErrorKind, Result};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::TokenAlgorithm;

/// Keys of one set that are looked at.
const MAX_KEYS: usize = 100;
/// What stands before the two coordinates of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// An issuer's public keys, those that can check a token's signature.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
}

/// One key, with what its issuer says of it.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    id: Option<String>,
    /// The only algorithm that it is for.
    algorithm: Option<TokenAlgorithm>,
    numbers: Numbers,
}

#[derive(Debug, Clone)]
enum Numbers {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a key set. Keys that are not for signatures, or of a kind that is not known here, are left out.
    ///
    /// # Errors
    /// `unavailable` if it is no key set, or holds no key that could be used.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Unavailable, format!("the issuer's key set {what}"));
        let document: Document = serde_json::from_slice(json).map_err(|_| wrong("is no JSON Web Key Set"))?;
        let known = document.keys.into_iter().take(MAX_KEYS).filter_map(PublicKey::read);
        let keys: Vec<PublicKey> = known.collect();
        if keys.is_empty() {
            return Err(wrong("holds no public key for signatures"));
        }
        Ok(Self { keys })
    }

    /// The key of this id, or, for a token that names none, the only one that fits its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: TokenAlgorithm) -> Option<&PublicKey> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

impl PublicKey {
    fn read(key: Value) -> Option<Self> {
        let key: Jwk = serde_json::from_value(key).ok()?;
        if key.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let algorithm = match key.alg.as_deref() {
            Some(name) => Some(TokenAlgorithm::from_name(name)?),
            None => None,
        };
        Some(Self { id: key.kid.clone(), algorithm, numbers: Numbers::read(&key)? })
    }

    fn fits(&self, algorithm: TokenAlgorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.numbers.fit(algorithm)
    }

    /// Whether the signature of the message is this key's. Never for an algorithm that the key is not of.
    pub(super) fn verify(&self, algorithm: TokenAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use TokenAlgorithm as A;
        let point = |check: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(check, key).verify(message, signature).is_ok()
        };
        match (&self.numbers, algorithm) {
            (Numbers::Rsa { modulus, exponent }, _) => rsa(algorithm).is_some_and(|check| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(check, message, signature).is_ok()
            }),
            (Numbers::P256(key), A::Es256) => point(&signature::ECDSA_P256_SHA256_FIXED, key),
            (Numbers::P384(key), A::Es384) => point(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Numbers::Ed25519(key), A::EdDsa) => point(&signature::ED25519, key),
            _ => false,
        }
    }
}

impl Numbers {
    fn read(key: &Jwk) -> Option<Self> {
        match (key.kty.as_str(), key.crv.as_deref()) {
            ("RSA", _) => Some(Self::Rsa { modulus: number(&key.n)?, exponent: number(&key.e)? }),
            ("EC", Some("P-256")) => Some(Self::P256(point(key, 32)?)),
            ("EC", Some("P-384")) => Some(Self::P384(point(key, 48)?)),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519(bytes(&key.x)?)),
            _ => None,
        }
    }

    fn fit(&self, algorithm: TokenAlgorithm) -> bool {
        use TokenAlgorithm as A;
        match self {
            Self::Rsa { .. } => rsa(algorithm).is_some(),
            Self::P256(_) => algorithm == A::Es256,
            Self::P384(_) => algorithm == A::Es384,
            Self::Ed25519(_) => algorithm == A::EdDsa,
        }
    }
}

/// Moduli of fewer than 2,048 bits are refused by all of these.
fn rsa(algorithm: TokenAlgorithm) -> Option<&'static RsaParameters> {
    use TokenAlgorithm as A;
    match algorithm {
        A::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        A::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        A::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        A::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        A::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        A::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        A::Es256 | A::Es384 | A::EdDsa => None,
    }
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.as_deref()?).ok()
}

/// A big number without the zeros that some issuers put before it.
fn number(text: &Option<String>) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

/// Both coordinates of a point, in the form that signatures are checked with.
fn point(key: &Jwk, length: usize) -> Option<Vec<u8>> {
    let (x, y) = (bytes(&key.x)?, bytes(&key.y)?);
    let fits = x.len() == length && y.len() == length;
    fits.then(|| [&[UNCOMPRESSED][..], &x, &y].concat())
}
