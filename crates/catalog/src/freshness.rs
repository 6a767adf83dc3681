//! When new files of a table are looked for.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use lakebed_types::Error;

/// When new files of a table are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// At a query, if the last look is this old or older. Text form `on_query:5s`.
    OnQuery {
        /// How old the last look may be before a query looks again.
        min_age: Duration,
    },
    /// By a background duty. Text form `interval:60s`.
    Interval {
        /// Time from one look to the next.
        every: Duration,
    },
    /// Only by a crawl or on request. Text form `manual`.
    Manual,
}

impl Freshness {
    /// Whether a query at `now` has to look first.
    pub(crate) fn due_at_query(self, last_listed: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        match self {
            Self::OnQuery { min_age } => older_than(last_listed, now, min_age),
            Self::Interval { .. } | Self::Manual => false,
        }
    }

    /// Whether the background duty at `now` has to look.
    pub(crate) fn due_in_background(self, last_listed: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        match self {
            Self::Interval { every } => older_than(last_listed, now, every),
            Self::OnQuery { .. } | Self::Manual => false,
        }
    }
}

/// A clock that was set back makes a look due: its age is not known.
fn older_than(last: Option<DateTime<Utc>>, now: DateTime<Utc>, age: Duration) -> bool {
    match last {
        Some(last) => (now - last).to_std().map_or(true, |elapsed| elapsed >= age),
        None => true,
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnQuery { min_age } => write!(f, "on_query:{}", DurationText(*min_age)),
            Self::Interval { every } => write!(f, "interval:{}", DurationText(*every)),
            Self::Manual => f.write_str("manual"),
        }
    }
}

impl FromStr for Freshness {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid_request(format!("`{}` is not a freshness policy", text.escape_debug()))
                .with_hint("Write `on_query:5s`, `interval:60s` or `manual`.")
        };
        match text.trim().split_once(':') {
            None if text.trim() == "manual" => Ok(Self::Manual),
            Some(("on_query", age)) => Ok(Self::OnQuery { min_age: parse_duration(age).ok_or_else(wrong)? }),
            Some(("interval", every)) => match parse_duration(every) {
                Some(every) if !every.is_zero() => Ok(Self::Interval { every }),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

struct DurationText(Duration);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) => write!(f, "{seconds}s"),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" | "min" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "d" => Some(Duration::from_secs(number.checked_mul(86_400)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_read_back() {
        for text in ["on_query:5s", "on_query:250ms", "on_query:0s", "interval:60s", "manual"] {
            assert_eq!(text.parse::<Freshness>().unwrap().to_string(), text);
        }
        assert_eq!("interval:2m".parse::<Freshness>().unwrap().to_string(), "interval:120s");
        for bad in ["", "on_query", "interval:0s", "interval:soon", "sometimes", "manual:5s"] {
            assert!(bad.parse::<Freshness>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clock_set_back_makes_a_look_due() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let policy = Freshness::OnQuery { min_age: Duration::from_secs(5) };
        assert!(policy.due_at_query(None, now));
        assert!(!policy.due_at_query(Some(now - Duration::from_secs(4)), now));
        assert!(policy.due_at_query(Some(now - Duration::from_secs(5)), now));
        assert!(policy.due_at_query(Some(now + Duration::from_secs(60)), now));
    }
}
