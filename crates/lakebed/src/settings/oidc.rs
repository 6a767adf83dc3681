//! `[oidc]`: an issuer whose tokens are believed, and what they may do.

use lakebed_access::{IssuerSettings, Role, RoleRules, TokenAlgorithm};
use lakebed_types::{Error, Result};
use url::{Host, Url};

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "oidc.issuer",
        default: "",
        about: "URL of an OpenID Connect issuer, as the claim `iss` of its tokens has it; its tokens are then let in beside keys.",
    },
    Key { name: "oidc.audience", default: "", about: "What the claim `aud` must hold; of several, one." },
    Key {
        name: "oidc.jwks_url",
        default: "",
        about: "URL of the issuer's keys (default: what `/.well-known/openid-configuration` below the issuer names).",
    },
    Key {
        name: "oidc.algorithms",
        default: "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA",
        about: "Signatures that are believed.",
    },
    Key { name: "oidc.clock_skew", default: "60s", about: "By how much the issuer's clock may differ, up to 5m." },
    Key {
        name: "oidc.keys_stale",
        default: "24h",
        about: "How long the issuer's last keys are used while it cannot be reached.",
    },
    Key { name: "oidc.name_claim", default: "sub", about: "Claim that names the principal, as `oidc:NAME`." },
    Key {
        name: "oidc.role_claim",
        default: "",
        about: "Claim whose values give the role, such as `groups` or `realm_access.roles`: a list, or words.",
    },
    Key { name: "oidc.admin_values", default: "", about: "Values of that claim that make an administrator." },
    Key { name: "oidc.write_values", default: "", about: "Values of that claim that give the role write." },
    Key { name: "oidc.read_values", default: "", about: "Values of that claim that give the role read." },
    Key {
        name: "oidc.default_role",
        default: "",
        about: "Role of a token that none of these values fits (default: it is refused).",
    },
    Key {
        name: "oidc.grants_claim",
        default: "",
        about: "Claim that lists the databases and tables a token may see, or `*` (default: tokens see everything).",
    },
    Key {
        name: "oidc.workgroup_claim",
        default: "",
        about: "Claim that names the workgroup, of several the first that there is; a token without one is in `default`.",
    },
];

/// The longest difference of clocks that makes sense.
const MAX_SKEW: std::time::Duration = std::time::Duration::from_secs(300);

/// An issuer, and where its keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OidcSettings {
    pub(crate) issuer: IssuerSettings,
    /// None: found by discovery.
    pub(crate) jwks_url: Option<Url>,
}

impl OidcSettings {
    /// Reads the section; None where no issuer is believed.
    pub(crate) fn read(values: &Values) -> Result<Option<Self>> {
        let Some(issuer) = values.text("oidc.issuer") else {
            return match KEYS.iter().find(|key| values.is_set(key.name) && values.text(key.name).is_some()) {
                Some(key) => Err(Error::invalid_request(format!("{} is set without oidc.issuer", key.name))),
                None => Ok(None),
            };
        };
        safe_url(values, "oidc.issuer", issuer)?;
        let jwks_url = values.text("oidc.jwks_url").map(|text| safe_url(values, "oidc.jwks_url", text)).transpose()?;
        let issuer = issuer_settings(values, issuer)?;
        Ok(Some(Self { issuer, jwks_url }))
    }
}

fn issuer_settings(values: &Values, issuer: &str) -> Result<IssuerSettings> {
    let audiences = list(values, "oidc.audience");
    if audiences.is_empty() {
        return Err(Error::invalid_request("oidc.issuer is set without oidc.audience")
            .with_hint("Set oidc.audience to what the issuer writes into `aud` for this server."));
    }
    let clock_skew = values.duration("oidc.clock_skew")?;
    if clock_skew > MAX_SKEW {
        return Err(values.wrong("oidc.clock_skew", values.text("oidc.clock_skew").unwrap_or_default(), "at most 5m"));
    }
    Ok(IssuerSettings {
        issuer: issuer.to_owned(),
        audiences,
        algorithms: algorithms(values)?,
        clock_skew,
        keys_stale: values.duration("oidc.keys_stale")?,
        name_claim: values.text("oidc.name_claim").unwrap_or("sub").to_owned(),
        roles: role_rules(values)?,
        grants_claim: values.text("oidc.grants_claim").map(str::to_owned),
        workgroup_claim: values.text("oidc.workgroup_claim").map(str::to_owned),
    })
}

fn role_rules(values: &Values) -> Result<RoleRules> {
    let default = match values.text("oidc.default_role") {
        Some(name) => {
            let role = Role::from_name(name);
            Some(role.ok_or_else(|| values.wrong("oidc.default_role", name, "read, write or admin"))?)
        }
        None => None,
    };
    let rules = RoleRules {
        claim: values.text("oidc.role_claim").map(str::to_owned),
        admin: list(values, "oidc.admin_values"),
        write: list(values, "oidc.write_values"),
        read: list(values, "oidc.read_values"),
        default,
    };
    let has_values = ![&rules.admin, &rules.write, &rules.read].iter().all(|values| values.is_empty());
    match (&rules.claim, has_values, default) {
        (None, true, _) => Err(Error::invalid_request("values of roles are set without oidc.role_claim")),
        (_, false, None) => Err(Error::invalid_request("no token would have a role")
            .with_hint("Set oidc.default_role, or oidc.role_claim and the values of its roles.")),
        _ => Ok(rules),
    }
}

fn algorithms(values: &Values) -> Result<Vec<TokenAlgorithm>> {
    let what = "a list of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";
    let names = list(values, "oidc.algorithms");
    let read =
        |name: &String| TokenAlgorithm::from_name(name).ok_or_else(|| values.wrong("oidc.algorithms", name, what));
    let algorithms: Vec<TokenAlgorithm> = names.iter().map(read).collect::<Result<_>>()?;
    if algorithms.is_empty() { Err(values.wrong("oidc.algorithms", "", what)) } else { Ok(algorithms) }
}

fn list(values: &Values, name: &str) -> Vec<String> {
    let text = values.text(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn safe_url(values: &Values, name: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(is_safe);
    url.ok_or_else(|| values.wrong(name, text, "an https:// URL (http:// is for loopback alone)"))
}

/// Whether nobody on the way can change what is read there.
pub(crate) fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Option<OidcSettings>> {
        let mut values = Values::default();
        set.iter().for_each(|(name, text)| values.set(&format!("oidc.{name}"), *text, "lakebed.toml").unwrap());
        OidcSettings::read(&values)
    }

    const GOOD: [(&str, &str); 3] =
        [("issuer", "https://id.example"), ("audience", "lake, other"), ("default_role", "read")];

    #[test]
    fn an_issuer_an_audience_and_a_role_are_enough() {
        assert!(read(&[]).unwrap().is_none());
        let settings = read(&GOOD).unwrap().unwrap();
        assert_eq!(settings.issuer.audiences, ["lake", "other"]);
        assert_eq!(settings.issuer.algorithms.len(), 9);
        assert!(settings.jwks_url.is_none());
    }

    #[test]
    fn half_an_issuer_is_an_error() {
        for missing in 0..GOOD.len() {
            let part: Vec<_> = GOOD.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, set)| *set).collect();
            assert!(read(&part).is_err(), "{part:?}");
        }
        for (name, text) in [
            ("issuer", "http://id.example"),
            ("jwks_url", "ftp://id.example/keys"),
            ("algorithms", "HS256"),
            ("algorithms", "none"),
            ("algorithms", ","),
            ("default_role", "root"),
            ("clock_skew", "1h"),
            ("admin_values", "admins"),
        ] {
            let set: Vec<_> = GOOD.into_iter().filter(|(good, _)| *good != name).chain([(name, text)]).collect();
            assert!(read(&set).is_err(), "{name} = {text}");
        }
    }

    #[test]
    fn only_loopback_may_do_without_tls() {
        for (url, safe) in [
            ("https://id.example/keys", true),
            ("http://127.0.0.1:9/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://localhost.example/keys", false),
            ("file:///etc/keys", false),
        ] {
            assert_eq!(is_safe(&Url::parse(url).unwrap()), safe, "{url}");
        }
    }
}
