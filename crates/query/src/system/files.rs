//! `system.tables`, `system.partitions`, `system.files`: what the catalog knows of data.

use std::sync::Arc;

use arrow::array::RecordBatch;
use lakebed_catalog::{Seen, Table, TableKind};
use lakebed_tables::{DataFile, FileKind, Snapshot};
use lakebed_types::Result;

use super::is_view;
use crate::table_rows::Columns;

pub(super) async fn tables(seen: Seen<'_>) -> Result<RecordBatch> {
    let tables = seen.all_tables().await?;
    let all = || tables.iter();
    Columns::default()
        .text("database", all().map(|t| t.name.database().to_string()))
        .text("name", all().map(|t| t.name.table().to_owned()))
        .text("type", all().map(|t| if is_view(t) { "view" } else { "table" }.to_owned()))
        .text("format", all().map(format_name))
        .text("location", all().map(location))
        .text("freshness", all().map(freshness))
        .count("columns", all().map(|t| t.schema.fields().len() as u64))
        .count("files", all().map(|t| t.files))
        .count("rows", all().map(|t| t.rows))
        .count("bytes", all().map(|t| t.bytes))
        .time("newest_file", all().map(|t| t.newest_file))
        .time("last_listed", all().map(|t| t.last_listed))
        .time("created", all().map(|t| t.created))
        .time("changed", all().map(|t| t.changed))
        .text("comment", all().map(|t| t.comment.clone()))
        .text("warnings", all().map(|t| (!t.warnings.is_empty()).then(|| t.warnings.join("\n"))))
        .finish()
}

fn format_name(table: &Table) -> Option<String> {
    match &table.kind {
        TableKind::Files { kind, .. } => Some(kind_name(*kind).to_owned()),
        TableKind::Delta { .. } => Some("delta".to_owned()),
        TableKind::View { .. } => None,
    }
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Parquet => "parquet",
        FileKind::Csv => "csv",
        FileKind::NdJson => "ndjson",
        FileKind::JsonArray => "json",
    }
}

fn location(table: &Table) -> Option<String> {
    table.location().map(ToString::to_string)
}

fn freshness(table: &Table) -> Option<String> {
    match &table.kind {
        TableKind::Files { freshness, .. } => Some(freshness.to_string()),
        TableKind::Delta { .. } | TableKind::View { .. } => None,
    }
}

pub(super) async fn partitions(seen: Seen<'_>) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for table in seen.all_tables().await? {
        let partition_columns = table.partition_columns();
        if partition_columns.is_empty() {
            continue;
        }
        for partition in seen.catalog().partitions(&table.name).await? {
            let label = partition_label(partition_columns.iter().map(String::as_str), &partition.values);
            rows.push((table.name.clone(), label, partition));
        }
    }
    let all = || rows.iter();
    Columns::default()
        .text("database", all().map(|(name, ..)| name.database().to_string()))
        .text("table", all().map(|(name, ..)| name.table().to_owned()))
        .text("partition", all().map(|(_, label, _)| label.clone()))
        .count("files", all().map(|(.., partition)| partition.files))
        .count("rows", all().map(|(.., partition)| partition.rows))
        .count("bytes", all().map(|(.., partition)| partition.bytes))
        .finish()
}

/// `year=2024/month=01`, as Hive writes it.
pub(crate) fn partition_label<'a>(names: impl Iterator<Item = &'a str>, values: &[Option<String>]) -> String {
    let one = |(name, value): (&str, &Option<String>)| {
        format!("{name}={}", value.as_deref().unwrap_or("__HIVE_DEFAULT_PARTITION__"))
    };
    names.zip(values).map(one).collect::<Vec<_>>().join("/")
}

pub(super) async fn files(seen: Seen<'_>) -> Result<RecordBatch> {
    let mut snapshots = Vec::new();
    for table in seen.all_tables().await?.into_iter().filter(|table| !is_view(table)) {
        let snapshot = seen.catalog().snapshot(&table.name).await?;
        snapshots.push((table, snapshot));
    }
    let all =
        || snapshots.iter().flat_map(|(table, snapshot)| snapshot.files().iter().map(move |f| (table, snapshot, f)));
    Columns::default()
        .text("database", all().map(|(table, ..)| table.name.database().to_string()))
        .text("table", all().map(|(table, ..)| table.name.table().to_owned()))
        .text("path", all().map(|(_, snapshot, file)| path_of(snapshot, file)))
        .text("partition", all().map(|(_, snapshot, file)| file_partition(snapshot, file)))
        .count("bytes", all().map(|(.., file)| file.meta.size))
        .count("rows", all().map(|(.., file)| file.summary.rows()))
        .count("row_groups", all().map(|(.., file)| file.summary.row_groups()))
        .time("modified", all().map(|(.., file)| file.meta.last_modified))
        .text("etag", all().map(|(.., file)| file.meta.e_tag.clone()))
        .finish()
}

fn path_of(snapshot: &Arc<Snapshot>, file: &DataFile) -> String {
    snapshot.location().sibling(&file.meta.location).to_string()
}

fn file_partition(snapshot: &Arc<Snapshot>, file: &DataFile) -> Option<String> {
    let names = snapshot.partition_columns().iter().map(|(name, _)| name.as_str());
    (!file.partition_values.is_empty()).then(|| partition_label(names, &file.partition_values))
}
