//! Compressed bytes → text, step by step, so that what is inflated at once stays small however well it was packed.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use crate::Compression;

/// Bytes that one step adds at most.
const STEP_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const GZIP_WINDOW_BITS: u8 = 15;

/// The compressed bytes are damaged; for people, the end of a sentence that begins with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged(pub &'static str);

/// A decompressor that is fed and asked in turns. Follows all members or frames of a file.
pub(super) struct Inflater(Method);

enum Method {
    None,
    Gzip { member: Box<Decompress>, between_members: bool, padding: bool },
    Zstd { decoder: ZstdDecoder<'static>, between_frames: bool },
}

impl Inflater {
    pub fn new(compression: Compression) -> Result<Self, Damaged> {
        Ok(Self(match compression {
            Compression::None => Method::None,
            Compression::Gzip => Method::Gzip { member: gzip_member(), between_members: true, padding: false },
            Compression::Zstd => {
                let decoder = ZstdDecoder::new().map_err(|_| Damaged("cannot be decompressed: out of memory"))?;
                Method::Zstd { decoder, between_frames: true }
            }
        }))
    }

    /// Appends a bounded piece of text to `out`. Returns how many bytes of `input` it used; call again with the rest,
    /// and once more while it used nothing but still appended.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Damaged> {
        match &mut self.0 {
            Method::None => {
                let taken = input.len().min(STEP_BYTES);
                out.extend_from_slice(&input[..taken]);
                Ok(taken)
            }
            Method::Gzip { member, between_members, padding } => {
                step_gzip(member, between_members, padding, input, out)
            }
            Method::Zstd { decoder, between_frames } => step_zstd(decoder, between_frames, input, out),
        }
    }

    /// Whether the file may end here.
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            Method::None => true,
            Method::Gzip { between_members, .. } => *between_members,
            Method::Zstd { between_frames, .. } => *between_frames,
        }
    }
}

fn gzip_member() -> Box<Decompress> {
    Box::new(Decompress::new_gzip(GZIP_WINDOW_BITS))
}

fn step_gzip(
    member: &mut Box<Decompress>,
    between_members: &mut bool,
    padding: &mut bool,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<usize, Damaged> {
    if *between_members && !input.is_empty() {
        // Tape tools fill the last block with zeros.
        if *padding || (input[0] == 0 && member.total_in() > 0) {
            *padding = true;
            let zeros = input.iter().take_while(|byte| **byte == 0).count();
            return if zeros == input.len() { Ok(zeros) } else { Err(Damaged("has text behind its gzip data")) };
        }
        if input[0] != GZIP_MAGIC[0] {
            return Err(Damaged("has text behind its gzip data"));
        }
        *member = gzip_member();
        *between_members = false;
    }
    out.reserve(STEP_BYTES);
    let before = member.total_in();
    let status = decompress(member, input, out)?;
    if status == Status::StreamEnd {
        *between_members = true;
    }
    Ok((member.total_in() - before) as usize)
}

/// Fills at most the room that is there: `out` keeps its capacity.
fn decompress(member: &mut Decompress, input: &[u8], out: &mut Vec<u8>) -> Result<Status, Damaged> {
    member.decompress_vec(input, out, FlushDecompress::None).map_err(|_| Damaged("holds damaged gzip data"))
}

fn step_zstd(
    decoder: &mut ZstdDecoder<'static>,
    between_frames: &mut bool,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<usize, Damaged> {
    let before = out.len();
    out.resize(before + STEP_BYTES, 0);
    let mut from = InBuffer::around(input);
    let mut to = OutBuffer::around(&mut out[before..]);
    let remaining = decoder.run(&mut from, &mut to).map_err(|_| Damaged("holds damaged Zstandard data"))?;
    let (read, written) = (from.pos(), to.pos());
    out.truncate(before + written);
    if read > 0 || written > 0 {
        *between_frames = remaining == 0;
    }
    Ok(read)
}
