//! Statements on objects: what looking into each one told, shared by all tables that have it.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_tables::{Compression, DataFile, FileKind, FileSummary, Inspection, TextOptions};
use lakebed_types::{Error, Result};
use object_store::{ObjectMeta, path::Path};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::{
    INSERT_ROWS,
    codec::{
        column, count, digest, from_json, from_word, integer, json, optional_count, schema_bytes, schema_from, word,
    },
};
use crate::failure::store_failed;

/// Equal schemas as one `Arc`, so that comparing two files is comparing two pointers.
#[derive(Debug, Default)]
pub(crate) struct SchemaPool {
    by_digest: HashMap<Vec<u8>, Pooled>,
}

#[derive(Debug)]
struct Pooled {
    schema: SchemaRef,
    bytes: Vec<u8>,
    id: Option<i64>,
}

impl SchemaPool {
    /// The one `Arc` for this schema, and its digest.
    pub(crate) fn share(&mut self, schema: &SchemaRef) -> Result<(SchemaRef, Vec<u8>)> {
        let bytes = schema_bytes(schema)?;
        let digest = digest(&bytes);
        let pooled = match self.by_digest.entry(digest.clone()) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let schema = schema_from(&bytes)?;
                entry.insert(Pooled { schema, bytes, id: None })
            }
        };
        Ok((Arc::clone(&pooled.schema), digest))
    }

    /// The row of a shared schema, written at its first use.
    async fn id(&mut self, connection: &mut SqliteConnection, digest: &[u8]) -> Result<i64> {
        let pooled = self.by_digest.get_mut(digest).ok_or_else(|| Error::internal("a schema was not shared"))?;
        if let Some(id) = pooled.id {
            return Ok(id);
        }
        let row = sqlx::query(
            "INSERT INTO schemas (digest, arrow) VALUES (?, ?)
             ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING id",
        )
        .bind(digest)
        .bind(&pooled.bytes)
        .fetch_one(connection)
        .await
        .map_err(store_failed)?;
        let id = column(&row, "id")?;
        pooled.id = Some(id);
        Ok(id)
    }

    /// The schemas of these rows, shared.
    async fn load(&mut self, connection: &mut SqliteConnection) -> Result<HashMap<i64, SchemaRef>> {
        let rows =
            sqlx::query("SELECT id, digest, arrow FROM schemas").fetch_all(connection).await.map_err(store_failed)?;
        let mut schemas = HashMap::with_capacity(rows.len());
        for row in &rows {
            let (id, digest, bytes): (i64, Vec<u8>, Vec<u8>) =
                (column(row, "id")?, column(row, "digest")?, column(row, "arrow")?);
            let schema = match self.by_digest.get(&digest) {
                Some(pooled) => Arc::clone(&pooled.schema),
                None => schema_from(&bytes)?,
            };
            self.by_digest.insert(digest, Pooled { schema: Arc::clone(&schema), bytes, id: Some(id) });
            schemas.insert(id, schema);
        }
        Ok(schemas)
    }
}

/// An object that was looked into before.
#[derive(Debug)]
pub(crate) struct KnownObject {
    pub(crate) id: i64,
    size: u64,
    modified: i64,
    etag: Option<String>,
    pub(crate) content: Result<KnownData, String>,
}

/// What the layout needs of a data file.
#[derive(Debug, Clone)]
pub(crate) struct KnownData {
    pub(crate) kind: FileKind,
    pub(crate) text: TextOptions,
    pub(crate) schema: SchemaRef,
    pub(crate) rows: Option<u64>,
}

impl KnownObject {
    /// Whether the object is still the one that was looked into.
    pub(crate) fn is(&self, meta: &ObjectMeta) -> bool {
        self.size == meta.size && self.modified == nanoseconds(meta.last_modified) && self.etag == meta.e_tag
    }
}

/// What is known below a location, by path in the store.
pub(crate) async fn known(
    connection: &mut SqliteConnection,
    location: &Location,
    pool: &mut SchemaPool,
) -> Result<HashMap<String, KnownObject>> {
    let schemas = pool.load(&mut *connection).await?;
    let (from, to) = range(location);
    let rows = sqlx::query(
        "SELECT id, path, size, modified, etag, rejection, kind, text_options, schema_id, row_count FROM objects
         WHERE store = ? AND path >= ? AND path < ?",
    )
    .bind(store_key(location))
    .bind(from)
    .bind(to)
    .fetch_all(connection)
    .await
    .map_err(store_failed)?;
    rows.iter().map(|row| Ok((column(row, "path")?, known_object(row, &schemas)?))).collect()
}

fn known_object(row: &SqliteRow, schemas: &HashMap<i64, SchemaRef>) -> Result<KnownObject> {
    let content = match column::<Option<String>>(row, "rejection")? {
        Some(reason) => Err(reason),
        None => Ok(KnownData {
            kind: from_word(column(row, "kind")?, "kind")?,
            text: from_json(column(row, "text_options")?, "text_options")?,
            schema: schema_of(row, schemas)?,
            rows: optional_count(row, "row_count")?,
        }),
    };
    Ok(KnownObject {
        id: column(row, "id")?,
        size: count(row, "size")?,
        modified: column(row, "modified")?,
        etag: column(row, "etag")?,
        content,
    })
}

fn schema_of(row: &SqliteRow, schemas: &HashMap<i64, SchemaRef>) -> Result<SchemaRef> {
    let id: i64 = column(row, "schema_id")?;
    schemas.get(&id).cloned().ok_or_else(|| Error::internal("the catalog has lost a schema"))
}

/// All paths of a location in byte order: `a/b/` up to, not including, `a/b0`.
fn range(location: &Location) -> (String, String) {
    let path = location.path().as_ref();
    match (path.is_empty(), location.is_folder()) {
        (true, _) => (String::new(), "\u{10ffff}".to_owned()),
        (false, true) => (format!("{path}/"), format!("{path}0")),
        (false, false) => (path.to_owned(), format!("{path}\u{0}")),
    }
}

/// The store's part of an object's identity.
pub(crate) fn store_key(location: &Location) -> String {
    location.store_url().to_string()
}

/// One object and what looking into it told, before it is written.
pub(crate) struct NewObject {
    pub(crate) meta: ObjectMeta,
    pub(crate) content: Result<(Inspection, Vec<u8>), String>,
}

impl NewObject {
    /// `content`'s schema goes through the pool.
    pub(crate) fn new(meta: ObjectMeta, content: Result<Inspection, String>, pool: &mut SchemaPool) -> Result<Self> {
        let content = match content {
            Ok(mut inspection) => {
                let (schema, digest) = pool.share(&inspection.schema)?;
                inspection.schema = schema;
                Ok((inspection, digest))
            }
            Err(reason) => Err(reason),
        };
        Ok(Self { meta, content })
    }
}

/// Writes objects, new or again. Returns their ids by path.
pub(crate) async fn save(
    connection: &mut SqliteConnection,
    location: &Location,
    objects: &[NewObject],
    pool: &mut SchemaPool,
) -> Result<HashMap<String, i64>> {
    let store = store_key(location);
    let mut ids = HashMap::with_capacity(objects.len());
    for chunk in objects.chunks(INSERT_ROWS) {
        let mut records = Vec::with_capacity(chunk.len());
        for object in chunk {
            records.push(record(&mut *connection, object, pool).await?);
        }
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO objects (store, path, size, modified, etag, version, rejection, kind, compression, text_options,
             schema_id, row_count, summary) ",
        );
        insert.push_values(records, |mut row, record| {
            row.push_bind(store.clone()).push_bind(record.path).push_bind(record.size).push_bind(record.modified);
            row.push_bind(record.etag).push_bind(record.version).push_bind(record.rejection).push_bind(record.kind);
            row.push_bind(record.compression).push_bind(record.text).push_bind(record.schema_id);
            row.push_bind(record.rows).push_bind(record.summary);
        });
        insert.push(
            " ON CONFLICT (store, path) DO UPDATE SET size = excluded.size, modified = excluded.modified,
              etag = excluded.etag, version = excluded.version, rejection = excluded.rejection, kind = excluded.kind,
              compression = excluded.compression, text_options = excluded.text_options,
              schema_id = excluded.schema_id, row_count = excluded.row_count, summary = excluded.summary
              RETURNING id, path",
        );
        for row in insert.build().persistent(false).fetch_all(&mut *connection).await.map_err(store_failed)? {
            ids.insert(column(&row, "path")?, column(&row, "id")?);
        }
    }
    Ok(ids)
}

#[derive(Default)]
struct Record {
    path: String,
    size: i64,
    modified: i64,
    etag: Option<String>,
    version: Option<String>,
    rejection: Option<String>,
    kind: Option<String>,
    compression: Option<String>,
    text: Option<String>,
    schema_id: Option<i64>,
    rows: Option<i64>,
    summary: Option<Vec<u8>>,
}

async fn record(connection: &mut SqliteConnection, object: &NewObject, pool: &mut SchemaPool) -> Result<Record> {
    let meta = &object.meta;
    let identity = Record {
        path: meta.location.as_ref().to_owned(),
        size: integer(meta.size),
        modified: nanoseconds(meta.last_modified),
        etag: meta.e_tag.clone(),
        version: meta.version.clone(),
        ..Record::default()
    };
    Ok(match &object.content {
        Err(reason) => Record { rejection: Some(reason.clone()), ..identity },
        Ok((inspection, digest)) => Record {
            kind: Some(word(&inspection.kind)?),
            compression: Some(word(&inspection.compression)?),
            text: Some(json(&inspection.text)?),
            schema_id: Some(pool.id(connection, digest).await?),
            rows: inspection.summary.rows().map(integer),
            summary: Some(inspection.summary.encode()),
            ..identity
        },
    })
}

/// The data files of a table, ordered by path, and the metadata of those whose summary this version cannot read.
pub(crate) async fn data_files(
    connection: &mut SqliteConnection,
    table: i64,
) -> Result<(Vec<DataFile>, Vec<ObjectMeta>)> {
    let schemas = SchemaPool::default().load(&mut *connection).await?;
    let rows = sqlx::query(
        "SELECT o.path, o.size, o.modified, o.etag, o.version, o.compression, o.text_options, o.schema_id, o.summary,
                f.partition_values
         FROM files f JOIN objects o ON o.id = f.object_id
         WHERE f.table_id = ? AND f.problem IS NULL AND o.rejection IS NULL ORDER BY o.path",
    )
    .bind(table)
    .fetch_all(connection)
    .await
    .map_err(store_failed)?;
    let (mut files, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        let (meta, schema) = (object_meta(row)?, schema_of(row, &schemas)?);
        match FileSummary::decode(column::<&[u8]>(row, "summary")?, &schema) {
            Ok(summary) => files.push(DataFile {
                meta,
                partition_values: from_json(column(row, "partition_values")?, "partition_values")?,
                schema,
                compression: from_word::<Compression>(column(row, "compression")?, "compression")?,
                text: from_json(column(row, "text_options")?, "text_options")?,
                summary: Arc::new(summary),
            }),
            Err(_) => unreadable.push(meta),
        }
    }
    Ok((files, unreadable))
}

fn object_meta(row: &SqliteRow) -> Result<ObjectMeta> {
    let path: &str = column(row, "path")?;
    Ok(ObjectMeta {
        location: Path::parse(path)
            .map_err(|cause| Error::internal(format!("`{path}` is no path of a store")).with_source(cause))?,
        last_modified: DateTime::from_timestamp_nanos(column(row, "modified")?),
        size: count(row, "size")?,
        e_tag: column(row, "etag")?,
        version: column(row, "version")?,
    })
}

/// Removes objects that are gone from their store, as far as no table has them, and schemas that no object has.
pub(crate) async fn forget(connection: &mut SqliteConnection, objects: &[i64]) -> Result<()> {
    for chunk in objects.chunks(INSERT_ROWS) {
        let mut delete = QueryBuilder::<Sqlite>::new(
            "DELETE FROM objects WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.object_id = objects.id) AND id IN (",
        );
        let mut ids = delete.separated(", ");
        chunk.iter().for_each(|id| {
            ids.push_bind(*id);
        });
        delete.push(")");
        delete.build().persistent(false).execute(&mut *connection).await.map_err(store_failed)?;
    }
    sqlx::query("DELETE FROM schemas WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.schema_id = schemas.id)")
        .execute(connection)
        .await
        .map_err(store_failed)?;
    Ok(())
}

/// Nanoseconds since 1970: what file systems tell, and what must come back unchanged for a version to stay the same.
pub(crate) fn nanoseconds(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(i64::MAX)
}
