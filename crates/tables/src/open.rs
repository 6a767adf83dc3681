//! A location that a query names directly.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_storage::{Location, Mode, Storage};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::{ObjectMeta, path::Path};

use crate::{
    DataFile, FileKind, Inspection, Rejected, SchemaConflict, Snapshot, SnapshotParts, hive::hive_values, inspect,
    matches_pattern, merge_schemas, partition_type, split_pattern,
};

/// Files that are looked into at once.
const PARALLEL_INSPECTIONS: usize = 32;

/// A location read directly, as `read_parquet('…')` does: lists (globs `*`, `**`, `?`, `[…]` allowed), inspects, merges. Hive
/// folders give partition columns. `kind`: what it must be, None = whatever the first file is. At most `max_files` files,
/// else `scan_too_large`. Names that begin with `_` or `.` and empty files are left out; any other file that is not of the
/// kind is an error that names it.
pub async fn open_location(
    storage: &Storage,
    text: &str,
    kind: Option<FileKind>,
    max_files: usize,
) -> Result<Arc<Snapshot>> {
    let found = find(storage, text, max_files).await?;
    let inspected = stream::iter(found.files)
        .map(|meta| look(storage, &found.location, meta))
        .buffered(PARALLEL_INSPECTIONS)
        .try_filter_map(|looked| async move { Ok(looked) })
        .try_collect::<Vec<_>>()
        .await?;
    snapshot(found.location, inspected, kind).map(Arc::new)
}

/// What a text names.
struct Found {
    location: Location,
    files: Vec<ObjectMeta>,
}

async fn find(storage: &Storage, text: &str, max_files: usize) -> Result<Found> {
    if let Some((folder, pattern)) = split_pattern(text) {
        return find_pattern(storage, folder, pattern, max_files).await;
    }
    let location = Location::parse(text)?;
    storage.check(&location, Mode::Read)?;
    if !location.is_folder() {
        match storage.head(&location).await {
            Ok(meta) => return Ok(Found { location, files: vec![meta] }),
            Err(error) if error.kind() != ErrorKind::ObjectNotFound => return Err(error),
            // In a bucket, a folder may be written without its slash.
            Err(error) => {
                let folder = Location::parse(&format!("{text}/"))?;
                let files = list(storage, &folder, max_files, |_| true).await.unwrap_or_default();
                return if files.is_empty() { Err(error) } else { Ok(Found { location: folder, files }) };
            }
        }
    }
    let files = list(storage, &location, max_files, |_| true).await?;
    Ok(Found { location, files })
}

async fn find_pattern(storage: &Storage, folder: &str, rest: &str, max_files: usize) -> Result<Found> {
    let location = Location::parse(if folder.is_empty() { "./" } else { folder })?;
    storage.check(&location, Mode::Read)?;
    let prefix = location.path().as_ref().trim_end_matches('/');
    let pattern = if prefix.is_empty() { rest.to_owned() } else { format!("{prefix}/{rest}") };
    let files = list(storage, &location, max_files, |path| matches_pattern(&pattern, path.as_ref())).await?;
    Ok(Found { location, files })
}

async fn list(
    storage: &Storage,
    location: &Location,
    max_files: usize,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<ObjectMeta>> {
    let mut listing = storage.list(location);
    let mut files = Vec::new();
    let depth = location.path().parts().count();
    while let Some(meta) = listing.try_next().await? {
        if is_hidden(&meta.location, depth) || !wanted(&meta.location) {
            continue;
        }
        if files.len() == max_files {
            let message = format!("{location} has more than {max_files} files");
            let hint = "Name fewer files with a narrower pattern, or crawl the location as a table.";
            return Err(Error::new(ErrorKind::ScanTooLarge, message).with_hint(hint));
        }
        files.push(meta);
    }
    Ok(files)
}

/// Names that begin with `_` or `.` are notes of the writer, not data; a partition's folder may.
fn is_hidden(path: &Path, depth: usize) -> bool {
    path.parts().skip(depth).any(|part| {
        let part = part.as_ref();
        part.starts_with('.') || (part.starts_with('_') && !part.contains('='))
    })
}

async fn look(storage: &Storage, base: &Location, meta: ObjectMeta) -> Result<Option<(ObjectMeta, Inspection)>> {
    let location = base.sibling(&meta.location);
    match inspect(storage, &location, &meta).await? {
        Ok(inspection) => Ok(Some((meta, inspection))),
        Err(Rejected::Empty) => Ok(None),
        Err(reason @ Rejected::Unsupported(_)) => {
            Err(Error::new(ErrorKind::Unsupported, format!("{location} cannot be read: {reason}")))
        }
        Err(reason) => Err(Error::new(ErrorKind::CorruptFile, format!("{location} is no data file: {reason}"))
            .with_hint("Name the data files with a pattern such as folder/*.parquet.")),
    }
}

fn snapshot(location: Location, files: Vec<(ObjectMeta, Inspection)>, kind: Option<FileKind>) -> Result<Snapshot> {
    let Some(kind) = kind.or(files.first().map(|(_, inspection)| inspection.kind)) else {
        let message = format!("{location} has no data files");
        return Err(Error::new(ErrorKind::ObjectNotFound, message)
            .with_hint("Empty files and names that begin with _ or . are left out."));
    };
    let mut schema: SchemaRef = Arc::new(Schema::empty());
    for (meta, inspection) in &files {
        check_kind(&location.sibling(&meta.location), inspection.kind, kind)?;
        schema = match schema.fields().is_empty() {
            true => Arc::clone(&inspection.schema),
            false => merge_schemas(&schema, &inspection.schema, kind)
                .map_err(|conflict| conflict_at(&location.sibling(&meta.location), &conflict))?,
        };
    }
    let (partition_columns, values) = partitions(&location, &files)?;
    let files = files.into_iter().zip(values).map(|((meta, inspection), partition_values)| DataFile {
        meta,
        partition_values,
        schema: inspection.schema,
        compression: inspection.compression,
        text: inspection.text,
        summary: Arc::new(inspection.summary),
    });
    Snapshot::new(SnapshotParts { location, kind, file_schema: schema, partition_columns, files: files.collect() })
}

fn check_kind(file: &Location, found: FileKind, wanted: FileKind) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let message = format!("{file} holds {} and not {}", kind_name(found), kind_name(wanted));
    Err(Error::new(ErrorKind::InvalidRequest, message).with_hint("Name files of one format with a pattern."))
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Parquet => "Parquet",
        FileKind::Csv => "CSV",
        FileKind::NdJson => "NDJSON",
        FileKind::JsonArray => "a JSON array",
    }
}

fn conflict_at(file: &Location, conflict: &SchemaConflict) -> Error {
    let SchemaConflict { column, left, right } = conflict;
    let message = format!("{file}: column {column} is {right}, and {left} in the files before it");
    Error::new(ErrorKind::SchemaConflict, message).with_hint("Read the files apart, or cast them to one type first.")
}

type Partitions = (Vec<(String, DataType)>, Vec<Vec<Option<String>>>);

/// Partition columns and each file's values. All files must lie in folders of the same keys.
fn partitions(location: &Location, files: &[(ObjectMeta, Inspection)]) -> Result<Partitions> {
    let all: Vec<Vec<(String, Option<String>)>> = files.iter().map(|(meta, _)| hive_values(&meta.location)).collect();
    let keys: Vec<String> = all.first().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    let agrees = |values: &Vec<(String, Option<String>)>| values.iter().map(|(key, _)| key).eq(keys.iter());
    if let Some(index) = all.iter().position(|values| !agrees(values)) {
        let file = location.sibling(&files[index].0.location);
        let message = format!("{file} does not lie in folders of the keys {}", keys.join(", "));
        return Err(Error::new(ErrorKind::InvalidRequest, message)
            .with_hint("Name files of one folder structure with a pattern."));
    }
    let values: Vec<Vec<Option<String>>> =
        all.into_iter().map(|values| values.into_iter().map(|(_, value)| value).collect()).collect();
    let typed = |(place, key): (usize, String)| {
        let data_type = partition_type(values.iter().map(|values| values[place].as_deref()));
        (key, data_type)
    };
    Ok((keys.into_iter().enumerate().map(typed).collect(), values))
}
