//! NDJSON and CSV: parts end where lines do; those of CSV begin with the header.

use std::io::{BufRead as _, Read as _};

use lakebed_types::{Error, ErrorKind, Result};

use super::{Input, MAX_ROW_BYTES, PART_BYTES, PART_ROWS, Part};

pub(super) struct LineParts {
    input: Input,
    /// What each part begins with.
    header: Vec<u8>,
    /// Whether a line may go on after its end, between quotes.
    quoted: bool,
    media_type: &'static str,
    next_row: u64,
    done: bool,
}

impl LineParts {
    pub(super) fn ndjson(input: Input) -> Self {
        let media_type = "application/x-ndjson";
        Self { input, header: Vec::new(), quoted: false, media_type, next_row: 1, done: false }
    }

    pub(super) fn csv(input: Input) -> Result<Self> {
        let mut parts =
            Self { input, header: Vec::new(), quoted: true, media_type: "text/csv", next_row: 1, done: false };
        let mut header = Vec::new();
        parts.line(&mut header)?;
        if !header.ends_with(b"\n") {
            header.push(b'\n');
        }
        parts.header = header;
        Ok(parts)
    }

    /// Adds a row's line, or lines where a break stands between quotes; false at the end of the file.
    fn line(&mut self, to: &mut Vec<u8>) -> Result<bool> {
        let begin = to.len();
        let mut between_quotes = false;
        loop {
            let before = to.len();
            let mut bounded = self.input.bytes.by_ref().take(MAX_ROW_BYTES as u64 + 1);
            let count = bounded.read_until(b'\n', to).map_err(|error| self.input.failed(error))?;
            if to.len() - begin > MAX_ROW_BYTES {
                let message =
                    format!("row {} of {} has more than {MAX_ROW_BYTES} bytes", self.next_row, self.input.name);
                return Err(Error::new(ErrorKind::CorruptFile, message)
                    .with_hint("Is the file's format what its name says, and each quote closed?"));
            }
            // Two quotes that stand for one change nothing.
            between_quotes ^= to[before..].iter().filter(|byte| **byte == b'"').count() % 2 == 1;
            if count == 0 || !self.quoted || !between_quotes {
                return Ok(to.len() > begin);
            }
        }
    }

    fn part(&mut self) -> Result<Option<Part>> {
        let mut bytes = self.header.clone();
        let first_row = self.next_row;
        while bytes.len() < PART_BYTES && self.next_row - first_row < PART_ROWS {
            let begin = bytes.len();
            if !self.line(&mut bytes)? {
                self.done = true;
                break;
            }
            // An empty line is no row, and no reader of either format counts it.
            match bytes[begin..].iter().all(u8::is_ascii_whitespace) {
                true => bytes.truncate(begin),
                false => self.next_row += 1,
            }
        }
        let is_empty = self.next_row == first_row;
        Ok((!is_empty).then(|| Part { bytes: bytes.into(), media_type: self.media_type, first_row }))
    }
}

impl Iterator for LineParts {
    type Item = Result<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.part() {
                Ok(None) => {}
                Ok(Some(part)) => return Some(Ok(part)),
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
