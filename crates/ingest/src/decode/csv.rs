//! CSV with a header line. Columns stand in the header's order; an empty field is no value.

use std::ops::Range;

use arrow::{
    array::{Array, RecordBatch},
    csv::{ReaderBuilder, reader::Format},
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
};
use bytes::Bytes;
use csv_core::ReadRecordResult;
use lakebed_types::{Error, Result};

use super::{
    BadRow, Budget, CHUNK_ROWS, Chunk, Decoded, MAX_NAMES, Source, Wanted, json, json_row::shown, text_schema,
    too_many_rows,
};

/// Rows that types are told from.
const INFER_ROWS: usize = 1000;
/// Fields that are decoded together: the reader makes room for all of them first.
const CHUNK_FIELDS: usize = 4_000_000;

/// Decodes rows after the header.
pub(super) fn decode(bytes: &Bytes, wanted: &Wanted) -> Result<Decoded> {
    let (names, start) = header(bytes)?;
    let schema = text_schema(names.iter().map(String::as_str));
    if wanted.strict
        && let Some(name) = names.iter().find(|name| wanted.find(name).is_none())
    {
        return Err(Error::invalid_request(format!(
            "the table has no column `{}`, which the header names",
            shown(name)
        ))
        .with_hint("Rename or leave out the column, or let the table's rules take unknown fields."));
    }
    let (mut chunks, mut budget) = (Vec::new(), Budget::for_body(bytes.len()));
    let (mut at, mut first) = (start, 1_u64);
    while at < bytes.len() {
        let rows = rows_at_once(bytes.len() - at, names.len());
        let (chunk, read) = match decode_at_once(&bytes[at..], &schema, rows, first) {
            Ok(decoded) => decoded,
            Err(_) => decode_each(bytes, at, &schema, rows, first)?,
        };
        at += read;
        budget.take(4 * (names.len() * chunk.batch.num_rows()) as u64 + read as u64)?;
        first += chunk.batch.num_rows() as u64 + chunk.bad.len() as u64;
        if first > wanted.max_rows as u64 + 1 {
            return Err(too_many_rows(wanted.max_rows));
        }
        chunks.push(chunk);
    }
    Ok(Decoded { chunks, source: Source::Csv(bytes.clone(), start) })
}

/// Good rows that are decoded together, of so many bytes: each has a comma or a line end for each of its fields.
fn rows_at_once(bytes: usize, columns: usize) -> usize {
    let columns = columns.max(1);
    CHUNK_ROWS.min(CHUNK_FIELDS / columns).min(bytes / columns + 1).max(1)
}

fn decode_at_once(bytes: &[u8], schema: &SchemaRef, rows: usize, first: u64) -> Result<(Chunk, usize), ArrowError> {
    let (batch, read) = batch_of(bytes, schema, rows)?;
    Ok((Chunk { batch, numbers: None, first, unknown: None, bad: Vec::new() }, read))
}

fn batch_of(bytes: &[u8], schema: &SchemaRef, rows: usize) -> Result<(RecordBatch, usize), ArrowError> {
    let mut decoder = ReaderBuilder::new(schema.clone()).with_batch_size(rows.max(1)).build_decoder();
    let read = decoder.decode(bytes)?;
    if read == bytes.len() && decoder.capacity() > 0 {
        // Ends the last row where it has no line end, unless that stands inside of quotes.
        decoder.decode(b"\n")?;
        let left = decoder.capacity();
        decoder.decode(&[])?;
        if decoder.capacity() < left {
            return Err(ArrowError::CsvError("the last row has a quote that is not closed".to_owned()));
        }
    }
    // The reader looks at all fields in a row, where the halves of a letter may meet.
    std::str::from_utf8(&bytes[..read]).map_err(|error| ArrowError::CsvError(error.to_string()))?;
    let Some(batch) = decoder.flush()? else { return Ok((RecordBatch::new_empty(schema.clone()), read)) };
    // Each column has room for a kilobyte of text, whatever is in it.
    let (schema, mut columns, _) = batch.into_parts();
    columns.iter_mut().for_each(|column| column.shrink_to_fit());
    Ok((RecordBatch::try_new(schema, columns)?, read))
}

/// Looks at each row: keeps those with the right number of fields, in UTF-8, until there are `rows` of them.
fn decode_each(bytes: &Bytes, start: usize, schema: &SchemaRef, rows: usize, first: u64) -> Result<(Chunk, usize)> {
    let (mut good, mut numbers, mut bad, mut end) = (Vec::new(), Vec::new(), Vec::new(), bytes.len());
    let mut records = records(bytes, start);
    for row in (first..).take(CHUNK_ROWS) {
        if numbers.len() == rows {
            break;
        }
        let Some(range) = records.next() else { break };
        let raw = &bytes[range];
        if records.at == bytes.len() && is_open(raw) {
            return Err(Error::invalid_request(format!("row {row} has a quote that is not closed"))
                .with_hint("Check that the body is complete; a quote inside of quotes is written twice."));
        }
        match wrong(raw, schema.fields().len()) {
            None => {
                good.extend_from_slice(raw);
                good.push(b'\n');
                numbers.push(row);
            }
            Some(reason) => bad.push(BadRow { row, field: None, reason, raw: Some(Bytes::copy_from_slice(raw)) }),
        }
        end = records.at;
    }
    let (batch, _) = batch_of(&good, schema, numbers.len())
        .map_err(|error| Error::invalid_request(format!("rows from {first} on cannot be read")).with_source(error))?;
    Ok((Chunk { batch, numbers: Some(numbers), first, unknown: None, bad }, end - start))
}

fn wrong(raw: &[u8], columns: usize) -> Option<String> {
    if std::str::from_utf8(raw).is_err() {
        return Some("is not UTF-8".to_owned());
    }
    let fields = match ends_of(raw, columns, &mut vec![0; raw.len() + SPARE_BYTES]) {
        Some(ends) if ends.len() == columns => return None,
        Some(ends) => ends.len().to_string(),
        None => format!("more than {columns}"),
    };
    Some(format!("has {fields} fields where the header has {columns}"))
}

/// Whether a record ends inside of quotes: a line end after it is one of its letters.
fn is_open(raw: &[u8]) -> bool {
    let record = [raw, b"\n"].concat();
    let (mut reader, mut at) = (csv_core::Reader::new(), 0);
    let (mut output, mut ends) = ([0; 4096], [0; 256]);
    loop {
        let (result, read, _, _) = reader.read_record(&record[at..], &mut output, &mut ends);
        at += read;
        match result {
            ReadRecordResult::Record | ReadRecordResult::End => return false,
            ReadRecordResult::InputEmpty => return true,
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull if at < record.len() => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return true,
        }
    }
}

/// Room for a record's letters, beside as many as it has bytes: the reader stops where there is none left.
const SPARE_BYTES: usize = 16;

/// Writes the letters of a record's fields to `output`, and tells where each field ends there; None where there are more
/// than `most` fields. No more than that is read.
fn ends_of(raw: &[u8], most: usize, output: &mut [u8]) -> Option<Vec<usize>> {
    let mut reader = csv_core::Reader::new();
    let mut ends = vec![0; most + 1];
    let (_, read, written, count) = reader.read_record(raw, output, &mut ends);
    let (_, _, _, last) = reader.read_record(&raw[read..], &mut output[written..], &mut ends[count..]);
    ends.truncate(count + last);
    (ends.len() <= most).then_some(ends)
}

/// The header's names, and where the rows begin.
fn header(bytes: &Bytes) -> Result<(Vec<String>, usize)> {
    let mut all = records(bytes, json::start_of(bytes));
    let Some(range) = all.next() else {
        return Err(Error::invalid_request("the body has no header line")
            .with_hint("CSV begins with a line that names the columns."));
    };
    let raw = &bytes[range];
    if std::str::from_utf8(raw).is_err() {
        return Err(Error::invalid_request("the header line is not UTF-8"));
    }
    let mut letters = vec![0; raw.len() + SPARE_BYTES];
    let Some(ends) = ends_of(raw, MAX_NAMES, &mut letters) else {
        return Err(Error::invalid_request(format!("the header names more than {MAX_NAMES} columns")));
    };
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let names = starts.zip(&ends).map(|(start, end)| String::from_utf8_lossy(&letters[start..*end]));
    let names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    match super::twice(&names) {
        Some(name) => Err(Error::invalid_request(format!("the header names `{}` twice", shown(name)))),
        None => Ok((names, all.at)),
    }
}

/// The columns of the header, with the types of the first rows.
pub(super) fn infer(bytes: &Bytes) -> Result<Schema> {
    let (names, start) = header(bytes)?;
    let ragged = || {
        Error::invalid_request("the first rows are not CSV with as many fields as the header has")
            .with_hint("Declare the table's columns first.")
    };
    // The reader would take all fields of a row, however many there are, before it counts them.
    if records(bytes, start).take(INFER_ROWS).any(|range| wrong(&bytes[range], names.len()).is_some()) {
        return Err(ragged());
    }
    let format = Format::default().with_header(true);
    let types = format.infer_schema(&bytes[json::start_of(bytes)..], Some(INFER_ROWS));
    let (types, _) = types.map_err(|error| ragged().with_source(error))?;
    let fields = names.iter().zip(types.fields()).map(|(name, field)| field.as_ref().clone().with_name(name));
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// The places of the records from `start` on, without their line ends. Blank lines are none.
pub(super) fn records(bytes: &Bytes, start: usize) -> Records<'_> {
    Records { bytes, at: start }
}

/// Walks over records.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    /// Where the next one begins.
    at: usize,
}

impl Iterator for Records<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let blank = self.bytes[self.at..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let start = self.at + blank;
        if start >= self.bytes.len() {
            self.at = self.bytes.len();
            return None;
        }
        let (mut reader, mut at) = (csv_core::Reader::new(), start);
        let (mut output, mut ends) = ([0; 4096], [0; 256]);
        loop {
            let (result, read, _, _) = reader.read_record(&self.bytes[at..], &mut output, &mut ends);
            at += read;
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => break,
                // Given no more input, the reader ends the record.
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            }
        }
        self.at = at;
        let line_end = self.bytes[start..at].iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        Some(start..at - line_end)
    }
}
