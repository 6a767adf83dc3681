//! A limit that was reached: one message, one metric.

use std::fmt::Display;

use lakebed_types::{Error, ErrorKind};

use crate::Limit;

/// The error for a limit of a workgroup that was reached, counted. `what` happened names the object and begins in lower
/// case; `value` is the limit's, with its unit.
pub fn breach(workgroup: &str, limit: Limit, value: impl Display, kind: ErrorKind, what: impl Display) -> Error {
    let labels = [("limit", limit.name().to_owned()), ("workgroup", workgroup.to_owned())];
    metrics::counter!("lakebed_limit_breaches_total", &labels).increment(1);
    Error::new(kind, format!("{what} (workgroup `{workgroup}`: {} = {value})", limit.name()))
}
