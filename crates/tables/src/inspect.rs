//! Looking into one file: what it holds, its schema, its statistics.

use bytes::Bytes;
use lakebed_storage::{Location, Storage, classify};
use lakebed_types::Result;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::{Inspection, Rejected, text};

/// Looks into a file: format from the content (Parquet magic, gzip, zstd, JSON, CSV), schema, statistics. One or two
/// ranged GETs for Parquet, one for text. `Ok(Err(_))`: no data file, with the reason. `Err`: the store failed.
pub async fn inspect(
    storage: &Storage,
    location: &Location,
    meta: &ObjectMeta,
) -> Result<Result<Inspection, Rejected>> {
    if meta.size == 0 {
        return Ok(Err(Rejected::Empty));
    }
    let store = storage.store(location)?;
    let range = 0..meta.size.min(text::HEAD_BYTES);
    let head: Bytes = store.get_range(&meta.location, range).await.map_err(|error| classify(error, location))?;
    text::inspect(storage, location, meta, head).await
}
