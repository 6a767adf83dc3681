//! What a token says: whether it is meant for this server and this time, who it is, and what that gives.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lakebed_types::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

use super::{IssuerSettings, RoleRules};
use crate::{Grant, Grants, Role, audit, logins::Refusal};

/// What stands before the names of tokens, so that none is a key's.
const PREFIX: &str = "oidc:";
const MAX_NAME_BYTES: usize = 128;
/// The grant of everything.
const EVERYTHING: &str = "*";

/// What a principal of a token may do and see.
#[derive(Debug, Clone)]
pub(crate) struct Rights {
    pub(crate) role: Role,
    pub(crate) grants: Grants,
}

/// The claims of a token whose signature is good.
#[derive(Debug)]
pub(super) struct Claims {
    claims: Map<String, Value>,
}

impl Claims {
    pub(super) fn new(claims: Map<String, Value>) -> Self {
        Self { claims }
    }

    /// Whether it is this issuer's, meant for this server, and for this time.
    pub(super) fn check(&self, settings: &IssuerSettings, now: DateTime<Utc>) -> Result<(), Refusal> {
        if self.text("iss") != Some(&settings.issuer) {
            return Err(Refusal::TokenIssuer);
        }
        let audiences = self.claims.get("aud").map(texts).unwrap_or_default();
        if !settings.audiences.iter().any(|own| audiences.contains(&own.as_str())) {
            return Err(Refusal::TokenAudience);
        }
        self.check_time(now, settings.clock_skew)
    }

    fn check_time(&self, now: DateTime<Utc>, skew: Duration) -> Result<(), Refusal> {
        let (now, skew) = (now.timestamp_millis() as f64 / 1000.0, skew.as_secs_f64());
        let time = |name: &str| match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Refusal::TokenUnreadable),
        };
        let expires = time("exp")?.ok_or(Refusal::TokenEndless)?;
        if now >= expires + skew {
            return Err(Refusal::TokenExpired);
        }
        match time("nbf")? {
            Some(begins) if now < begins - skew => Err(Refusal::TokenEarly),
            _ => Ok(()),
        }
    }

    /// `oidc:` and what the claim of the name says.
    pub(super) fn principal_name(&self, settings: &IssuerSettings) -> Result<String, Refusal> {
        let name = self.find(&settings.name_claim).and_then(Value::as_str).ok_or(Refusal::TokenNameless)?;
        let is_name = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control);
        if is_name { Ok(format!("{PREFIX}{name}")) } else { Err(Refusal::TokenNameless) }
    }

    /// Role and grants.
    ///
    /// # Errors
    /// `permission_denied` where the claims give none.
    pub(super) fn rights(&self, settings: &IssuerSettings) -> Result<Rights> {
        let denied = |message: &str| {
            audit::token_denied(self.text("sub"), message);
            Error::new(ErrorKind::PermissionDenied, message)
                .with_hint("Ask whoever runs the server which claims give a right here.")
        };
        let role = self.role(&settings.roles).ok_or_else(|| denied("the token's claims give no role here"))?;
        let grants = match &settings.grants_claim {
            Some(claim) if role != Role::Admin => self.grants(claim),
            _ => Some(Grants::everything()),
        };
        Ok(Rights { role, grants: grants.ok_or_else(|| denied("the token's claims grant nothing here"))? })
    }

    /// The workgroup that it names, if there is one of that name.
    pub(super) fn workgroup(&self, settings: &IssuerSettings, is_there: impl Fn(&str) -> bool) -> Option<&str> {
        let names = words(self.find(settings.workgroup_claim.as_deref()?)?);
        names.into_iter().find(|name| is_there(name))
    }

    fn role(&self, rules: &RoleRules) -> Option<Role> {
        let values = rules.claim.as_deref().and_then(|claim| self.find(claim)).map(words).unwrap_or_default();
        let has = |wanted: &[String]| wanted.iter().any(|value| values.contains(&value.as_str()));
        let by_value = [(&rules.admin, Role::Admin), (&rules.write, Role::Write), (&rules.read, Role::Read)];
        by_value.into_iter().find(|(wanted, _)| has(wanted)).map(|(_, role)| role).or(rules.default)
    }

    /// What is no name of a database or table grants nothing.
    fn grants(&self, claim: &str) -> Option<Grants> {
        let values = self.find(claim).map(words)?;
        if values.contains(&EVERYTHING) {
            return Some(Grants::everything());
        }
        let grants: Vec<Grant> = values.iter().filter_map(|value| value.parse().ok()).collect();
        Grants::only(grants).ok()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// The claim of this name, which may itself hold dots; else the path `outer.inner`.
    fn find(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.claims.get(name) {
            return Some(value);
        }
        let mut names = name.split('.');
        let outer = self.claims.get(names.next()?)?;
        names.try_fold(outer, |value, name| value.get(name))
    }
}

/// A text, or a list's texts.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The same, and the words of a text, as `scope` has them.
fn words(value: &Value) -> Vec<&str> {
    let mut all = texts(value);
    all.extend(value.as_str().into_iter().flat_map(str::split_whitespace));
    all
}
