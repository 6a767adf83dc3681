//! One JSON array of objects, or one object: the places of its rows are found, and the rest is as for lines.

use std::ops::Range;

use arrow::datatypes::Schema;
use bytes::{Bytes, BytesMut};
use lakebed_types::{Error, Result};

use super::{Budget, CHUNK_ROWS, Decoded, Source, Wanted, json, json_row, too_many_rows};

/// Decodes an array.
pub(super) fn decode(bytes: &Bytes, wanted: &Wanted) -> Result<Decoded> {
    let mut ranges = Vec::new();
    for element in Elements::of(bytes)? {
        if ranges.len() == wanted.max_rows {
            return Err(too_many_rows(wanted.max_rows));
        }
        ranges.push(element?);
    }
    let (mut chunks, mut budget) = (Vec::new(), Budget::for_body(bytes.len()));
    let (mut rest, mut first) = (ranges.as_slice(), 1_u64);
    while !rest.is_empty() {
        let (some, after) = rest.split_at(rows_of_chunk(rest));
        let rows = || some.iter().map(move |range| &bytes[range.clone()]);
        budget.take(wanted.bare_bytes(some.len()) + joined_bytes(some) as u64)?;
        budget.lend(rows().map(json_row::value_bytes).sum())?;
        let is_json = rows().all(json::is_json);
        let at_once = is_json.then(|| json::decode_at_once(&joined(bytes, some), some.len(), first, wanted)).flatten();
        chunks.push(match at_once {
            Some(chunk) => chunk,
            None => json::decode_each(bytes, some, first, wanted)?,
        });
        first += some.len() as u64;
        rest = after;
    }
    Ok(Decoded { chunks, source: Source::Ranges(bytes.clone(), ranges) })
}

/// The columns of the first rows.
pub(super) fn infer(bytes: &Bytes) -> Result<Schema> {
    let first = Elements::of(bytes)?.take(json::INFER_ROWS).collect::<Result<Vec<_>>>()?;
    json::types_of(first.into_iter().map(|range| &bytes[range]))
}

/// Rows that are decoded together: one at least, and no more after those that have the bytes of a chunk.
fn rows_of_chunk(ranges: &[Range<usize>]) -> usize {
    let mut bytes = 0;
    let fits = |range: &&Range<usize>| {
        let fits = bytes < json::CHUNK_BYTES;
        bytes += range.len();
        fits
    };
    ranges.iter().take(CHUNK_ROWS).take_while(fits).count()
}

fn joined_bytes(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(|range| range.len() + 1).sum()
}

fn joined(bytes: &Bytes, ranges: &[Range<usize>]) -> Bytes {
    let mut all = BytesMut::with_capacity(joined_bytes(ranges));
    for range in ranges {
        all.extend_from_slice(&bytes[range.clone()]);
        all.extend_from_slice(b"\n");
    }
    all.freeze()
}

/// Where each element of the array stands. What an element is, is not looked at.
struct Elements<'a> {
    bytes: &'a [u8],
    /// Where the next one begins; None at the end.
    at: Option<usize>,
    /// One object stands for an array of it.
    one: bool,
}

impl<'a> Elements<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self> {
        let at = skip_space(bytes, json::start_of(bytes));
        match bytes.get(at) {
            Some(b'{') => Ok(Self { bytes, at: Some(at), one: true }),
            Some(b'[') => {
                let first = skip_space(bytes, at + 1);
                let empty = bytes.get(first) == Some(&b']');
                if empty {
                    ended(bytes, first)?;
                }
                Ok(Self { bytes, at: (!empty).then_some(first), one: false })
            }
            _ => Err(not_an_array(at)),
        }
    }

    /// The element at a place, and where the next one begins.
    fn element(&self, at: usize) -> Result<(Range<usize>, Option<usize>)> {
        if self.one {
            return Ok((at..self.bytes.trim_ascii_end().len(), None));
        }
        let end = end_of_value(self.bytes, at);
        let value = at..at + self.bytes[at..end].trim_ascii_end().len();
        if value.is_empty() {
            return Err(not_an_array(at));
        }
        match self.bytes.get(end) {
            Some(b',') => Ok((value, Some(skip_space(self.bytes, end + 1)))),
            Some(b']') => ended(self.bytes, end).map(|()| (value, None)),
            _ => Err(not_an_array(end)),
        }
    }
}

impl Iterator for Elements<'_> {
    type Item = Result<Range<usize>>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at.take()?;
        let element = self.element(at);
        Some(element.map(|(range, next)| {
            self.at = next;
            range
        }))
    }
}

/// The place of the comma or bracket after a value.
fn end_of_value(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return at,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    bytes.len()
}

fn ended(bytes: &[u8], bracket: usize) -> Result<()> {
    let after = skip_space(bytes, bracket + 1);
    if after < bytes.len() { Err(not_an_array(after)) } else { Ok(()) }
}

fn skip_space(bytes: &[u8], start: usize) -> usize {
    bytes.iter().skip(start).position(|byte| !byte.is_ascii_whitespace()).map_or(bytes.len(), |more| start + more)
}

fn not_an_array(at: usize) -> Error {
    Error::invalid_request(format!("the body is not a JSON array of objects: see byte {}", at + 1))
        .with_hint("For one object a line send `application/x-ndjson`.")
}
