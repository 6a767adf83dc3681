//! `[limits]`: how much may run, wait, be read and come back. Those of the workgroup `default`, which others follow.

use lakebed_access::Limits;
use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "limits.running_queries", default: "", about: "Queries that run at once (default: twice the cores)." },
    Key {
        name: "limits.concurrent_queries",
        default: "",
        about: "Of these, queries of one workgroup (default: as many).",
    },
    Key { name: "limits.queue_length", default: "100", about: "Queries of one workgroup that may wait." },
    Key { name: "limits.queue_wait", default: "30s", about: "How long a query may wait for its turn." },
    Key {
        name: "limits.requests_per_second",
        default: "",
        about: "Requests that one workgroup may send in a second (default: no limit).",
    },
    Key { name: "limits.run_time", default: "60s", about: "Run time of a query that someone waits for." },
    Key { name: "limits.run_time_background", default: "30m", about: "Run time of a query in the background." },
    Key { name: "limits.result_rows", default: "", about: "Rows of one result (default: no limit, results stream)." },
    Key {
        name: "limits.result_bytes",
        default: "",
        about: "Size of one result in memory, before it is encoded (default: no limit).",
    },
    Key {
        name: "limits.scan_bytes",
        default: "1TiB",
        about: "Bytes that one query may scan: by the catalog's estimate before it runs, and while it runs.",
    },
    Key {
        name: "limits.scan_bytes_per_day",
        default: "",
        about: "Bytes that one workgroup may scan from midnight to midnight in UTC (default: no limit).",
    },
    Key {
        name: "limits.scan_bytes_per_month",
        default: "",
        about: "Bytes that one workgroup may scan in a calendar month in UTC (default: no limit).",
    },
    Key {
        name: "limits.spill",
        default: "",
        about: "Disk for the spill files of one query (default: all of `query.spill`).",
    },
    Key {
        name: "limits.create_tables",
        default: "true",
        about: "Whether rows may be sent to a table that is not there yet and is made of them (`create=true`).",
    },
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
    limits.concurrent_queries = count(values, "limits.concurrent_queries")?.map(|count| count as usize);
    limits.requests_per_second = count(values, "limits.requests_per_second")?;
    limits.result_rows = count(values, "limits.result_rows")?;
    limits.result_bytes = bytes(values, "limits.result_bytes")?;
    limits.scan_bytes = bytes(values, "limits.scan_bytes")?;
    limits.scan_bytes_per_day = bytes(values, "limits.scan_bytes_per_day")?;
    limits.scan_bytes_per_month = bytes(values, "limits.scan_bytes_per_month")?;
    limits.spill_bytes = bytes(values, "limits.spill")?;
    limits.create_tables = values.flag("limits.create_tables")?;
    limits.idle_client = values.duration("limits.idle_client")?;
    Ok(limits)
}

fn count(values: &Values, name: &str) -> Result<Option<u64>> {
    values.text(name).map(|_| values.parse(name, "a number")).transpose()
}

fn bytes(values: &Values, name: &str) -> Result<Option<u64>> {
    values.text(name).map(|_| values.bytes(name)).transpose()
}
