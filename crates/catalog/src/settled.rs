//! A table's state from its candidates: what a look, a crawl and a declaration write to the catalog.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, Utc};

use crate::{
    content::{Place, Rules, settle},
    store::tables::{FileEntry, FilesRecord, TableState},
    survey::{Found, Refused, fingerprint},
};

/// Warnings that are kept of one table; the number of the others is told.
const MAX_WARNINGS: usize = 100;

/// What a table is now.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) files: FilesRecord,
    pub(crate) entries: Vec<FileEntry>,
    pub(crate) file_count: u64,
    pub(crate) newest_file: Option<DateTime<Utc>>,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) warnings: Vec<String>,
    /// Indexes of candidates that are left out, with the reason.
    pub(crate) left_out: Vec<(usize, String)>,
}

impl Settled {
    /// Settles a table. `before` says what is fixed: location, kind, partition columns, members, declared columns.
    /// `forced` are candidates, by index, that are out for a reason already known.
    pub(crate) fn new(
        before: FilesRecord,
        candidates: &[&Found],
        refused: &[&Refused],
        forced: &HashMap<usize, &str>,
    ) -> Self {
        let content = settle(candidates, &rules(&before), forced);
        let (mut entries, mut left_out, mut inside) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (found, place)) in candidates.iter().zip(content.places).enumerate() {
            let (partition_values, problem) = match place {
                Place::In(values) => {
                    inside.push(*found);
                    (values, None)
                }
                Place::Out(reason) => {
                    left_out.push((i, reason.clone()));
                    (Vec::new(), Some(reason))
                }
            };
            entries.push(FileEntry { object: found.object, partition_values, problem });
        }
        let named = left_out.iter().map(|(i, reason)| (candidates[*i].path.as_str(), reason.as_str()));
        let refused = refused.iter().map(|refused| (refused.path.as_str(), refused.reason.as_str()));
        let files = FilesRecord {
            // Without any file a table keeps the columns that it had.
            file_schema: content.file_schema.unwrap_or_else(|| Arc::clone(&before.file_schema)),
            partitions: if inside.is_empty() { Arc::clone(&before.partitions) } else { content.partitions },
            fingerprint: Some(fingerprint(inside.iter().map(|found| &found.meta))),
            ..before
        };
        Self {
            files,
            file_count: inside.len() as u64,
            newest_file: inside.iter().map(|found| found.meta.last_modified).max(),
            rows: inside.iter().map(|found| found.rows).sum(),
            bytes: inside.iter().map(|found| found.meta.size).sum(),
            warnings: warnings(named.chain(refused)),
            entries,
            left_out,
        }
    }

    /// Whether files or columns differ from what the catalog has.
    pub(crate) fn differs_from(&self, before: &FilesRecord) -> bool {
        self.files.fingerprint != before.fingerprint
            || self.files.kind != before.kind
            || self.files.location != before.location
            || !same_fields(&self.files.file_schema, &before.file_schema)
            || !same_fields(&self.files.partitions, &before.partitions)
    }

    /// As the catalog writes it.
    pub(crate) fn state(&self, changed: bool, listed: DateTime<Utc>) -> TableState<'_> {
        TableState {
            files: &self.files,
            changed,
            listed,
            newest_file: self.newest_file,
            file_count: self.file_count,
            rows: self.rows,
            bytes: self.bytes,
            warnings: &self.warnings,
            entries: &self.entries,
        }
    }
}

fn same_fields(left: &SchemaRef, right: &SchemaRef) -> bool {
    left.fields() == right.fields()
}

/// What was declared stays; what was found is found again.
fn rules(before: &FilesRecord) -> Rules {
    let partition = |field: &Arc<arrow::datatypes::Field>| {
        (field.name().clone(), before.declared.then(|| field.data_type().clone()))
    };
    let found_before = !before.file_schema.fields().is_empty();
    let looser = before.declared || before.members.everything || before.crawl.is_none();
    Rules {
        kind: before.kind,
        keys: before.partitions.fields().iter().map(partition).collect(),
        declared: before.declared.then(|| Arc::clone(&before.file_schema)),
        like: (found_before && !looser).then(|| Arc::clone(&before.file_schema)),
    }
}

fn warnings<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut warnings: Vec<String> = all.map(|(path, reason)| format!("`{path}` is left out: {reason}")).collect();
    if warnings.len() > MAX_WARNINGS {
        let more = warnings.len() - MAX_WARNINGS;
        warnings.truncate(MAX_WARNINGS);
        warnings.push(format!("and {more} more files are left out"));
    }
    warnings
}

/// A record for a table that is about to be settled for the first time.
pub(crate) fn unsettled(
    location: lakebed_storage::Location,
    kind: lakebed_tables::FileKind,
    keys: &[String],
    members: crate::members::Members,
) -> FilesRecord {
    // The types come from the values when it is settled.
    let key = |key: &String| arrow::datatypes::Field::new(key, arrow::datatypes::DataType::Utf8, true);
    FilesRecord {
        location,
        kind,
        file_schema: Arc::new(Schema::empty()),
        partitions: Arc::new(Schema::new(keys.iter().map(key).collect::<Vec<_>>())),
        members,
        declared: false,
        text: None,
        crawl: None,
        fingerprint: None,
    }
}
