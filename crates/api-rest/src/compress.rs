//! Compression of a streamed body, chunk by chunk: each chunk leaves at once, so that compression holds nothing back.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use lakebed_types::{Error, Result};

/// Level 1 of either: results are made faster than higher levels can compress.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// The value of `Content-Encoding`, where the header is needed.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Zstd => Some("zstd"),
        }
    }
}

/// Compresses one body.
pub(crate) enum Compressor {
    Identity,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zstd(Box<zstd::Encoder<'static, Vec<u8>>>),
}

impl Compressor {
    pub(crate) fn new(coding: Coding) -> Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))),
            Coding::Zstd => Self::Zstd(Box::new(zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(failed)?)),
        })
    }

    /// The bytes to send for this chunk. What was put in can be read from what came out so far.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<Bytes> {
        if chunk.is_empty() {
            return Ok(chunk);
        }
        match self {
            Self::Identity => Ok(chunk),
            Self::Gzip(encoder) => {
                encoder.write_all(&chunk).and_then(|()| encoder.flush()).map_err(failed)?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&chunk).and_then(|()| encoder.flush()).map_err(failed)?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
        }
    }

    /// The last bytes: this chunk and the coding's own end.
    pub(crate) fn finish(self, chunk: Bytes) -> Result<Bytes> {
        match self {
            Self::Identity => Ok(chunk),
            Self::Gzip(mut encoder) => {
                encoder.write_all(&chunk).map_err(failed)?;
                Ok(encoder.finish().map_err(failed)?.into())
            }
            Self::Zstd(mut encoder) => {
                encoder.write_all(&chunk).map_err(failed)?;
                Ok(encoder.finish().map_err(failed)?.into())
            }
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::internal("compressing an answer failed").with_source(error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn read_so_far(coding: Coding, bytes: &[u8], expected: usize) -> Vec<u8> {
        let mut out = vec![0; expected];
        match coding {
            Coding::Identity => out.copy_from_slice(bytes),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_exact(&mut out).unwrap(),
            Coding::Zstd => zstd::Decoder::new(bytes).unwrap().read_exact(&mut out).unwrap(),
        }
        out
    }

    #[test]
    fn a_chunk_can_be_read_before_the_next_one_is_put_in() {
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
            let mut compressor = Compressor::new(coding).unwrap();
            let mut sent = compressor.push(Bytes::from_static(b"first,")).unwrap().to_vec();
            assert_eq!(read_so_far(coding, &sent, 6), b"first,");
            sent.extend(compressor.push(Bytes::new()).unwrap());
            sent.extend(compressor.finish(Bytes::from_static(b"last")).unwrap());
            assert_eq!(read_so_far(coding, &sent, 10), b"first,last");
        }
    }
}
