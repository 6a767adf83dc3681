//! NDJSON: one object a line. A chunk of lines is decoded at once; only where that fails each line is looked at.

use std::ops::Range;

use arrow::{array::RecordBatch, datatypes::Schema, error::ArrowError, json::ReaderBuilder};
use bytes::Bytes;
use lakebed_types::{Error, Result};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{BadRow, Budget, CHUNK_ROWS, Chunk, Decoded, JsonTypes, Source, Wanted, json_row, too_many_rows};

/// Bytes after which a chunk ends with its line.
pub(super) const CHUNK_BYTES: usize = 2 * 1024 * 1024;
/// Rows that types are told from.
pub(super) const INFER_ROWS: usize = 1000;

/// Decodes lines.
pub(super) fn decode_lines(bytes: &Bytes, wanted: &Wanted) -> Result<Decoded> {
    let (mut chunks, mut budget) = (Vec::new(), Budget::for_body(bytes.len()));
    let (mut start, mut first) = (start_of(bytes), 1_u64);
    while start < bytes.len() {
        let end = end_of_chunk(bytes, start);
        let rows = count_lines(&bytes[start..end]);
        let some = &bytes[start..end];
        budget.take(wanted.bare_bytes(rows) + some.len() as u64)?;
        budget.lend(json_row::value_bytes(some))?;
        // Where each line is a row, the number of a row is that of its line.
        let mut each = some.strip_suffix(b"\n").unwrap_or(some).split(|byte| *byte == b'\n');
        let is_plain = !has_blank_line(some) && each.all(is_json);
        let at_once = is_plain.then(|| decode_at_once(some, rows, first, wanted)).flatten();
        let chunk = match at_once {
            Some(chunk) => chunk,
            None => {
                let ranges: Vec<_> = lines(&bytes.slice(start..end)).map(|r| r.start + start..r.end + start).collect();
                decode_each(bytes, &ranges, first, wanted)?
            }
        };
        first += chunk.batch.num_rows() as u64 + chunk.bad.len() as u64;
        chunks.push(chunk);
        if first > wanted.max_rows as u64 + 1 {
            return Err(too_many_rows(wanted.max_rows));
        }
        start = end;
    }
    Ok(Decoded { chunks, source: Source::Lines(bytes.slice(start_of(bytes)..)) })
}

/// Whether a row is JSON, of any kind.
pub(super) fn is_json(row: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(row).is_ok()
}

/// The chunk, where all its rows are good and all their fields are columns to the letter. Rows have to be JSON: much else
/// is taken for it.
pub(super) fn decode_at_once(bytes: &[u8], rows: usize, first: u64, wanted: &Wanted) -> Option<Chunk> {
    let batch = batch_of(bytes, rows, wanted, true).ok()?;
    (batch.num_rows() == rows).then_some(Chunk { batch, numbers: None, first, unknown: None, bad: Vec::new() })
}

/// Looks at each row: keeps the good ones, names the bad ones, gathers fields that are no columns.
pub(super) fn decode_each(bytes: &Bytes, ranges: &[Range<usize>], first: u64, wanted: &Wanted) -> Result<Chunk> {
    let (mut good, mut numbers, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    let (mut unknown, mut any_unknown) = (Vec::new(), false);
    for (row, range) in (first..).zip(ranges) {
        let line = &bytes[range.clone()];
        match json_row::look(line, wanted) {
            Ok(looked) => {
                good.extend_from_slice(looked.line.as_ref().map_or(line, |line| line.as_bytes()));
                good.push(b'\n');
                numbers.push(row);
                any_unknown |= looked.unknown.is_some();
                unknown.push(looked.unknown);
            }
            Err((field, reason)) => {
                bad.push(BadRow { row, field, reason, raw: Some(Bytes::copy_from_slice(line)) });
            }
        }
    }
    let batch = batch_of(&good, numbers.len(), wanted, false).map_err(|error| {
        Error::invalid_request(format!("rows {first} to {} cannot be read", first + ranges.len() as u64 - 1))
            .with_source(error)
    })?;
    Ok(Chunk { batch, numbers: Some(numbers), first, unknown: any_unknown.then_some(unknown), bad })
}

fn batch_of(bytes: &[u8], rows: usize, wanted: &Wanted, strict: bool) -> Result<RecordBatch, ArrowError> {
    let mut decoder = ReaderBuilder::new(wanted.schema.clone())
        .with_batch_size(rows + 1)
        .with_coerce_primitive(true)
        .with_strict_mode(strict)
        .build_decoder()?;
    let read = decoder.decode(bytes)?;
    if read < bytes.len() {
        return Err(ArrowError::JsonError("more rows than lines".to_owned()));
    }
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(wanted.schema.clone())))
}

/// The places of all lines that are not blank.
pub(super) fn lines(bytes: &Bytes) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    bytes.split(|byte| *byte == b'\n').filter_map(move |line| {
        let at = start;
        start += line.len() + 1;
        (!line.trim_ascii().is_empty()).then(|| at..at + line.trim_ascii_end().len())
    })
}

/// A byte order mark is passed over.
pub(super) fn start_of(bytes: &[u8]) -> usize {
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 }
}

fn end_of_chunk(bytes: &[u8], start: usize) -> usize {
    // Rows of a few bytes each would make a chunk of too many of them.
    let mut end = (start + CHUNK_BYTES).min(bytes.len());
    if count_lines(&bytes[start..end]) > 4 * CHUNK_ROWS {
        end = (start + CHUNK_BYTES / 8).min(bytes.len());
    }
    match bytes[end..].iter().position(|byte| *byte == b'\n') {
        Some(more) if bytes[end - 1] != b'\n' => end + more + 1,
        Some(_) => end,
        None => bytes.len(),
    }
}

fn has_blank_line(bytes: &[u8]) -> bool {
    let is_end = |byte: u8| byte == b'\n' || byte == b'\r';
    let followed = bytes.iter().zip(&bytes[1..]).filter(|(one, next)| **one == b'\n' && is_end(**next)).count();
    followed > 0 || bytes.first().is_some_and(|first| is_end(*first))
}

fn count_lines(bytes: &[u8]) -> usize {
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    ends + usize::from(bytes.last().is_some_and(|last| *last != b'\n'))
}

/// The columns of the first rows.
pub(super) fn infer(bytes: &Bytes) -> Result<Schema> {
    types_of(lines(&bytes.slice(start_of(bytes)..)).map(|line| &bytes[start_of(bytes)..][line]))
}

/// The columns of rows.
pub(super) fn types_of<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Result<Schema> {
    let mut types = JsonTypes::default();
    for (number, row) in (1..).zip(rows.take(INFER_ROWS)) {
        Budget::for_body(row.len()).lend(json_row::value_bytes(row))?;
        let row: Map<String, Value> = serde_json::from_slice(row).map_err(|error| {
            Error::invalid_request(format!("row {number} is not a JSON object"))
                .with_hint("Declare the table's columns first, or send rows that are JSON objects.")
                .with_source(error)
        })?;
        types.see(&row);
    }
    Ok(types.schema())
}
