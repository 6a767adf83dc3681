//! `[limits]`: how much may run, wait and come back.

use lakebed_access::Limits;
use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "limits.running_queries", default: "", about: "Queries that run at once (default: twice the cores)." },
    Key { name: "limits.queue_length", default: "100", about: "Queries that may wait." },
    Key { name: "limits.queue_wait", default: "30s", about: "How long a query may wait for its turn." },
    Key { name: "limits.run_time", default: "60s", about: "Run time of a query that someone waits for." },
    Key { name: "limits.run_time_background", default: "30m", about: "Run time of a query in the background." },
    Key { name: "limits.result_rows", default: "", about: "Rows of one result (default: no limit, results stream)." },
    Key { name: "limits.idle_client", default: "60s", about: "How long a client may read nothing of its result." },
];

/// Reads the section.
pub(crate) fn limits(values: &Values) -> Result<Limits> {
    let mut limits = Limits::default();
    if values.text("limits.running_queries").is_some() {
        limits.running_queries = values.parse("limits.running_queries", "a number")?;
        limits.running_queries_per_principal = limits.running_queries;
    }
    limits.queue_length = values.parse("limits.queue_length", "a number")?;
    limits.queue_wait = values.duration("limits.queue_wait")?;
    limits.run_time = values.duration("limits.run_time")?;
    limits.run_time_background = values.duration("limits.run_time_background")?;
    if values.text("limits.result_rows").is_some() {
        limits.result_rows = Some(values.parse("limits.result_rows", "a number")?);
    }
    limits.idle_client = values.duration("limits.idle_client")?;
    Ok(limits)
}
