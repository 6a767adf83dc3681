//! Tokens of an OpenID Connect issuer: known again by the issuer's keys, and turned into principals by their claims.
//!
//! The signatures are checked with `ring`, which TLS uses too. There is no symmetric algorithm here and no `none`, so no
//! header can ask for one.

mod algorithm;
mod claims;
mod key_cache;
mod key_set;
mod settings;
mod token;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use lakebed_types::{Clock, Error, Result};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use algorithm::TokenAlgorithm;
pub use settings::{IssuerSettings, KeySource, RoleRules};

use crate::{Principal, Workgroups, audit, logins::Refusal};
pub(crate) use claims::Rights;
use key_cache::KeyCache;
use token::Token;

/// Microseconds without a request after which the next one is a login again.
const REST_MICROS: i64 = 600_000_000;
/// Names whose last request is remembered; beyond them all are forgotten, and their next requests are logins.
const MAX_NAMES: usize = 10_000;

/// Why a token lets nobody in.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// There is something wrong with it.
    Refused(Refusal),
    /// It could not be checked, or it is good and gives no right here.
    Failed(Error),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// One issuer and what its tokens may do here.
#[derive(Debug)]
pub(crate) struct Issuer {
    settings: IssuerSettings,
    keys: Arc<KeyCache>,
    clock: Arc<dyn Clock>,
    /// Cancelled when the server stops trusting the issuer, and with it what runs for its tokens.
    session: CancellationToken,
    /// Principal → microseconds since 1970 of its last request.
    seen: Mutex<HashMap<String, i64>>,
}

impl Issuer {
    pub(crate) fn new(
        settings: IssuerSettings,
        source: Arc<dyn KeySource>,
        clock: Arc<dyn Clock>,
        session: CancellationToken,
    ) -> Self {
        let keys = Arc::new(KeyCache::new(source, clock.clone(), settings.keys_stale));
        Self { settings, keys, clock, session, seen: Mutex::default() }
    }

    /// The issuer's name, as its tokens say it.
    pub(crate) fn name(&self) -> &str {
        &self.settings.issuer
    }

    /// The parent of all that runs for its tokens.
    pub(crate) fn session(&self) -> &CancellationToken {
        &self.session
    }

    /// Gets the issuer's keys, so that the first token need not wait for them.
    pub(crate) async fn warm(&self) -> Result<()> {
        self.keys.warm().await
    }

    /// The principal that a token stands for.
    pub(crate) async fn identify(
        &self,
        text: &str,
        address: Option<IpAddr>,
        workgroups: &Workgroups,
    ) -> Result<Principal, Rejection> {
        let token = Token::parse(text)?;
        if !self.settings.algorithms.contains(&token.algorithm) {
            return Err(Refusal::TokenAlgorithm.into());
        }
        let key = self.keys.find(token.key_id.as_deref(), token.algorithm).await?;
        if !key.verify(token.algorithm, token.signed.as_bytes(), &token.signature) {
            return Err(Refusal::TokenSignature.into());
        }
        let now = self.clock.now();
        let claims = token.claims()?;
        claims.check(&self.settings, now)?;
        let name = claims.principal_name(&self.settings)?;
        let rights = claims.rights(&self.settings).map_err(Rejection::Failed)?;
        let mut principal = Principal::of_token(name, rights, self.session.clone());
        if let Some(workgroup) = claims.workgroup(&self.settings, |name| workgroups.get(name).is_ok()) {
            principal = principal.in_workgroup(workgroup);
        }
        if self.is_login(principal.name(), now.timestamp_micros()) {
            audit::token_login(&principal, &self.settings.issuer, address);
        }
        Ok(principal)
    }

    fn is_login(&self, name: &str, now: i64) -> bool {
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_NAMES && !seen.contains_key(name) {
            seen.clear();
        }
        match seen.get_mut(name) {
            Some(last) => now - std::mem::replace(last, now) >= REST_MICROS,
            None => seen.insert(name.to_owned(), now).is_none(),
        }
    }
}

#[cfg(test)]
mod tests;
