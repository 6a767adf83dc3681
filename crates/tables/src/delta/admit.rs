//! Which tables of other programs are beyond us. What we would break by writing, or read wrongly, is refused at once.

use lakebed_storage::Location;
use lakebed_types::{Error, ErrorKind, Result};
use serde_json::Value;

use super::action::{Metadata, Protocol};

/// Features that a table may need: no time zone in a timestamp, and the two that all tables of writer version 2 have. Of these
/// `appendOnly` is heeded where files are removed, and tables that make use of `invariants` are refused.
const FEATURES: [&str; 3] = ["timestampNtz", "appendOnly", "invariants"];
/// Entries of a column that ask a writer for more than its type: what they begin with, and what they are.
const DEMANDS: [(&str, &str); 3] = [
    ("delta.invariants", "has an invariant"),
    ("delta.generationExpression", "is generated"),
    ("delta.identity.", "is an identity column"),
];
/// Begins the entries of a table that check its rows.
const CONSTRAINTS: &str = "delta.constraints.";

/// # Errors
/// `unsupported` for versions and features that are not known.
pub(super) fn check_protocol(protocol: &Protocol, location: &Location) -> Result<()> {
    let features = protocol.reader_features.iter().chain(&protocol.writer_features).flatten();
    let unknown = features.into_iter().find(|feature| !FEATURES.contains(&feature.as_str()));
    let what = match unknown {
        Some(feature) => format!("the table feature `{feature}`"),
        None if protocol.min_reader_version > 3 || protocol.min_reader_version == 2 => {
            format!("reader version {}", protocol.min_reader_version)
        }
        None if protocol.min_writer_version > 7 || (3..7).contains(&protocol.min_writer_version) => {
            format!("writer version {}", protocol.min_writer_version)
        }
        None => return Ok(()),
    };
    Err(Error::new(ErrorKind::Unsupported, format!("the Delta table {location} needs {what}"))
        .with_hint("Another program has changed the table; it can be read as plain Parquet files only."))
}

/// `schema`: what the table's `schemaString` says.
///
/// # Errors
/// `unsupported` for several partition columns, and for demands on rows that we do not check.
pub(super) fn check_metadata(metadata: &Metadata, schema: &Value, location: &Location) -> Result<()> {
    if let columns @ [_, _, ..] = metadata.partition_columns.as_slice() {
        let text = format!("the Delta table {location} is partitioned by several columns: `{}`", columns.join("`, `"));
        return Err(Error::new(ErrorKind::Unsupported, text)
            .with_hint("One partition column is the most; the table can be read as plain Parquet files."));
    }
    if let Some(name) = metadata.configuration.keys().find_map(|key| key.strip_prefix(CONSTRAINTS)) {
        return Err(demanding(location, &format!("has the constraint `{name}`")));
    }
    match demand(schema, "") {
        Some(what) => Err(demanding(location, &what)),
        None => Ok(()),
    }
}

fn demanding(location: &Location, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the Delta table {location}: {what}"))
        .with_hint("Drop that with the program that made the table, or read its files as plain Parquet files.")
}

/// What a column of this type, or one inside of it, demands of a row. `path`: the names above it, each with a dot.
fn demand(data_type: &Value, path: &str) -> Option<String> {
    let mut inside = ["elementType", "keyType", "valueType"].iter().filter_map(|part| data_type.get(part));
    let mut fields = data_type.get("fields").and_then(Value::as_array).into_iter().flatten();
    let of_field = |field: &Value| {
        let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
        let of_type = || field.get("type").and_then(|data_type| demand(data_type, &format!("{path}{name}.")));
        own_demand(field).map(|what| format!("column `{path}{name}` {what}")).or_else(of_type)
    };
    fields.find_map(of_field).or_else(|| inside.find_map(|part| demand(part, path)))
}

fn own_demand(field: &Value) -> Option<&'static str> {
    if field.get("nullable").and_then(Value::as_bool) == Some(false) {
        return Some("cannot be NULL");
    }
    let entries = field.get("metadata").and_then(Value::as_object)?;
    DEMANDS.iter().find(|(begin, _)| entries.keys().any(|key| key.starts_with(begin))).map(|(_, what)| *what)
}
