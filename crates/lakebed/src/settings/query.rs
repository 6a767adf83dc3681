//! `[query]`: the engine's memory, disk and threads.

use std::path::Path;

use lakebed_query::{QuerySettings, SqlLimits};
use lakebed_storage::Location;
use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "query.threads", default: "", about: "Threads that execute queries (default: the cores)." },
    Key {
        name: "query.memory",
        default: "",
        about: "Memory of all queries together (default: 60 % of the machine's or the container's).",
    },
    Key {
        name: "query.memory_per_query",
        default: "",
        about: "Memory of one query, where its workgroup says nothing else (default: a quarter of `query.memory`, and at \
                least 512 MiB where there is so much).",
    },
    Key {
        name: "query.resident_memory",
        default: "",
        about: "Memory of the process above which its largest query is ended and nothing new begins (default: 90 % of the \
                machine's or the container's).",
    },
    Key { name: "query.spill", default: "20GiB", about: "Disk for the spill files of all queries." },
    Key { name: "query.batch_rows", default: "16384", about: "Rows of a batch at most; fewer where rows are wide." },
    Key {
        name: "query.metadata_cache",
        default: "",
        about: "Memory for Parquet footers, page indexes and rows around pages (default: 5 % of the machine's or the \
                container's, at most 256 MiB).",
    },
    Key {
        name: "query.column_cache",
        default: "",
        about: "Memory for decoded columns of Parquet files that queries ask for again; `0` keeps none (default: 10 % of \
                the machine's or the container's).",
    },
    Key { name: "query.history", default: "10000", about: "Finished queries that the history keeps." },
    Key { name: "query.price_per_tib", default: "5.0", about: "Price of scanning one TiB, in US dollars." },
    Key { name: "query.results", default: "10GiB", about: "Disk for the kept results of background queries." },
    Key { name: "query.results_lifetime", default: "1h", about: "How long a background query's result is kept." },
    Key {
        name: "query.result_cache",
        default: "64MiB",
        about: "Memory for answers that are given again while nothing they were read from has changed; 0 keeps none.",
    },
    Key { name: "query.planning_time", default: "10s", about: "Time to plan one query." },
];

/// Share of the machine's memory above which the process must give some back.
const RESIDENT_SHARE: f64 = 0.9;
/// A quarter of a small server's memory would be too little for queries that fit into all of it.
const LEAST_PER_QUERY_BYTES: u64 = 512 << 20;
/// Share of the machine's memory that queries may reserve: the rest is for what the engine does not count.
const MEMORY_SHARE: f64 = 0.6;
/// Share of the machine's memory for decoded columns.
const COLUMN_CACHE_SHARE: f64 = 0.1;
/// Share of the machine's memory for footers and the like, and the most that they get by default.
const METADATA_CACHE_SHARE: f64 = 0.05;
const METADATA_CACHE_MOST: u64 = 256 << 20;

/// Where managed tables are written.
pub(crate) fn lake_of(values: &Values, data_dir: &Path) -> Result<Location> {
    match values.text("data.lake") {
        Some(text) => Location::parse(text),
        None => Location::parse(&format!("{}/", data_dir.join("lake").display())),
    }
}

/// US dollars for scanning a TiB.
pub(crate) fn price(values: &Values) -> Result<f64> {
    values.parse("query.price_per_tib", "a number")
}

/// Reads the section. `lake`: where managed tables go, None where nothing may be written.
pub(crate) fn query_settings(values: &Values, data_dir: &Path, lake: Option<Location>) -> Result<QuerySettings> {
    let bytes_or_share = |name: &str, share: f64| match values.text(name) {
        Some(_) => values.bytes(name),
        None => Ok((available_memory_bytes() as f64 * share) as u64),
    };
    let memory_bytes = bytes_or_share("query.memory", MEMORY_SHARE)?;
    let metadata_cache_bytes = match values.text("query.metadata_cache") {
        Some(_) => values.bytes("query.metadata_cache")?,
        None => bytes_or_share("query.metadata_cache", METADATA_CACHE_SHARE)?.min(METADATA_CACHE_MOST),
    };
    let memory_per_query_bytes = match values.text("query.memory_per_query") {
        Some(_) => values.bytes("query.memory_per_query")?,
        None => (memory_bytes / 4).max(LEAST_PER_QUERY_BYTES).min(memory_bytes),
    };
    let resident_memory_bytes = match values.text("query.resident_memory") {
        Some(_) => values.bytes("query.resident_memory")?,
        None => (available_memory_bytes() as f64 * RESIDENT_SHARE) as u64,
    };
    let threads = match values.text("query.threads") {
        Some(_) => values.parse("query.threads", "a number")?,
        None => std::thread::available_parallelism().map_or(2, usize::from),
    };
    Ok(QuerySettings {
        memory_bytes,
        memory_per_query_bytes,
        resident_memory_bytes: Some(resident_memory_bytes),
        spill_dir: data_dir.join("spill"),
        spill_bytes: values.bytes("query.spill")?,
        spool_dir: Some(data_dir.join("results")),
        spool_bytes: values.bytes("query.results")?,
        spool_lifetime: values.duration("query.results_lifetime")?,
        result_cache_bytes: values.bytes("query.result_cache")?,
        threads,
        batch_rows: values.parse("query.batch_rows", "a number")?,
        metadata_cache_bytes,
        column_cache_bytes: bytes_or_share("query.column_cache", COLUMN_CACHE_SHARE)?,
        price_per_tib_usd: price(values)?,
        history_entries: values.parse("query.history", "a number")?,
        lake,
        sql: SqlLimits { planning: values.duration("query.planning_time")?, ..SqlLimits::default() },
    })
}

/// Memory of the container if it is bounded, else of the machine; 4 GiB where neither can be read.
pub(super) fn available_memory_bytes() -> u64 {
    const FALLBACK: u64 = 4 << 30;
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    });
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let machine = machine.unwrap_or(FALLBACK);
    container.map_or(machine, |container: u64| container.min(machine))
}
