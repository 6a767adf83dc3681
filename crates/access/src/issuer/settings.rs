//! What is trusted of an issuer, as plain data.

use std::time::Duration;

use async_trait::async_trait;
use lakebed_types::Result;

use super::TokenAlgorithm;
use crate::Role;

/// An issuer of tokens, and what its tokens may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What the claim `iss` must be, letter by letter.
    pub issuer: String,
    /// Of which the claim `aud` must hold one.
    pub audiences: Vec<String>,
    /// The signatures that are believed.
    pub algorithms: Vec<TokenAlgorithm>,
    /// By how much the clocks of issuer and server may differ.
    pub clock_skew: Duration,
    /// How long the issuer's last keys are used while it cannot be reached.
    pub keys_stale: Duration,
    /// The claim that names the principal.
    pub name_claim: String,
    /// Which role a token has.
    pub roles: RoleRules,
    /// The claim that lists grants; None: tokens see everything.
    pub grants_claim: Option<String>,
    /// The claim that names the workgroup, the first that there is of several; None, or none that there is: `default`.
    pub workgroup_claim: Option<String>,
}

/// Which role a token has: the highest whose values its claim has one of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleRules {
    /// The claim; None: every token has the default.
    pub claim: Option<String>,
    /// Values of administrators.
    pub admin: Vec<String>,
    /// Values of those who may write.
    pub write: Vec<String>,
    /// Values of those who may read.
    pub read: Vec<String>,
    /// The role where no value fits; None: such a token is refused.
    pub default: Option<Role>,
}

/// Where an issuer's keys come from.
#[async_trait]
pub trait KeySource: Send + Sync + std::fmt::Debug {
    /// The key set as JSON (RFC 7517). Bounded in size and time by whoever fetches it.
    async fn fetch(&self) -> Result<Vec<u8>>;
}
