//! The audit log: who came in, who was turned away, who was refused what, and who changed what.
//!
//! Events of the tracing target `lakebed::audit`. They name keys by id and principals by name, and never hold a secret or
//! the text of a statement.

use std::{fmt::Display, net::IpAddr};

use tracing::field::display;

use crate::Principal;

/// The target of all events here.
const TARGET: &str = "lakebed::audit";

/// A principal changed something, or wrote rows: `drop table` and its name.
pub fn changed(who: &Principal, action: &str, object: &dyn Display) {
    tracing::info!(target: TARGET, event = "changed", principal = who.name(), action, %object);
}

/// A principal was refused something that its role or its grants do not allow.
pub(crate) fn denied(who: &Principal, action: &str) {
    tracing::warn!(target: TARGET, event = "denied", principal = who.name(), role = who.role().name(), action);
}

/// A key let someone in, for the first time or after a rest.
pub(crate) fn login(who: &Principal, key: &str, address: Option<IpAddr>) {
    tracing::info!(target: TARGET, event = "login", principal = who.name(), key, address = address.map(display));
}

/// An issuer's token let someone in, for the first time or after a rest.
pub(crate) fn token_login(who: &Principal, issuer: &str, address: Option<IpAddr>) {
    let (principal, role, address) = (who.name(), who.role().name(), address.map(display));
    tracing::info!(target: TARGET, event = "login", principal, role, issuer, address);
}

/// A token is good, and gives no right here.
pub(crate) fn token_denied(subject: Option<&str>, reason: &str) {
    tracing::warn!(target: TARGET, event = "denied", subject, reason);
}

/// Credentials that let nobody in.
pub(crate) fn login_failed(key: Option<&str>, address: Option<IpAddr>, reason: &str) {
    let (key, address) = (key.unwrap_or("none"), address.map(display));
    tracing::warn!(target: TARGET, event = "login failed", key, address, reason);
}
