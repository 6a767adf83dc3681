//! What a table wants of rows that come in, as requests say it. Checking it is `ingest`'s.

use std::collections::BTreeMap;

use lakebed_ingest::TableRules;
use lakebed_types::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What a table wants of the rows that come in.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "columns": {
        "id": {"type": "BIGINT", "required": true},
        "ts": {"type": "TIMESTAMP", "required": true, "aliases": ["time"], "time_zone": "Europe/Berlin"},
        "kind": {"type": "VARCHAR", "trim": true, "case": "lower", "enum": ["click", "view"]},
        "price": {"type": "DOUBLE", "min": 0}
    },
    "unknown": {"column": "extra"},
    "day": {"from": "ts"},
    "sort": ["ts", "id"],
    "retention_days": 90
}))]
pub(crate) struct IngestRules {
    /// By column name.
    columns: BTreeMap<String, IngestColumn>,
    /// What becomes of fields that are no columns.
    unknown: UnknownFields,
    /// The column that says a row's day, and the partition column made of it.
    day: Option<IngestDay>,
    /// The columns that files are sorted by.
    sort: Vec<String>,
    /// Days that are kept; older ones are removed.
    retention_days: Option<u32>,
    merge: IngestMerge,
}

impl IngestRules {
    /// The same in ingestion's own words: the two differ in nothing that JSON shows.
    pub(crate) fn into_rules(self) -> Result<TableRules> {
        let rules = serde_json::to_value(self).and_then(serde_json::from_value);
        rules.map_err(|error| Error::internal("rules of a request are none of a table").with_source(error))
    }
}

/// What one column wants.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IngestColumn {
    /// SQL type name, where the table is declared here and not in `columns`.
    #[serde(rename = "type")]
    #[schema(example = "VARCHAR")]
    data_type: Option<String>,
    /// A row without a value is refused.
    required: bool,
    /// The value of a row that has none.
    default: Option<Value>,
    /// Other names that the field may come under.
    aliases: Vec<String>,
    /// The only values that are let in, after trimming and casing.
    #[serde(rename = "enum")]
    allowed: Vec<Value>,
    /// The smallest value that is let in.
    min: Option<Value>,
    /// The largest value that is let in.
    max: Option<Value>,
    /// A regular expression that the whole text must match.
    pattern: Option<String>,
    /// White space at both ends is taken off.
    trim: bool,
    /// Letters are brought to one case.
    case: Option<LetterCase>,
    /// The zone of times that name none, such as `Europe/Berlin` or `+02:00`. They are kept in UTC.
    time_zone: Option<String>,
    /// What a time that comes as a number counts, from 1970 on; microseconds if missing.
    unit: Option<TimeUnit>,
    /// A number is multiplied by this as it comes in.
    scale: Option<f64>,
}

/// The case that letters are brought to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LetterCase {
    Lower,
    Upper,
}

/// What a time that comes as a number counts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) enum TimeUnit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "ns")]
    Nanoseconds,
}

/// What becomes of fields that are no columns: the row is refused, they become columns, or they are kept as one JSON object
/// in the text column of this name.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UnknownFields {
    #[default]
    Reject,
    Add,
    Column(String),
}

/// The column that says a row's day.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IngestDay {
    /// A column of times or dates.
    #[schema(example = "ts")]
    from: String,
    /// The partition column that is made of it, in UTC; `date` if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "date")]
    column: Option<String>,
}

/// When a day's files are merged. What is missing is as in the server's settings.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IngestMerge {
    /// No scheduled merges of this table.
    off: bool,
    /// Files of a day from which on a merge is worth it.
    files: Option<usize>,
    /// Bytes that a merged file should have.
    target_bytes: Option<u64>,
    /// Seconds after a day's end from which on it counts as closed.
    after_seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_request_says_is_what_the_table_wants() {
        let text = json!({
            "columns": {
                "a": {"type": "BIGINT", "required": true, "aliases": ["b"], "min": 1, "max": 2, "default": 1, "scale": 0.5},
                "t": {"time_zone": "Europe/Berlin", "unit": "ms"},
                "k": {"trim": true, "case": "upper", "enum": ["X"], "pattern": "X+"},
            },
            "unknown": {"column": "extra"}, "day": {"from": "t"}, "sort": ["a"], "retention_days": 3,
            "merge": {"off": true, "files": 4, "target_bytes": 5, "after_seconds": 6},
        });
        for rules in [text, json!({}), json!({"unknown": "add"}), json!({"day": {"from": "t", "column": "d"}})] {
            let ours: IngestRules = serde_json::from_value(rules.clone()).unwrap();
            assert_eq!(ours.into_rules().unwrap(), serde_json::from_value::<TableRules>(rules).unwrap());
        }
    }
}
