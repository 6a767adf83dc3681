//! A body's bytes: read to the end and uncompressed, and never more of them than allowed.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use lakebed_types::{Error, ErrorKind, Result, format_bytes};

use crate::body::{Compression, RowsBody};

/// What is asked for at once of a body that is uncompressed.
const STEP_BYTES: u64 = 1024 * 1024;
/// Room that is made for a body because its sender says that it will need it.
const BELIEVED_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a body as it is sent. `take` is asked before memory is taken, with the bytes that it will be in all.
pub(crate) async fn read(body: &mut RowsBody, limit: u64, take: impl Fn(u64) -> Result<()>) -> Result<Bytes> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut length = 0_u64;
    while let Some(chunk) = body.bytes.next().await {
        let chunk = chunk?;
        length += chunk.len() as u64;
        if length > limit {
            return Err(too_large("the body", limit));
        }
        take(length)?;
        // A body of one chunk is not copied.
        match first.take() {
            None if all.is_empty() => first = Some(chunk),
            Some(earlier) => {
                let believed = body.length.unwrap_or(0).min(BELIEVED_BYTES).min(limit);
                take(length.max(believed))?;
                all.reserve(usize::try_from(believed).unwrap_or(0));
                all.extend_from_slice(&earlier);
                all.extend_from_slice(&chunk);
            }
            None => all.extend_from_slice(&chunk),
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

/// Uncompresses a body.
pub(crate) fn inflate(
    bytes: Bytes,
    compression: Compression,
    limit: u64,
    take: impl Fn(u64) -> Result<()>,
) -> Result<Bytes> {
    match compression {
        Compression::None if bytes.len() as u64 > limit => Err(too_large("the body", limit)),
        Compression::None => Ok(bytes),
        Compression::Gzip => read_out(MultiGzDecoder::new(bytes.as_ref()), compression, limit, take),
        Compression::Zstd => {
            let reader = zstd::stream::read::Decoder::with_buffer(bytes.as_ref());
            read_out(reader.map_err(|error| damaged(compression, error))?, compression, limit, take)
        }
    }
}

fn read_out(
    mut reader: impl Read,
    compression: Compression,
    limit: u64,
    take: impl Fn(u64) -> Result<()>,
) -> Result<Bytes> {
    let mut all = Vec::new();
    loop {
        take(all.len() as u64 + STEP_BYTES)?;
        let read =
            reader.by_ref().take(STEP_BYTES).read_to_end(&mut all).map_err(|error| damaged(compression, error))?;
        if all.len() as u64 > limit {
            return Err(too_large("the body, uncompressed,", limit));
        }
        if read == 0 {
            return Ok(all.into());
        }
    }
}

fn too_large(what: &str, limit: u64) -> Error {
    Error::new(ErrorKind::RequestTooLarge, format!("{what} has more than {}", format_bytes(limit)))
        .with_hint("Send the rows in several requests.")
}

fn damaged(compression: Compression, error: std::io::Error) -> Error {
    Error::invalid_request(format!("the body is not {}, or it is cut off or damaged", compression.name()))
        .with_hint("Check the Content-Encoding header.")
        .with_source(error)
}
