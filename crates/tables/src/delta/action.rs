//! The actions of a commit, as JSON has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far an application has come: the highest version of its own that is in the table. Committed together with the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// Who: for a log `ingest/<node>/<incarnation>`.
    pub app_id: String,
    /// How far: the log position up to which all of its rows are in the table.
    pub version: i64,
}

/// A data file that is written and belongs, or is to belong, to a table. As JSON it is Delta's `add` action, so a log may
/// keep it and commit the same file after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddFile {
    /// Below the table's folder, percent-encoded.
    pub path: String,
    /// By partition column; None or an empty text is NULL.
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    /// In bytes.
    pub size: u64,
    /// When it was written, by this node's clock, in milliseconds since 1970: vacuum leaves it for so long from then on as
    /// it leaves all files that are in no version.
    pub modification_time: i64,
    /// False where only the layout changed: a merge.
    pub data_change: bool,
    /// JSON: rows, and per column bounds and NULLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// What we know besides: see `stats`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    /// Rows of the file that are gone; tables with such files are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_vector: Option<Value>,
}

impl AddFile {
    /// Rows in the file, where it says so.
    pub fn rows(&self) -> Option<u64> {
        let stats: Value = serde_json::from_str(self.stats.as_deref()?).ok()?;
        stats.get("numRecords")?.as_u64()
    }

    /// A tag's value.
    pub(crate) fn tag(&self, name: &str) -> Option<&str> {
        self.tags.as_ref()?.get(name)?.as_deref()
    }
}

/// One line of a commit. Actions that are not ours to know are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Action {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit_info: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) meta_data: Option<Metadata>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<TxnAction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) add: Option<AddFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remove: Option<RemoveFile>,
}

impl Action {
    pub(crate) fn add(add: AddFile) -> Self {
        Self { add: Some(add), ..Self::default() }
    }

    pub(crate) fn remove(remove: RemoveFile) -> Self {
        Self { remove: Some(remove), ..Self::default() }
    }

    pub(crate) fn txn(txn: TxnAction) -> Self {
        Self { txn: Some(txn), ..Self::default() }
    }

    pub(crate) fn protocol(protocol: Protocol) -> Self {
        Self { protocol: Some(protocol), ..Self::default() }
    }

    pub(crate) fn metadata(metadata: Metadata) -> Self {
        Self { meta_data: Some(metadata), ..Self::default() }
    }
}

/// What a reader and a writer must understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) writer_features: Option<Vec<String>>,
}

/// Columns and configuration of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) format: FileFormat,
    pub(crate) schema_string: String,
    pub(crate) partition_columns: Vec<String>,
    #[serde(default)]
    pub(crate) configuration: BTreeMap<String, Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_time: Option<i64>,
}

/// Always Parquet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileFormat {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, Option<String>>,
}

/// An application's progress, with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TxnAction {
    pub(crate) app_id: String,
    pub(crate) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_updated: Option<i64>,
}

/// A file that no longer belongs to the table, and stays for readers of older versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemoveFile {
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<i64>,
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
}

impl RemoveFile {
    pub(crate) fn of(add: &AddFile, at_ms: i64, data_change: bool) -> Self {
        Self {
            path: add.path.clone(),
            deletion_timestamp: Some(at_ms),
            data_change,
            extended_file_metadata: Some(true),
            partition_values: Some(add.partition_values.clone()),
            size: Some(add.size),
        }
    }
}
