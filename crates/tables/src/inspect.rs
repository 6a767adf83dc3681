//! Looking into one file: what it holds, its schema, its statistics.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use lakebed_storage::{Location, Storage};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::ObjectMeta;
use parquet::{arrow::parquet_to_arrow_schema, file::metadata::ParquetMetaData};

use crate::{
    Compression, FileKind, Inspection, Rejected, TextOptions,
    caches::{damaged, read_footer},
    contained::contained,
    object::DataObject,
    schema::plain_type,
    summary::summarize,
    text,
};

const MAGIC: &[u8] = b"PAR1";
const ENCRYPTED_MAGIC: &[u8] = b"PARE";
/// Asked for first at the end of a file: holds most footers.
const FOOTER_BYTES: u64 = 64 * 1024;
/// No Parquet file is shorter: two magics and the footer's length.
const SMALLEST: u64 = 12;

/// Looks into a file: format from the content (Parquet magic, gzip, zstd, JSON, CSV), schema, statistics. One or two
/// ranged GETs for Parquet where the name says so, else one more; one for text. `Ok(Err(_))`: no data file, with the reason. `Err`: the store
/// failed.
pub async fn inspect(
    storage: &Storage,
    location: &Location,
    meta: &ObjectMeta,
) -> Result<Result<Inspection, Rejected>> {
    if meta.size == 0 {
        return Ok(Err(Rejected::Empty));
    }
    let object = DataObject::new(storage.store(location)?, location.clone(), meta.clone());
    // The name only says where to look first.
    if named_parquet(location) && meta.size > text::HEAD_BYTES {
        let looked = parquet(&object).await?;
        if looked.is_ok() {
            return Ok(looked);
        }
    }
    let head = object.read(0..meta.size.min(text::HEAD_BYTES)).await?;
    if head.starts_with(ENCRYPTED_MAGIC) {
        return Ok(Err(Rejected::Unsupported("is an encrypted Parquet file".to_owned())));
    }
    if head.starts_with(MAGIC) {
        return from_head(&object, &head).await;
    }
    text::inspect(storage, location, meta, head).await
}

fn named_parquet(location: &Location) -> bool {
    let name = location.file_name().to_ascii_lowercase();
    name.ends_with(".parquet") || name.ends_with(".parq") || name.ends_with(".pq")
}

/// A file that begins as Parquet.
async fn from_head(object: &DataObject, head: &Bytes) -> Result<Result<Inspection, Rejected>> {
    let size = object.meta().size;
    let cut = || Rejected::Damaged("begins as Parquet and does not end as Parquet: it may have been cut".to_owned());
    let end = match head.len() as u64 {
        all if all == size => head.slice(head.len().saturating_sub(4)..),
        _ => object.read(size - 4..size).await?,
    };
    if size < SMALLEST || end != MAGIC {
        return Ok(Err(cut()));
    }
    parquet(object).await
}

async fn parquet(object: &DataObject) -> Result<Result<Inspection, Rejected>> {
    let read = async {
        let (footer, tail_bytes) = read_footer(object, false, FOOTER_BYTES).await?;
        let schema = file_schema(&footer, object.location())?;
        let summary = summarize(&footer, &schema, tail_bytes)?;
        Ok::<_, Error>((schema, summary))
    };
    match contained(object.location(), read).await.flatten() {
        Ok((schema, _)) if schema.fields().is_empty() => Ok(Err(Rejected::Empty)),
        Ok((schema, summary)) => Ok(Ok(Inspection {
            kind: FileKind::Parquet,
            compression: Compression::None,
            text: TextOptions::default(),
            schema,
            summary,
        })),
        Err(error) if error.kind() == ErrorKind::CorruptFile => Ok(Err(Rejected::Damaged(error.message().to_owned()))),
        Err(error) => Err(error),
    }
}

/// The columns of a Parquet file: dictionaries by their values, one kind of string, no metadata.
pub(crate) fn file_schema(footer: &ParquetMetaData, location: &Location) -> Result<SchemaRef> {
    let file = footer.file_metadata();
    let natural = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|error| damaged(location, error))?;
    let plain = |field: &Arc<Field>| Field::new(field.name(), plain_type(field.data_type()), field.is_nullable());
    Ok(Arc::new(Schema::new(natural.fields().iter().map(plain).collect::<Vec<_>>())))
}
