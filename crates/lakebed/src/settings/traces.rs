//! `[traces]`: where spans are sent.

use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "traces.endpoint",
        default: "",
        about: "Where spans are sent by OTLP over gRPC, such as `http://127.0.0.1:4317`; empty: nowhere.",
    },
    Key {
        name: "traces.share",
        default: "1",
        about: "Share of the requests that are traced, from 0 to 1; a caller's `traceparent` decides for its own.",
    },
];

/// Where spans are sent, and how many.
#[derive(Debug, Clone)]
pub(crate) struct TraceSettings {
    pub(crate) endpoint: String,
    /// From 0 to 1.
    pub(crate) share: f64,
}

impl TraceSettings {
    /// Reads the section; None where no endpoint is set.
    pub(crate) fn read(values: &Values) -> Result<Option<Self>> {
        let Some(endpoint) = values.text("traces.endpoint").filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(None);
        };
        let url =
            url::Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            return Err(values.wrong("traces.endpoint", endpoint, "a URL such as http://127.0.0.1:4317"));
        }
        let share: f64 = values.parse("traces.share", "a share from 0 to 1")?;
        if !(0.0..=1.0).contains(&share) {
            return Err(values.wrong("traces.share", &share.to_string(), "a share from 0 to 1"));
        }
        Ok(Some(Self { endpoint: endpoint.to_owned(), share }))
    }
}
