//! Files as requests: cut between rows, so that each part is a body of its own and the same on every run; and a record of
//! what was sent.

mod array;
mod batches;
mod input;
mod lines;
mod reader;
mod record;
mod tally;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use lakebed_types::Result;

use self::{array::ArrayParts, batches::batch_parts, lines::LineParts};
pub(crate) use self::{
    input::{FileFormat, Input, total_bytes},
    reader::{Piece, read_all},
    record::{SentRecord, records_folder},
    tally::Tally,
};

/// Bytes from which on a part is whole. Part of what makes two runs send the same parts: a change of it makes a file
/// that was sent in part be sent anew.
const PART_BYTES: usize = 4 << 20;
/// Rows from which on a part is whole.
const PART_ROWS: u64 = 50_000;
/// Bytes of one row: more is no table's.
const MAX_ROW_BYTES: usize = 32 << 20;

/// Some rows of a file.
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    /// What `Content-Type` is.
    pub(crate) media_type: &'static str,
    /// The number of its first row in the file, from 1.
    pub(crate) first_row: u64,
}

/// The parts of a file, in order.
pub(crate) type Parts = Box<dyn Iterator<Item = Result<Part>> + Send>;

/// Cuts a file into parts.
///
/// # Errors
/// `corrupt_file` for a file that is not of its format; `unsupported` for a compressed file that must be read from its end.
pub(crate) fn parts(input: Input) -> Result<Parts> {
    Ok(match input.format {
        FileFormat::Ndjson => Box::new(LineParts::ndjson(input)),
        FileFormat::Csv => Box::new(LineParts::csv(input)?),
        FileFormat::Json => Box::new(ArrayParts::new(input)?),
        FileFormat::Arrow | FileFormat::Parquet => batch_parts(input)?,
    })
}
