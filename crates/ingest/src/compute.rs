//! Work on bodies: on threads for such work, some bodies at once, within the memory that requests may hold.

use std::sync::Arc;

use bytes::Bytes;
use lakebed_types::{Error, Result};

use crate::{
    body::{Compression, RowsFormat},
    decode::inflate,
    harmonize::Plan,
    inner::Inner,
    keys,
    prepare::{self, Prepared},
    pressure::Held,
    size::{SMALL_BYTES, bytes_of},
};

/// A body as it was before it was compressed.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// Stands for it where it came with a key; a client that sends it again may compress it in another way.
    pub(crate) digest: String,
}

/// Takes the compression off.
///
/// # Errors
/// Those of [`inflate::inflate`], and `ingest_busy` where it takes more than is free.
pub(crate) async fn inflated(
    inner: &Arc<Inner>,
    sent: Bytes,
    compression: Compression,
    held: &Arc<Held>,
    has_key: bool,
) -> Result<Body> {
    let limit = inner.settings.inflated_bytes;
    let digest = move |bytes: &[u8]| if has_key { keys::digest(bytes) } else { String::new() };
    if compression == Compression::None && sent.len() < SMALL_BYTES {
        let bytes = inflate::inflate(sent, compression, limit, |_| Ok(()))?;
        return Ok(Body { digest: digest(&bytes), bytes });
    }
    let compressed = if compression == Compression::None { 0 } else { sent.len() as u64 };
    run(inner, held, move |held| {
        let bytes = inflate::inflate(sent, compression, limit, |bytes| held.grow(compressed + bytes))?;
        Ok(Body { digest: digest(&bytes), bytes })
    })
    .await
}

/// Decodes on a thread for such work, some bodies at once. The turn and the memory are held until the work is done, also
/// where the caller is gone by then.
///
/// # Errors
/// Those of the work; `invalid_request` where it panics.
pub(crate) async fn run<T: Send + 'static>(
    inner: &Inner,
    held: &Arc<Held>,
    work: impl FnOnce(&Held) -> Result<T> + Send + 'static,
) -> Result<T> {
    let turn = inner.decoding.clone().acquire_owned().await;
    let turn = turn.map_err(|error| Error::internal("no turn").with_source(error))?;
    let held = held.clone();
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&held)
    });
    match working.await {
        Ok(result) => result,
        // The readers of Arrow and Parquet panic at some kinds of damage.
        Err(error) if error.is_panic() => {
            Err(Error::invalid_request("the body is damaged")
                .with_hint("Check that it is complete, and its Content-Type."))
        }
        Err(error) => Err(Error::internal("decoding was given up").with_source(error)),
    }
}

/// Decodes and harmonizes.
///
/// # Errors
/// Those of [`prepare::prepare`], and `ingest_busy` where the rows take more than is free.
pub(crate) async fn prepared(
    inner: &Arc<Inner>,
    format: RowsFormat,
    bytes: Bytes,
    plan: Arc<Plan>,
    held: &Arc<Held>,
) -> Result<Prepared> {
    run(inner, held, move |held| {
        let prepared = prepare::prepare(format, &bytes, &plan)?;
        held.grow_by(bytes_of(&prepared.batch))?;
        Ok(prepared)
    })
    .await
}
