//! The messages of an Arrow IPC stream, looked at before they are read: the reader takes memory for what they say of
//! themselves.

use arrow_ipc::{Buffer, CompressionType, RecordBatch, root_as_message};
use bytes::Bytes;
use lakebed_types::Result;

use super::{budget::Budget, columnar::damaged};

const WHAT: &str = "Arrow IPC stream";
/// Stands before a message's length.
const CONTINUES: [u8; 4] = [0xff; 4];
/// The bytes of a compressed buffer's length, uncompressed.
const LENGTH_BYTES: usize = 8;

/// Fails where a message says that it is longer than the body, or that its values or its buffers, uncompressed, are
/// beyond the limit.
pub(super) fn check(bytes: &Bytes, budget: &mut Budget) -> Result<()> {
    let mut at = 0;
    while let Some((begin, length)) = length_of(bytes, at)? {
        let head = begin.checked_add(length).and_then(|end| bytes.get(begin..end)).ok_or_else(cut_off)?;
        let message = root_as_message(head).map_err(|error| damaged(WHAT, std::io::Error::other(error.to_string())))?;
        let body = usize::try_from(message.bodyLength()).map_err(|error| damaged(WHAT, error))?;
        let begin = begin + length;
        let end = begin.checked_add(body).filter(|end| *end <= bytes.len()).ok_or_else(cut_off)?;
        let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        if let Some(batch) = message.header_as_record_batch().or(dictionary) {
            check_buffers(&batch, &bytes[begin..end], budget)?;
        }
        at = end;
    }
    Ok(())
}

/// Where the message at a place begins after its length, and that length; None at the end.
fn length_of(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
    let (begin, length) = match word(at) {
        Some(CONTINUES) => (at + 8, word(at + 4).ok_or_else(cut_off)?),
        Some(length) => (at + 4, length),
        None => return Ok(None),
    };
    let length = usize::try_from(i32::from_le_bytes(length)).map_err(|error| damaged(WHAT, error))?;
    Ok((length > 0).then_some((begin, length)))
}

fn check_buffers(batch: &RecordBatch<'_>, body: &[u8], budget: &mut Budget) -> Result<()> {
    // Columns without values have no buffers, and can say of themselves that they are of any length.
    for node in batch.nodes().iter().flatten() {
        budget.take(u64::try_from(node.length()).map_err(|error| damaged(WHAT, error))?)?;
    }
    let Some(compression) = batch.compression() else { return Ok(()) };
    for buffer in batch.buffers().iter().flatten() {
        let Some((length, compressed)) = place(buffer).and_then(|place| body.get(place)?.split_first_chunk()) else {
            // Empty, or outside of the body, where the reader finds it out.
            continue;
        };
        let length = i64::from_le_bytes(*length);
        if length <= 0 {
            // Not compressed at all.
            continue;
        }
        budget.take(length.unsigned_abs())?;
        if compression.codec() == CompressionType::LZ4_FRAME {
            check_lz4(compressed, length.unsigned_abs())?;
        }
    }
    Ok(())
}

fn place(buffer: &Buffer) -> Option<std::ops::Range<usize>> {
    let (start, length) = (usize::try_from(buffer.offset()).ok()?, usize::try_from(buffer.length()).ok()?);
    (length >= LENGTH_BYTES).then_some(start..start.checked_add(length)?)
}

/// The LZ4 reader reads to the end, however long that is: a frame's blocks have to fit the length that is said.
fn check_lz4(frames: &[u8], length: u64) -> Result<()> {
    let (blocks, block_bytes) = lz4_blocks(frames).ok_or_else(cut_off)?;
    match blocks.saturating_mul(block_bytes) <= length.saturating_add(block_bytes) {
        true => Ok(()),
        false => Err(damaged(WHAT, std::io::Error::other("a compressed buffer is longer than it says"))),
    }
}

/// How many blocks the one frame has, and how many bytes one of them has at most (the LZ4 frame format, 1.6).
fn lz4_blocks(frame: &[u8]) -> Option<(u64, u64)> {
    const WITH_DICTIONARY: u8 = 1;
    const WITH_SIZE: u8 = 1 << 3;
    const WITH_CHECKSUMS: u8 = 1 << 4;
    const MAGIC: &[u8] = &0x184d_2204_u32.to_le_bytes();
    let header = frame.strip_prefix(MAGIC)?;
    let (flags, sizes) = (*header.first()?, *header.get(1)?);
    let has = |flag: u8| usize::from(flags & flag != 0);
    let block_bytes = 1_u64 << (8 + 2 * (sizes >> 4 & 7));
    // Flags, sizes and the header's checksum.
    let mut rest = header.get(3 + 8 * has(WITH_SIZE) + 4 * has(WITH_DICTIONARY)..)?;
    for blocks in 0.. {
        let (size, after) = rest.split_first_chunk()?;
        // The highest bit says that a block is not compressed.
        let size = u32::from_le_bytes(*size) & 0x7fff_ffff;
        if size == 0 {
            // A checksum may follow, and no other frame.
            return (after.len() <= 4).then_some((blocks, block_bytes));
        }
        rest = after.get(size as usize + 4 * has(WITH_CHECKSUMS)..)?;
    }
    None
}

fn cut_off() -> lakebed_types::Error {
    damaged(WHAT, std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_no_more_blocks_than_its_length_needs() {
        // Blocks of at most 64 KiB each, with checksums behind each one and the last.
        let frame = |blocks: usize| {
            let block = [&3_u32.to_le_bytes()[..], b"abc", &[0; 4]].concat();
            [&[0x04, 0x22, 0x4d, 0x18, 0x74, 0x40, 0][..], &block.repeat(blocks), &[0; 4], &[0; 4]].concat()
        };
        assert_eq!(lz4_blocks(&frame(3)), Some((3, 65_536)));
        assert!(check_lz4(&frame(1), 10).is_ok());
        assert!(check_lz4(&frame(3), 131_073).is_ok());
        assert!(check_lz4(&frame(3), 10).is_err());
        assert!(check_lz4(&frame(3).repeat(2), 1_000_000).is_err(), "two frames");
        assert!(check_lz4(&frame(3)[..20], 1_000_000).is_err(), "cut off");
    }
}
