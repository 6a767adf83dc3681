//! Settings as text, each with where it came from, and their typed reading.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use lakebed_types::{Error, Result, parse_bytes};

use super::{Key, all_keys};

/// A value and its origin, for messages: `--http`, `LAKEBED_SERVER_HTTP`, `lakebed.toml`.
#[derive(Debug, Clone)]
struct Value {
    text: String,
    origin: String,
}

/// The settings of this process, as text. Later layers override earlier ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    values: BTreeMap<String, Value>,
}

impl Values {
    /// Sets a known key; an unknown one is an error that names the nearest.
    pub(crate) fn set(&mut self, name: &str, text: impl Into<String>, origin: &str) -> Result<()> {
        if !all_keys().any(|key| key.name == name) {
            return Err(unknown_key(name, origin));
        }
        self.values.insert(name.to_owned(), Value { text: text.into(), origin: origin.to_owned() });
        Ok(())
    }

    /// The text of a setting: what was set, else its default; None where both are empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let set = self.values.get(name).map(|value| value.text.as_str());
        set.or_else(|| default_of(name)).filter(|text| !text.is_empty())
    }

    /// Whether anyone set it.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A value read by `FromStr`.
    pub(crate) fn parse<T: FromStr>(&self, name: &str, what: &str) -> Result<T> {
        let text = self.text(name).unwrap_or_default();
        text.parse().map_err(|_| self.wrong(name, text, what))
    }

    /// An amount of bytes, such as `512MB`.
    pub(crate) fn bytes(&self, name: &str) -> Result<u64> {
        let text = self.text(name).unwrap_or_default();
        parse_bytes(text).map_err(|_| self.wrong(name, text, "a size such as 512MB"))
    }

    /// A duration, such as `250ms`, `30s`, `5m`, `2h`.
    pub(crate) fn duration(&self, name: &str) -> Result<Duration> {
        let text = self.text(name).unwrap_or_default();
        parse_duration(text).ok_or_else(|| self.wrong(name, text, "a duration such as 250ms, 30s, 5m or 2h"))
    }

    /// A yes or no.
    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.text(name).unwrap_or_default() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            text => Err(self.wrong(name, text, "true or false")),
        }
    }

    /// The error for a value that is not `what`, with its origin.
    pub(crate) fn wrong(&self, name: &str, text: &str, what: &str) -> Error {
        let origin = self.values.get(name).map_or("the default", |value| value.origin.as_str());
        Error::invalid_request(format!("setting {name} from {origin} is `{}`, not {what}", text.escape_debug()))
    }
}

fn default_of(name: &str) -> Option<&'static str> {
    all_keys().find(|key| key.name == name).map(|key| key.default)
}

fn unknown_key(name: &str, origin: &str) -> Error {
    let error = Error::invalid_request(format!("unknown setting `{}` in {origin}", name.escape_debug()));
    let nearest =
        all_keys().max_by(|a, b| strsim::jaro_winkler(a.name, name).total_cmp(&strsim::jaro_winkler(b.name, name)));
    match nearest {
        Some(Key { name: near, .. }) => error.with_hint(format!("The nearest known setting is `{near}`.")),
        None => error,
    }
}

/// Reads `250ms`, `30s`, `5m`, `2h`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_name_the_nearest() {
        let error = Values::default().set("server.htpp", "x", "lakebed.toml").unwrap_err();
        assert_eq!(error.message(), "unknown setting `server.htpp` in lakebed.toml");
        assert_eq!(error.hint(), Some("The nearest known setting is `server.http`."));
    }

    #[test]
    fn wrong_values_name_setting_and_origin() {
        let mut values = Values::default();
        values.set("query.memory", "lots", "LAKEBED_QUERY_MEMORY").unwrap();
        let error = values.bytes("query.memory").unwrap_err();
        assert_eq!(
            error.message(),
            "setting query.memory from LAKEBED_QUERY_MEMORY is `lots`, not a size such as 512MB"
        );
    }

    #[test]
    fn durations_read() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(parse_duration("soon"), None);
        assert_eq!(parse_duration("5"), None);
    }
}
