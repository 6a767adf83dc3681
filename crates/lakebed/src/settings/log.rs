//! `[log]`: what is logged, and how.

use std::time::Duration;

use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "log.filter", default: "info", about: "Levels, such as `info` or `warn,lakebed_query=debug`." },
    Key { name: "log.format", default: "text", about: "`text` or `json`, on stderr." },
    Key {
        name: "log.slow_query",
        default: "10s",
        about: "A query that takes this long or longer is logged with its text and statistics; `0s`: none is.",
    },
];

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
    /// From how long on a query is logged; None: never.
    pub(crate) slow_query: Option<Duration>,
}

impl LogSettings {
    /// Reads the section; `quiet` is the level of commands whose output people read.
    pub(crate) fn read(values: &Values, quiet: bool) -> Result<Self> {
        let filter = values.text("log.filter").unwrap_or("info");
        let format = match values.text("log.format").unwrap_or_default() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => return Err(values.wrong("log.format", other, "text or json")),
        };
        let filter = if quiet && !values.is_set("log.filter") { "error" } else { filter };
        let slow_query = Some(values.duration("log.slow_query")?).filter(|time| !time.is_zero());
        Ok(Self { filter: filter.to_owned(), format, slow_query })
    }
}
