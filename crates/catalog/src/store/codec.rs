//! How values are written in the database: times, counts, words, Arrow schemas.

use std::sync::Arc;

use arrow::{
    datatypes::{Schema, SchemaRef},
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_types::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use sqlx::{Decode, Row, Sqlite, Type, sqlite::SqliteRow};

use crate::failure::store_failed;

/// One column of a row.
pub(crate) fn column<'r, T>(row: &'r SqliteRow, name: &str) -> Result<T>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(name).map_err(store_failed)
}

/// A count of a row; what cannot be negative is not.
pub(crate) fn count(row: &SqliteRow, name: &str) -> Result<u64> {
    Ok(column::<i64>(row, name)?.max(0) as u64)
}

/// A count that may be unknown.
pub(crate) fn optional_count(row: &SqliteRow, name: &str) -> Result<Option<u64>> {
    Ok(column::<Option<i64>>(row, name)?.map(|value| value.max(0) as u64))
}

/// A count as SQLite has it.
pub(crate) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A time of a row.
pub(crate) fn time(row: &SqliteRow, name: &str) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(column(row, name)?).ok_or_else(|| damaged(name))
}

/// A time that may be unknown.
pub(crate) fn optional_time(row: &SqliteRow, name: &str) -> Result<Option<DateTime<Utc>>> {
    Ok(column::<Option<i64>>(row, name)?.and_then(DateTime::from_timestamp_micros))
}

/// A location of a row.
pub(crate) fn location(row: &SqliteRow, name: &str) -> Result<Location> {
    Location::parse(column(row, name)?)
}

/// A value of a closed list as its word: `parquet`, `gzip`.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(Error::internal("a word of the catalog cannot be written")),
    }
}

/// The value for a word.
pub(crate) fn from_word<T: DeserializeOwned>(word: String, name: &str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| damaged(name))
}

/// A value as JSON text.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|cause| Error::internal("a value cannot be written").with_source(cause))
}

/// The value of JSON text.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| damaged(name))
}

/// A schema as an Arrow IPC stream without batches, without the metadata of the file it came from.
pub(crate) fn schema_bytes(schema: &Schema) -> Result<Vec<u8>> {
    let bare = Schema::new(schema.fields().clone());
    let mut bytes = Vec::new();
    let written = StreamWriter::try_new(&mut bytes, &bare).and_then(|mut writer| writer.finish());
    written.map_err(|cause| Error::internal("a schema cannot be written to the catalog").with_source(cause))?;
    Ok(bytes)
}

/// The schema of such bytes.
pub(crate) fn schema_from(bytes: &[u8]) -> Result<SchemaRef> {
    let reader = StreamReader::try_new(bytes, None).map_err(|cause| damaged("schema").with_source(cause))?;
    Ok(Arc::new(reader.schema().as_ref().clone()))
}

/// What two equal schemas share.
pub(crate) fn digest(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes)[..16].to_vec()
}

fn damaged(name: &str) -> Error {
    Error::internal(format!("the catalog holds a `{name}` that this version cannot read"))
}
