//! What a table wants of the rows that come in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a table wants of the rows that come in, as it stands in the catalog and in `PUT …/tables/{table}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableRules {
    /// By column name.
    pub columns: BTreeMap<String, ColumnRules>,
    /// What becomes of fields that are no columns.
    pub unknown: Unknown,
    /// The column that says a row's day, and the partition column made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<DayRule>,
    /// The columns that files are sorted by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<String>,
    /// Days that are kept; older ones are removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// When a day's files are merged.
    pub merge: MergeRules,
}

/// What one column wants.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnRules {
    /// The SQL type, where the table is declared by its rules.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub data_type: Option<String>,
    /// A row without a value is refused.
    #[serde(skip_serializing_if = "is_false")]
    pub required: bool,
    /// The value of a row that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Other names that the field may come under.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The only values that are let in, after trimming and casing.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<serde_json::Value>,
    /// The smallest value that is let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<serde_json::Value>,
    /// The largest value that is let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<serde_json::Value>,
    /// A regular expression that the whole text must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// White space at both ends is taken off.
    #[serde(skip_serializing_if = "is_false")]
    pub trim: bool,
    /// Letters are brought to one case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<Case>,
    /// The zone of times that name none: `Europe/Berlin`, `+02:00`. They are kept in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What a time that comes as a number counts, from 1970 on. Microseconds where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<EpochUnit>,
    /// A number is multiplied by this as it comes in: 0.001 makes kilograms of grams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// The case that letters are brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// `ABC` as `abc`.
    Lower,
    /// `abc` as `ABC`.
    Upper,
}

/// What a time that comes as a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds; what is below a microsecond is cut off.
    #[serde(rename = "ns")]
    Nanoseconds,
}

/// What becomes of fields that are no columns: `"reject"`, `"add"` or `{"column": "extra"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// The row is refused.
    #[default]
    Reject,
    /// They become columns.
    Add,
    /// They are kept as one JSON object in this text column.
    Column(String),
}

/// The column that says a row's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayRule {
    /// A column of times or dates.
    pub from: String,
    /// The partition column that is made of it, in UTC.
    #[serde(default = "default_day_column")]
    pub column: String,
}

/// When a day's files are merged. What is not said is as in the server's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MergeRules {
    /// No scheduled merges of this table.
    #[serde(skip_serializing_if = "is_false")]
    pub off: bool,
    /// Files of a day from which on a merge is worth it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<usize>,
    /// Bytes that a merged file should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_bytes: Option<u64>,
    /// Seconds after a day's end from which on it counts as closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<u64>,
}

fn default_day_column() -> String {
    "date".to_owned()
}

fn is_false(value: &bool) -> bool {
    !value
}
