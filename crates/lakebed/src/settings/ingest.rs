//! `[ingest]`: rows that are taken in, from the request to the table's files.

use std::path::Path;

use lakebed_ingest::IngestSettings;
use lakebed_types::Result;

use super::{
    Key, Values,
    query::{available_memory_bytes, lake_of},
};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "ingest.wal",
        default: "",
        about: "Folder of the write-ahead log, on a disk of this server's own (default: `wal` in `data.dir`).",
    },
    Key {
        name: "ingest.node",
        default: "",
        about: "Name of this server in the logs of the tables that it writes (default: the machine's).",
    },
    Key { name: "ingest.body_limit", default: "64MiB", about: "Size of a request with rows, as it is sent." },
    Key { name: "ingest.inflated_limit", default: "128MiB", about: "The same after it is decompressed." },
    Key {
        name: "ingest.memory",
        default: "",
        about: "Memory for rows that are not in files yet; beyond it requests are told to come again (default: 10 % of the \
                machine's or the container's).",
    },
    Key {
        name: "ingest.wal_limit",
        default: "4GiB",
        about: "Size of the write-ahead log; beyond it requests are told to come again.",
    },
    Key {
        name: "ingest.flush_bytes",
        default: "128MiB",
        about: "Rows of one table in memory that are written to files at once.",
    },
    Key {
        name: "ingest.flush_age",
        default: "30s",
        about: "Age of a row at which those of its table are written to files.",
    },
    Key {
        name: "ingest.keys_lifetime",
        default: "1h",
        about: "How long an `Idempotency-Key` is remembered, also over a restart.",
    },
    Key {
        name: "ingest.keys",
        default: "100000",
        about: "Idempotency keys that are remembered, of all tables; beyond it the oldest are forgotten.",
    },
    Key { name: "ingest.merge_files", default: "8", about: "Flushes of a day from which on its files are merged." },
    Key { name: "ingest.merge_bytes", default: "256MiB", about: "Size of a file that a merge aims at." },
    Key {
        name: "ingest.merge_after",
        default: "10m",
        about: "How long after a day's end it counts as closed and is merged; rows that come later are merged again.",
    },
    Key {
        name: "ingest.vacuum_after",
        default: "7d",
        about: "Age at which files that no longer belong to a table are deleted: longer than any query, and twice as long as \
                another server may be away with files that it has still to commit.",
    },
    Key {
        name: "ingest.vacuum_every",
        default: "1h",
        about: "How often such files are looked for, first that long after the start; one of several servers does it.",
    },
    Key { name: "ingest.tails", default: "100", about: "Tails of tables (`GET …/tail`) that may be open at once." },
];

/// Share of the machine's memory for rows that are not in files yet.
const MEMORY_SHARE: f64 = 0.1;

/// What the HTTP API needs of the section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsLimits {
    pub(crate) body_bytes: u64,
    pub(crate) tails: usize,
}

impl RowsLimits {
    /// Reads them.
    pub(crate) fn read(values: &Values) -> Result<Self> {
        Ok(Self { body_bytes: values.bytes("ingest.body_limit")?, tails: values.parse("ingest.tails", "a number")? })
    }
}

/// Reads the section.
pub(crate) fn ingest_settings(values: &Values, data_dir: &Path) -> Result<IngestSettings> {
    let buffer_bytes = match values.text("ingest.memory") {
        Some(_) => values.bytes("ingest.memory")?,
        None => (available_memory_bytes() as f64 * MEMORY_SHARE) as u64,
    };
    Ok(IngestSettings {
        wal_dir: values.text("ingest.wal").map_or_else(|| data_dir.join("wal"), Into::into),
        lake: Some(lake_of(values, data_dir)?),
        node: values.text("ingest.node").map_or_else(machine, str::to_owned),
        body_bytes: values.bytes("ingest.body_limit")?,
        inflated_bytes: values.bytes("ingest.inflated_limit")?,
        buffer_bytes,
        wal_bytes: values.bytes("ingest.wal_limit")?,
        flush_bytes: values.bytes("ingest.flush_bytes")?,
        flush_age: values.duration("ingest.flush_age")?,
        keys_lifetime: values.duration("ingest.keys_lifetime")?,
        keys: values.parse("ingest.keys", "a number")?,
        merge_files: values.parse("ingest.merge_files", "a number")?,
        merge_bytes: values.bytes("ingest.merge_bytes")?,
        merge_after: values.duration("ingest.merge_after")?,
        vacuum_after: values.duration("ingest.vacuum_after")?,
        vacuum_every: values.duration("ingest.vacuum_every")?,
        ..IngestSettings::default()
    })
}

/// The machine's name, where it has one.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "lakebed".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_reference_page() {
        let settings = ingest_settings(&Values::default(), Path::new("/data")).unwrap();
        assert_eq!(settings.wal_dir, Path::new("/data/wal"));
        assert_eq!(settings.flush_age, Duration::from_secs(30));
        assert_eq!(settings.vacuum_after, Duration::from_secs(7 * 24 * 3600));
        assert_eq!(settings.vacuum_every, Duration::from_secs(3600));
        assert!(!settings.node.is_empty() && settings.buffer_bytes > 0);
        let rows = RowsLimits::read(&Values::default()).unwrap();
        assert_eq!((rows.body_bytes, rows.tails), (64 << 20, 100));
    }
}
