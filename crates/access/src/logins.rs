//! Failed logins: answered, counted, and slowed down by address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Instant,
};

use lakebed_types::{Error, ErrorKind};
use parking_lot::Mutex;

use crate::audit;

/// Failed logins of one address that are answered at once.
const BURST: f64 = 20.0;
/// Failed logins of one address that are answered per second in the long run.
const PER_SECOND: f64 = 1.0;
/// Addresses that are counted one by one; what comes on top of them shares one count.
const MAX_ADDRESSES: usize = 10_000;

/// Why credentials let nobody in. Expiry and revocation are told only to who has the right secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No key in the header.
    Unreadable,
    /// No such id, or another secret.
    Wrong { id: String },
    /// It ended by itself.
    Expired { id: String },
    /// Someone ended it.
    Revoked { id: String },
    /// No token, or too long a one, or one that wants what is not known here.
    TokenUnreadable,
    /// It is signed in a way that is not allowed, or not signed.
    TokenAlgorithm,
    /// Its key is none of the issuer's.
    TokenKey,
    /// Its signature is not the issuer's.
    TokenSignature,
    /// Another issuer's.
    TokenIssuer,
    /// Meant for other servers.
    TokenAudience,
    /// It has no end.
    TokenEndless,
    /// It ended.
    TokenExpired,
    /// It has not begun.
    TokenEarly,
    /// It does not say whose it is.
    TokenNameless,
}

/// Failed logins, by the address that they came from.
///
/// A right key never comes here, however many wrong ones its address has sent, so that nobody is locked out by others
/// behind the same proxy. Since a secret cannot be guessed, what the limit bounds is the noise in the log and the work of
/// answering.
#[derive(Debug)]
pub(crate) struct FailedLogins {
    buckets: Mutex<HashMap<Option<IpAddr>, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    filled: Instant,
}

impl FailedLogins {
    pub(crate) fn new() -> Self {
        Self { buckets: Mutex::default() }
    }

    /// The error for a failed login: `unauthenticated`, or `too_many_logins` when there were too many lately.
    pub(crate) fn refuse(&self, refusal: &Refusal, address: Option<IpAddr>, now: Instant) -> Error {
        let (key, message, hint) = refusal.describe();
        metrics::counter!("lakebed_logins_failed_total").increment(1);
        if !self.take(address.map(network), now) {
            return Error::new(ErrorKind::TooManyLogins, "too many wrong keys came from this address lately")
                .with_hint("Check the key or token; a right one is let in at any time.");
        }
        audit::login_failed(key, address, message);
        Error::new(ErrorKind::Unauthenticated, message).with_hint(hint)
    }

    fn take(&self, from: Option<IpAddr>, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MAX_ADDRESSES && !buckets.contains_key(&from) {
            buckets.retain(|_, bucket| bucket.level(now) < BURST);
        }
        let from = if buckets.len() >= MAX_ADDRESSES && !buckets.contains_key(&from) { None } else { from };
        buckets.entry(from).or_insert(Bucket { left: BURST, filled: now }).take(now)
    }
}

impl Bucket {
    fn level(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.filled);
        (self.left + passed.as_secs_f64() * PER_SECOND).min(BURST)
    }

    fn take(&mut self, now: Instant) -> bool {
        self.left = self.level(now);
        self.filled = now;
        let taken = self.left >= 1.0;
        if taken {
            self.left -= 1.0;
        }
        taken
    }
}

/// What one client has of addresses: with IPv6 it usually chooses the lower half itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

impl Refusal {
    fn describe(&self) -> (Option<&str>, &'static str, &'static str) {
        const ASK: &str = "Ask an administrator for another key.";
        const NEW: &str = "Get a new token for this server from its issuer.";
        match self {
            Refusal::Unreadable => (None, "the `Authorization` header holds no key", HOW),
            Refusal::Wrong { id } => (Some(id), "the key is wrong", HOW),
            Refusal::Expired { id } => (Some(id), "the key has expired", ASK),
            Refusal::Revoked { id } => (Some(id), "the key was revoked", ASK),
            Refusal::TokenUnreadable => (None, "the token cannot be read", NEW),
            Refusal::TokenAlgorithm => (None, "the token's signature algorithm is not allowed", NEW),
            Refusal::TokenKey => (None, "the token's key is none of its issuer's", NEW),
            Refusal::TokenSignature => (None, "the token's signature is wrong", NEW),
            Refusal::TokenIssuer => (None, "the token comes from another issuer", NEW),
            Refusal::TokenAudience => (None, "the token is meant for another audience", NEW),
            Refusal::TokenEndless => (None, "the token has no time of expiry", NEW),
            Refusal::TokenExpired => (None, "the token has expired", NEW),
            Refusal::TokenEarly => (None, "the token is not valid yet", "Compare the clocks of issuer and server."),
            Refusal::TokenNameless => (None, "the token does not name whose it is", NEW),
        }
    }
}

const HOW: &str = "Send `Authorization: Bearer KEY`, or the key as the password of Basic.";

/// The error for a request without credentials. No failed login: nothing was tried.
pub(crate) fn no_key() -> Error {
    Error::new(ErrorKind::Unauthenticated, "this server wants a key").with_hint(HOW)
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use lakebed_types::{Clock, SystemClock};

    use super::*;

    fn kind(logins: &FailedLogins, address: &str, now: Instant) -> ErrorKind {
        logins.refuse(&Refusal::Unreadable, Some(address.parse().unwrap()), now).kind()
    }

    #[test]
    fn addresses_are_counted_one_by_one() {
        let (logins, now) = (FailedLogins::new(), SystemClock.instant());
        let first: Vec<ErrorKind> = (0..21).map(|_| kind(&logins, "192.0.2.1", now)).collect();
        assert!(first[..20].iter().all(|kind| *kind == ErrorKind::Unauthenticated), "{first:?}");
        assert_eq!(first[20], ErrorKind::TooManyLogins);
        assert_eq!(kind(&logins, "::ffff:192.0.2.1", now), ErrorKind::TooManyLogins);
        assert_eq!(kind(&logins, "192.0.2.2", now), ErrorKind::Unauthenticated);
        assert_eq!(kind(&logins, "192.0.2.1", now + Duration::from_secs(1)), ErrorKind::Unauthenticated);
    }

    #[test]
    fn an_ipv6_client_cannot_change_its_address() {
        let (logins, now) = (FailedLogins::new(), SystemClock.instant());
        (0..20).for_each(|i| assert_eq!(kind(&logins, &format!("2001:db8::{i:x}"), now), ErrorKind::Unauthenticated));
        assert_eq!(kind(&logins, "2001:db8::ffff", now), ErrorKind::TooManyLogins);
        assert_eq!(kind(&logins, "2001:db8:0:1::1", now), ErrorKind::Unauthenticated);
    }

    #[test]
    fn the_count_stays_bounded() {
        let (logins, now) = (FailedLogins::new(), SystemClock.instant());
        let address = |i: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(i)));
        for i in 0..20_000 {
            logins.take(address(i), now);
        }
        assert!(logins.buckets.lock().len() <= MAX_ADDRESSES + 1);
        logins.take(address(30_000), now + Duration::from_secs(60));
        assert!(logins.buckets.lock().len() < 10, "who has failed no more is forgotten");
    }
}
