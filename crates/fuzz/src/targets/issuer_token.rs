//! `Authorization` headers on a server that believes an issuer's tokens.
//!
//! Two lines are the header and the claims of a token that the issuer signs as they are. Anything else is the header of a
//! request, and lets nobody in who has no signature of the issuer's key.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use lakebed_access::{Access, IssuerSettings, KeySource, Limits, Principal, Role, RoleRules, TokenAlgorithm};
use lakebed_types::{Error, ErrorKind, Result, SystemClock};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

/// The issuer's key: known to all, as its corpus is.
const SEED: [u8; 32] = [7; 32];

/// What may be wrong with a token.
const EXPECTED: [ErrorKind; 3] = [ErrorKind::Unauthenticated, ErrorKind::PermissionDenied, ErrorKind::TooManyLogins];

pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let server = server();
    let authorization = match text.split_once('\n') {
        Some((header, claims)) => format!("Bearer {}", server.signed(header, claims)),
        None => text.to_owned(),
    };
    let asked = server.access.authenticate(Some(&authorization), None);
    match server.runtime.block_on(asked) {
        Ok(who) => {
            assert!(server.has_signed(&authorization), "{who:?} came in without a signature: {authorization}");
            assert!(who.name().starts_with("oidc:"), "{who:?}");
            assert!(who.role() <= Role::Write, "{who:?} is more than the server lets anyone be");
        }
        Err(error) => assert!(EXPECTED.contains(&error.kind()), "{authorization}: {error:?}"),
    }
}

struct Server {
    runtime: Runtime,
    access: Access,
    key: Ed25519KeyPair,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let access = Access::new(Limits::default(), Principal::anonymous(Role::Write), Arc::new(SystemClock));
        let key = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
        access.set_issuer(Some((settings(), Arc::new(Published(BASE64.encode(key.public_key()))))));
        Server { runtime, access, key }
    })
}

fn settings() -> IssuerSettings {
    let texts = |text: &str| vec![text.to_owned()];
    IssuerSettings {
        issuer: "https://issuer.example".to_owned(),
        audiences: texts("lakebed"),
        algorithms: TokenAlgorithm::ALL.to_vec(),
        clock_skew: Duration::from_secs(60),
        keys_stale: Duration::from_secs(1 << 40),
        name_claim: "sub".to_owned(),
        roles: RoleRules {
            claim: Some("realm.groups".to_owned()),
            admin: texts("admins"),
            write: texts("writers"),
            read: texts("readers"),
            default: None,
        },
        grants_claim: Some("scope".to_owned()),
        workgroup_claim: Some("team".to_owned()),
    }
}

/// The key set of the issuer.
#[derive(Debug)]
struct Published(String);

#[async_trait]
impl KeySource for Published {
    async fn fetch(&self) -> Result<Vec<u8>, Error> {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "first", "x": self.0 });
        Ok(json!({ "keys": [key] }).to_string().into_bytes())
    }
}

impl Server {
    fn signed(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = BASE64.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// Whether a header's token has the signature that the key gives it. There is only one: Ed25519 is deterministic.
    fn has_signed(&self, authorization: &str) -> bool {
        let Some((scheme, value)) = authorization.trim().split_once(' ') else { return false };
        let token = match scheme.eq_ignore_ascii_case("bearer") {
            true => value.trim().to_owned(),
            false => password(value.trim()).unwrap_or_default(),
        };
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        signature == BASE64.encode(self.key.sign(signed.as_bytes()))
    }
}

fn password(value: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}
