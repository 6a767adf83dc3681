//! Tokens as an issuer signs them and as an attacker would like to have them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use lakebed_testkit::MockClock;
use lakebed_types::{Clock, DatabaseName, Error, ErrorKind, Result};
use parking_lot::Mutex;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::*;
use crate::{Access, AdmitOptions, DEFAULT_WORKGROUP, GroupLimits, Limits, Role};

const ISSUER: &str = "https://issuer.example";

/// The key set of an issuer that can be reached or not, and how often it was asked.
#[derive(Debug, Default)]
struct Published {
    keys: Mutex<Option<Value>>,
    asked: Mutex<usize>,
}

#[async_trait]
impl KeySource for Published {
    async fn fetch(&self) -> Result<Vec<u8>> {
        *self.asked.lock() += 1;
        let keys = self.keys.lock().clone().ok_or_else(|| Error::new(ErrorKind::Unavailable, "no answer"))?;
        Ok(json!({ "keys": keys }).to_string().into_bytes())
    }
}

struct Signer {
    key: EcdsaKeyPair,
    id: &'static str,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let text = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, text.as_ref(), &random).unwrap();
        Self { key, id }
    }

    fn public(&self) -> Value {
        let point = &self.key.public_key().as_ref()[1..];
        let (x, y) = (BASE64.encode(&point[..32]), BASE64.encode(&point[32..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": x, "y": y })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = signed(header, claims);
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64.encode(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "kid": self.id }), claims)
    }
}

fn signed(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

struct Server {
    access: Access,
    clock: Arc<MockClock>,
    issuer: Arc<Published>,
    signer: Signer,
}

impl Server {
    fn start() -> Self {
        Self::with(settings())
    }

    fn with(settings: IssuerSettings) -> Self {
        let clock = Arc::new(MockClock::new());
        let access = Access::new(Limits::default(), Principal::anonymous(Role::Write), clock.clone());
        let (issuer, signer) = (Arc::new(Published::default()), Signer::new("first"));
        *issuer.keys.lock() = Some(json!([signer.public()]));
        access.set_issuer(Some((settings, issuer.clone())));
        Self { access, clock, issuer, signer }
    }

    /// Claims that are good, with these put over them; null takes one away.
    fn claims(&self, changes: Value) -> Value {
        let expires = self.clock.now().timestamp() + 300;
        let mut claims =
            json!({ "iss": ISSUER, "aud": "lakebed", "sub": "ann", "exp": expires, "groups": ["readers"] });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    async fn ask(&self, token: &str) -> Result<Principal> {
        self.access.authenticate(Some(&format!("Bearer {token}")), None).await
    }

    async fn ask_with(&self, changes: Value) -> Result<Principal> {
        self.ask(&self.signer.token(&self.claims(changes))).await
    }

    async fn refusal(&self, token: &str) -> String {
        let error = self.ask(token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
        error.message().to_owned()
    }
}

fn settings() -> IssuerSettings {
    let texts = |text: &str| vec![text.to_owned()];
    IssuerSettings {
        issuer: ISSUER.to_owned(),
        audiences: texts("lakebed"),
        algorithms: TokenAlgorithm::ALL.to_vec(),
        clock_skew: Duration::from_secs(60),
        keys_stale: Duration::from_secs(3600),
        name_claim: "sub".to_owned(),
        roles: RoleRules {
            claim: Some("groups".to_owned()),
            admin: texts("admins"),
            write: texts("writers"),
            read: texts("readers"),
            default: None,
        },
        grants_claim: None,
        workgroup_claim: None,
    }
}

#[tokio::test]
async fn a_token_stands_for_its_subject_and_a_request_without_one_for_nobody() {
    let server = Server::start();
    assert!(server.access.wants_credentials());
    let error = server.access.authenticate(None, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let who = server.ask_with(json!({})).await.unwrap();
    assert_eq!((who.name(), who.role(), who.sees_everything()), ("oidc:ann", Role::Read, true));
    let who = server.ask_with(json!({ "aud": ["other", "lakebed"], "groups": ["x", "writers"] })).await.unwrap();
    assert_eq!(who.role(), Role::Write);
    let who = server.ask_with(json!({ "groups": "admins readers" })).await.unwrap();
    assert_eq!(who.role(), Role::Write, "the server's own role is the ceiling");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said_and_lets_nobody_in() {
    let server = Server::start();
    let now = server.clock.now().timestamp();
    for (changes, message) in [
        (json!({ "exp": now - 61 }), "the token has expired"),
        (json!({ "exp": null }), "the token has no time of expiry"),
        (json!({ "exp": "never" }), "the token cannot be read"),
        (json!({ "nbf": now + 61 }), "the token is not valid yet"),
        (json!({ "iss": "https://issuer.example/" }), "the token comes from another issuer"),
        (json!({ "iss": null }), "the token comes from another issuer"),
        (json!({ "aud": "lakebed other" }), "the token is meant for another audience"),
        (json!({ "aud": null }), "the token is meant for another audience"),
        (json!({ "sub": null }), "the token does not name whose it is"),
        (json!({ "sub": "a\nb" }), "the token does not name whose it is"),
    ] {
        let token = server.signer.token(&server.claims(changes.clone()));
        assert_eq!(server.refusal(&token).await, message, "{changes}");
    }
    for changes in [json!({ "exp": now - 59 }), json!({ "nbf": now + 59 })] {
        assert!(server.ask_with(changes).await.is_ok(), "clocks may differ by a minute");
    }
}

#[tokio::test]
async fn no_header_gets_around_the_signature() {
    let server = Server::start();
    let claims = server.claims(json!({}));
    let unsigned = |algorithm: &str| format!("{}.", signed(&json!({ "alg": algorithm, "kid": "first" }), &claims));
    for algorithm in ["none", "None", "HS256", "ES256K", "es256"] {
        let message = server.refusal(&unsigned(algorithm)).await;
        assert_eq!(message, "the token's signature algorithm is not allowed", "{algorithm}");
    }
    assert_eq!(server.refusal(&unsigned("ES256")).await, "the token's signature is wrong");
    assert_eq!(server.refusal(&unsigned("RS256")).await, "the token's key is none of its issuer's");
    let critical = server.signer.sign(&json!({ "alg": "ES256", "kid": "first", "crit": ["b64"] }), &claims);
    assert_eq!(server.refusal(&critical).await, "the token cannot be read");

    let good = server.signer.token(&claims);
    let (first, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = first.split_once('.').unwrap();
    let other = BASE64.encode(server.claims(json!({ "sub": "root" })).to_string());
    assert_eq!(server.refusal(&format!("{header}.{other}.{signature}")).await, "the token's signature is wrong");
    let forged = Signer { id: "first", ..Signer::new("forger") }.token(&claims);
    assert_eq!(server.refusal(&forged).await, "the token's signature is wrong");
    assert_eq!(server.refusal(&format!("{}.x.y", "a".repeat(20_000))).await, "the token cannot be read");
}

#[tokio::test]
async fn an_algorithm_that_is_not_listed_is_refused() {
    let server = Server::with(IssuerSettings { algorithms: vec![TokenAlgorithm::Rs256], ..settings() });
    let token = server.signer.token(&server.claims(json!({})));
    assert_eq!(server.refusal(&token).await, "the token's signature algorithm is not allowed");
}

#[tokio::test]
async fn ed25519_works_and_other_keys_of_the_set_do_no_harm() {
    let server = Server::start();
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = BASE64.encode(pair.public_key().as_ref());
    let secret = json!({ "kty": "oct", "kid": "first", "k": "c2VjcmV0" });
    let encryption = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "enc", "x": BASE64.encode([0; 32]) });
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "x": x });
    *server.issuer.keys.lock() = Some(json!([secret, encryption, { "kty": "?" }, 7, ed]));
    for header in [json!({ "alg": "EdDSA", "kid": "ed" }), json!({ "alg": "EdDSA" })] {
        let signed = signed(&header, &server.claims(json!({})));
        let token = format!("{signed}.{}", BASE64.encode(pair.sign(signed.as_bytes())));
        assert_eq!(server.ask(&token).await.unwrap().name(), "oidc:ann");
    }
}

#[tokio::test]
async fn new_keys_are_found_and_guesses_do_not_make_requests() {
    let server = Server::start();
    server.ask_with(json!({})).await.unwrap();
    assert_eq!(*server.issuer.asked.lock(), 1);
    let second = Signer::new("second");
    *server.issuer.keys.lock() = Some(json!([server.signer.public(), second.public()]));
    let token = second.token(&server.claims(json!({})));
    for _ in 0..10 {
        assert_eq!(server.refusal(&token).await, "the token's key is none of its issuer's");
    }
    assert_eq!(*server.issuer.asked.lock(), 1, "asked a moment ago");
    server.clock.advance(Duration::from_secs(30));
    assert!(server.ask(&token).await.is_ok());
    assert_eq!(*server.issuer.asked.lock(), 2);
}

#[tokio::test]
async fn keys_outlive_an_issuer_that_is_down_for_a_bounded_time() {
    let server = Server::start();
    server.access.warm_issuer().await.unwrap();
    *server.issuer.keys.lock() = None;
    server.clock.advance(Duration::from_secs(3599));
    assert!(server.ask_with(json!({})).await.is_ok());
    server.clock.advance(Duration::from_secs(31));
    let error = server.ask_with(json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn claims_give_roles_and_grants_or_nothing() {
    let mut rules = settings();
    rules.grants_claim = Some("lakebed.tables".to_owned());
    rules.name_claim = "email".to_owned();
    let server = Server::with(rules);
    let granted = json!({ "email": "ann@example.com", "lakebed": { "tables": ["sales", "hr.people", "no name"] } });
    let ann = server.ask_with(granted).await.unwrap();
    assert_eq!(ann.name(), "oidc:ann@example.com");
    let sees = |name: &str| ann.can_see_database(&DatabaseName::new(name).unwrap());
    assert!(sees("sales") && sees("hr") && !sees("default"));
    assert!(server.ask_with(json!({ "email": "a", "lakebed": { "tables": "*" } })).await.unwrap().sees_everything());
    assert!(server.ask_with(json!({ "email": "a", "groups": "admins" })).await.unwrap().sees_everything());
    for nothing in [
        json!({ "email": "a" }),
        json!({ "email": "a", "lakebed": { "tables": [] } }),
        json!({ "email": "a", "lakebed": { "tables": "*" }, "groups": ["strangers"] }),
    ] {
        let error = server.ask_with(nothing.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{nothing}");
    }
}

#[tokio::test]
async fn a_claim_names_the_workgroup() {
    let server = Server::with(IssuerSettings { workgroup_claim: Some("groups".to_owned()), ..settings() });
    server.access.workgroups().put(&Principal::local(), "writers", GroupLimits::default()).await.unwrap();
    for (groups, workgroup) in [
        (json!(["readers", "writers"]), "writers"),
        (json!("readers writers"), "writers"),
        (json!(["readers", "strangers"]), DEFAULT_WORKGROUP),
    ] {
        assert_eq!(server.ask_with(json!({ "groups": groups })).await.unwrap().workgroup(), workgroup);
    }
}

#[tokio::test]
async fn what_runs_ends_with_the_trust_in_its_issuer_and_not_with_its_token() {
    let server = Server::start();
    let who = server.ask_with(json!({})).await.unwrap();
    let running = server.access.admit(&who, &AdmitOptions::default()).await.unwrap();
    server.clock.advance(Duration::from_secs(1000));
    let other = IssuerSettings { clock_skew: Duration::ZERO, ..settings() };
    server.access.set_issuer(Some((other, server.issuer.clone())));
    assert!(!running.cancellation().is_cancelled());
    server.access.set_issuer(None);
    assert!(running.cancellation().is_cancelled());
    let error = server.access.admit(&who, &AdmitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let error = server.access.authenticate(None, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "a server does not open by itself");
}
