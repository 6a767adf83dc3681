//! A look: what one table's location holds now, and its snapshot in memory.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use lakebed_storage::Location;
use lakebed_tables::{DataFile, FileKind, Snapshot, SnapshotParts};
use lakebed_types::{Error, ErrorKind, Result, TableName};
use object_store::ObjectMeta;
use parking_lot::Mutex;

use crate::{
    Catalog, Freshness, TableKind,
    catalog::Inner,
    settled::Settled,
    store::{
        objects,
        tables::{self, FilesRecord, TableState},
    },
    survey::{self, Listing},
};

/// A table of files in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    id: i64,
    files: FilesRecord,
    warnings: Vec<String>,
    pub(crate) freshness: Freshness,
    pub(crate) snapshot: Arc<Snapshot>,
    listed: Mutex<Listed>,
}

/// The last look.
#[derive(Debug, Default)]
struct Listed {
    at: Option<DateTime<Utc>>,
    /// Of the candidates, to see at once that nothing has changed. None after a start.
    fingerprint: Option<Vec<u8>>,
}

impl Loaded {
    /// When the location was last listed.
    pub(crate) fn last_listed(&self) -> Option<DateTime<Utc>> {
        self.listed.lock().at
    }
}

/// Reads a table from the catalog file. No request to the store, unless this version cannot read what another wrote.
pub(crate) async fn load(catalog: &Catalog, name: &TableName) -> Result<Arc<Loaded>> {
    let inner = &catalog.inner;
    let record = catalog.record(name).await?;
    let (Some(files), TableKind::Files { freshness, .. }) = (record.files, record.table.kind) else {
        return Err(Error::invalid_request(format!("`{name}` is no table of files that are found")));
    };
    let data_files = data_files(inner, record.id, &files).await?;
    let snapshot = Snapshot::new(SnapshotParts {
        location: files.location.clone(),
        kind: files.kind,
        file_schema: Arc::clone(&files.file_schema),
        partition_columns: files
            .partitions
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect(),
        files: data_files,
    })?;
    Ok(Arc::new(Loaded {
        id: record.id,
        files,
        warnings: record.table.warnings,
        freshness,
        snapshot: Arc::new(snapshot),
        listed: Mutex::new(Listed { at: record.table.last_listed, fingerprint: None }),
    }))
}

async fn data_files(inner: &Inner, table: i64, files: &FilesRecord) -> Result<Vec<DataFile>> {
    let (mut found, unreadable) = objects::data_files(&mut *inner.store.read().await?, table).await?;
    if !unreadable.is_empty() {
        survey::look_again(inner, &files.location, unreadable).await?;
        let (again, unreadable) = objects::data_files(&mut *inner.store.read().await?, table).await?;
        if let Some(meta) = unreadable.first() {
            return Err(Error::internal(format!("the catalog cannot keep what it knows of `{}`", meta.location)));
        }
        found = again;
    }
    found.iter_mut().for_each(|file| as_declared(file, files));
    Ok(found)
}

/// Text is read as it was declared: its options, its types and, without a header, its names.
fn as_declared(file: &mut DataFile, table: &FilesRecord) {
    if table.kind == FileKind::Parquet {
        return;
    }
    if let Some(text) = &table.text {
        file.text = text.clone();
    }
    if table.declared {
        let by_position = table.kind == FileKind::Csv && !file.text.header;
        file.schema = declared_schema(&file.schema, &table.file_schema, by_position);
    }
}

fn declared_schema(found: &SchemaRef, declared: &SchemaRef, by_position: bool) -> SchemaRef {
    if by_position {
        return Arc::clone(declared);
    }
    let of = |name: &str| declared.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name));
    let field = |field: &Arc<Field>| match of(field.name()) {
        Some(declared) => Arc::new(Field::new(field.name(), declared.data_type().clone(), true)),
        None => Arc::clone(field),
    };
    Arc::new(Schema::new(found.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Looks at the location now. Returns the same table if nothing has changed. A store that fails makes the look fail: an
/// older snapshot is never passed off as the present.
pub(crate) async fn look(catalog: &Catalog, name: &TableName, loaded: Arc<Loaded>) -> Result<Arc<Loaded>> {
    let inner = &catalog.inner;
    let (files, at) = (&loaded.files, inner.clock.now());
    let listing = list_now(inner, files).await.map_err(|error| error.context(format!("table `{name}`")))?;
    let fingerprint = listing.fingerprint();
    if loaded.listed.lock().fingerprint.as_ref() == Some(&fingerprint) {
        return unchanged(inner, name, loaded, at, fingerprint).await;
    }
    let settled = settle(inner, files, listing).await?;
    let changed = settled.differs_from(files);
    if !changed && settled.warnings == loaded.warnings {
        return unchanged(inner, name, loaded, at, fingerprint).await;
    }
    let next = replace(catalog, name, loaded.id, &settled.state(changed, at)).await?;
    *next.listed.lock() = Listed { at: Some(at), fingerprint: Some(fingerprint) };
    Ok(next)
}

/// The table with one file more, which was just written. The location is not listed: what its last look has found stays.
pub(crate) async fn add(
    catalog: &Catalog,
    name: &TableName,
    loaded: Arc<Loaded>,
    file: &ObjectMeta,
) -> Result<Arc<Loaded>> {
    let (inner, files) = (&catalog.inner, &loaded.files);
    let known = loaded.snapshot.files();
    let objects = known.iter().map(|known| known.meta.clone()).chain([file.clone()]).collect();
    let settled = settle(inner, files, Listing::of(objects)).await?;
    if settled.file_count <= known.len() as u64 {
        let reason = settled.warnings.last().map_or("its columns differ", String::as_str);
        let message = format!("file `{}` does not fit into table `{name}`: {reason}", file.location);
        return Err(Error::new(ErrorKind::SchemaConflict, message));
    }
    let listed = loaded.last_listed().unwrap_or_else(|| inner.clock.now());
    replace(catalog, name, loaded.id, &settled.state(true, listed)).await
}

/// What the objects of a listing are for the table; those that are new are looked into.
async fn settle(inner: &Inner, files: &FilesRecord, listing: Listing) -> Result<Settled> {
    let mut survey = survey::inspect_new(inner, &files.location, listing, true, &|_| {}).await?;
    survey.refused.retain(|refused| !refused.hidden && files.accepts(&refused.path));
    let found: Vec<_> = survey.found.iter().collect();
    let refused: Vec<_> = survey.refused.iter().collect();
    Ok(Settled::new(files.clone(), &found, &refused, &HashMap::new()))
}

async fn replace(catalog: &Catalog, name: &TableName, id: i64, state: &TableState<'_>) -> Result<Arc<Loaded>> {
    let inner = &catalog.inner;
    let mut write = inner.store.write().await?;
    if !tables::replace(write.connection(), id, state).await? {
        return Err(Error::new(ErrorKind::TableNotFound, format!("table `{name}` has just been dropped")));
    }
    write.commit().await?;
    inner.slots.described_anew(name);
    load(catalog, name).await
}

/// The table's candidates. A folder or file that is gone has none: that is a state of the data, as long as what it lay in
/// is there. A query is not answered from those folders alone that could be read.
async fn list_now(inner: &Inner, files: &FilesRecord) -> Result<Listing> {
    match survey::list(inner, &files.location, &|path| files.accepts(path), &|_| {}).await {
        Ok(mut listing) => listing.unreadable.pop().map_or(Ok(listing), Err),
        Err(error) if error.kind() == ErrorKind::ObjectNotFound => {
            check_root(inner, &files.location).await?;
            Ok(Listing::default())
        }
        Err(error) => Err(error),
    }
}

/// A disk that is not mounted looks like a folder that is gone.
async fn check_root(inner: &Inner, location: &Location) -> Result<()> {
    let allowed = inner.storage.allowed();
    let roots = allowed.iter().map(|(root, _)| root).filter(|root| root.contains(location) && *root != location);
    for root in roots.filter(|root| root.is_local() && root.is_folder()) {
        inner.storage.list(root).try_next().await?;
    }
    Ok(())
}

async fn unchanged(
    inner: &Inner,
    name: &TableName,
    loaded: Arc<Loaded>,
    at: DateTime<Utc>,
    fingerprint: Vec<u8>,
) -> Result<Arc<Loaded>> {
    let mut write = inner.store.write().await?;
    tables::listed(write.connection(), loaded.id, at).await?;
    write.commit().await?;
    inner.slots.described_anew(name);
    *loaded.listed.lock() = Listed { at: Some(at), fingerprint: Some(fingerprint) };
    Ok(loaded)
}
