//! Looking into a text file: what it is, its dialect, its columns and their types.
//!
//! Types are found from the whole file up to [`WHOLE_FILE_BYTES`]. Of larger files from their beginning and, where they
//! are not compressed, from pieces spread over the rest: rows often get stranger towards the end of a file. What still
//! comes as a surprise is an error when it is read.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use datafusion::physical_plan::metrics::Count;
use lakebed_storage::{Location, ObjectVersion, Storage};
use lakebed_types::Result;
use object_store::ObjectMeta;

use super::{
    chunks::Source,
    csv,
    dialect::{self, Detected},
    infer::{self, Evidence, JsonMembers, MAX_COLUMNS},
    inflate::{Damaged, Inflater},
    json, sniff,
    span::{Form, Span},
};
use crate::{Compression, FileKind, FileSummary, Inspection, Rejected, TextOptions};

/// How much of a file's beginning [`inspect`] is given; the whole file if it is shorter.
pub(crate) const HEAD_BYTES: u64 = 256 * 1024;
/// Files up to this size are read whole; of larger compressed ones, this much of the beginning.
const WHOLE_FILE_BYTES: u64 = 4 << 20;
/// Pieces of larger plain files, beside the beginning; the last one is the end.
const PIECES: u64 = 4;
const PIECE_BYTES: u64 = 256 * 1024;
/// Text that is looked at, however well it was packed.
const MAX_TEXT_BYTES: usize = 32 << 20;
/// Of the records in a piece, how many must be whole for the piece to count: it may begin inside quotes.
const PIECE_SHARE: f64 = 0.9;

/// Part of a file's text.
struct Sample {
    /// From the file's beginning, without byte order mark.
    text: Vec<u8>,
    /// Whether that is all of it.
    whole: bool,
    /// From places further on; the last one is the file's end.
    pieces: Vec<Bytes>,
}

/// Looks into a file that is no Parquet. `head`: the first bytes of the file, at most [`HEAD_BYTES`] of them.
pub(crate) async fn inspect(
    storage: &Storage,
    location: &Location,
    meta: &ObjectMeta,
    head: Bytes,
) -> Result<Result<Inspection, Rejected>> {
    let compression = sniff::compression(&head);
    let name = location.file_name();
    let first = match inflate(compression, &head, head.len() as u64 == meta.size) {
        Ok(first) => first,
        Err(damaged) => return Ok(Err(damaged)),
    };
    if first.whole {
        return Ok(look(&first, compression, name));
    }
    // Most of what is no data shows at once, and costs no second request.
    if let Err(rejected) = sniff::check_text(&first.text, false).and_then(|()| sniff::json_kind(&first.text)) {
        return Ok(Err(rejected));
    }
    let sample = more(storage, location, meta, compression, head).await?;
    Ok(sample.and_then(|sample| look(&sample, compression, name)))
}

/// The same with more of the file.
async fn more(
    storage: &Storage,
    location: &Location,
    meta: &ObjectMeta,
    compression: Compression,
    head: Bytes,
) -> Result<Result<Sample, Rejected>> {
    let name = location.to_string();
    let version = ObjectVersion::new(meta.clone());
    let source = Source { store: storage.store(location)?, version, name, bytes_scanned: Count::new() };
    let have = head.len() as u64;
    let pieces_of_plain = compression == Compression::None && meta.size > WHOLE_FILE_BYTES;
    if !pieces_of_plain && have < meta.size.min(WHOLE_FILE_BYTES) {
        let end = meta.size.min(WHOLE_FILE_BYTES);
        let rest = source.fetch_range(have..end).await?;
        return Ok(inflate(compression, &[head, rest].concat(), end == meta.size));
    }
    let mut sample = match inflate(compression, &head, have == meta.size) {
        Ok(sample) => sample,
        Err(rejected) => return Ok(Err(rejected)),
    };
    if pieces_of_plain {
        for piece in 1..=PIECES {
            let start = (meta.size - PIECE_BYTES) * piece / PIECES;
            sample.pieces.push(source.fetch_range(start..start + PIECE_BYTES).await?);
        }
    }
    Ok(Ok(sample))
}

/// `is_all`: `bytes` are the whole file.
fn inflate(compression: Compression, bytes: &[u8], is_all: bool) -> Result<Sample, Rejected> {
    let damaged = |Damaged(what): Damaged| Rejected::Damaged(what.to_owned());
    let mut inflater = Inflater::new(compression).map_err(damaged)?;
    let (mut text, mut input) = (Vec::new(), bytes);
    while text.len() < MAX_TEXT_BYTES {
        let before = text.len();
        let used = inflater.step(input, &mut text).map_err(damaged)?;
        input = &input[used..];
        if used == 0 && text.len() == before {
            break;
        }
    }
    let stopped = text.len() >= MAX_TEXT_BYTES;
    if is_all && !stopped && !(input.is_empty() && inflater.is_complete()) {
        return Err(Rejected::Damaged("ends in the middle of its compressed data".to_owned()));
    }
    let marked = text.len() - sniff::without_mark(&text).len();
    text.drain(..marked);
    Ok(Sample { text, whole: is_all && !stopped, pieces: Vec::new() })
}

fn look(sample: &Sample, compression: Compression, name: &str) -> Result<Inspection, Rejected> {
    sniff::check_text(&sample.text, sample.whole)?;
    let (kind, text, fields, rows) = match sniff::json_kind(&sample.text)? {
        Some(kind) => look_json(sample, kind, name)?,
        None => look_csv(sample, name)?,
    };
    if fields.len() > MAX_COLUMNS {
        return Err(Rejected::Unsupported(format!("has more than {MAX_COLUMNS} columns")));
    }
    let summary = FileSummary { rows: rows.filter(|_| sample.whole), ..FileSummary::unknown() };
    Ok(Inspection { kind, compression, text, schema: Arc::new(Schema::new(fields)), summary })
}

/// The last one: rows, where all that was looked at can be read.
type Looked = (FileKind, TextOptions, Vec<Field>, Option<u64>);

fn look_csv(sample: &Sample, name: &str) -> Result<Looked, Rejected> {
    let name = name.to_ascii_lowercase();
    let may_be_list =
        [".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst"].iter().any(|end| name.ends_with(end));
    if lists_files(&sample.text) {
        return Err(Rejected::Manifest("is a manifest: every line is the address of a file".to_owned()));
    }
    let no_table = || Rejected::Unsupported("is text that nothing splits into columns".to_owned());
    let Detected { mut options, names } =
        dialect::detect(&sample.text, sample.whole, may_be_list).ok_or_else(no_table)?;
    if name.ends_with(".parquet") && names.len() < 2 {
        return Err(Rejected::WrongMagic("is named Parquet and has neither its footer nor the form of CSV".to_owned()));
    }
    let dialect = csv::Dialect::from(&options);
    let mut columns = vec![Evidence::default(); names.len()];
    let start = data_start(&dialect, &sample.text, options.header);
    let beginning = gather(&dialect, &sample.text, start, sample.whole, names.len());
    merge(&mut columns, &beginning);
    for (index, piece) in sample.pieces.iter().enumerate() {
        let start = memchr::memchr(options.line_end, piece).map_or(piece.len(), |end| end + 1);
        let at_end = index + 1 == sample.pieces.len();
        let gathered = gather(&dialect, piece, start, at_end, names.len());
        if gathered.fitting as f64 >= PIECE_SHARE * gathered.records as f64 {
            merge(&mut columns, &gathered);
        }
    }
    let (types, null_texts) = infer::csv_types(&columns);
    options.null_texts = null_texts;
    let fields = names.into_iter().zip(types).map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    Ok((FileKind::Csv, options, fields, beginning.exact_rows()))
}

/// Every line is a URL or an absolute path in a store.
fn lists_files(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii()).filter(|line| !line.is_empty());
    lines.clone().next().is_some()
        && lines.all(|line| {
            let schemes = [&b"s3://"[..], b"s3a://", b"s3n://", b"gs://", b"hdfs://", b"file:/", b"abfss://"];
            schemes.iter().any(|scheme| line.starts_with(scheme)) && !line.contains(&b',')
        })
}

fn data_start(dialect: &csv::Dialect, text: &[u8], header: bool) -> usize {
    let start = csv::skip_blank_lines(dialect, text, 0);
    if !header || start >= text.len() {
        return start;
    }
    csv::fields(dialect, text, start, |_, _| {}).map_or(text.len(), |(_, next)| next)
}

/// What the records of a part of a file show.
struct Gathered {
    columns: Vec<Evidence>,
    records: u64,
    /// Of them, those with the right number of fields.
    fitting: u64,
    /// Whether it could be read to its end.
    complete: bool,
}

impl Gathered {
    fn exact_rows(&self) -> Option<u64> {
        (self.complete && self.records == self.fitting).then_some(self.records)
    }
}

fn gather(dialect: &csv::Dialect, text: &[u8], start: usize, whole: bool, width: usize) -> Gathered {
    let mut gathered = Gathered { columns: vec![Evidence::default(); width], records: 0, fitting: 0, complete: false };
    let (mut at, mut spans) = (start, Vec::with_capacity(width));
    loop {
        if width > 1 {
            at = csv::skip_blank_lines(dialect, text, at);
        }
        if at >= text.len() {
            return Gathered { complete: true, ..gathered };
        }
        spans.clear();
        match csv::fields(dialect, text, at, |_, span| spans.push(span)) {
            Ok((_, next)) if next < text.len() || whole => {
                at = next;
                gathered.records += 1;
                if spans.len() == width {
                    gathered.fitting += 1;
                    gathered.columns.iter_mut().zip(&spans).for_each(|(column, span)| column.add(span.of(text)));
                }
            }
            // Cut by the end of the part, or damaged: reading tells.
            _ => return gathered,
        }
    }
}

fn merge(columns: &mut [Evidence], gathered: &Gathered) {
    for (column, more) in columns.iter_mut().zip(&gathered.columns) {
        column.merge(*more);
    }
}

fn look_json(sample: &Sample, kind: FileKind, name: &str) -> Result<Looked, Rejected> {
    let text = &sample.text;
    let is_array = kind == FileKind::JsonArray;
    let mut at = json::skip_space(text, 0, false) + usize::from(is_array);
    let (mut members, mut options, mut rows) = (JsonMembers::default(), TextOptions::default(), 0u64);
    loop {
        at = json::skip_space(text, at, is_array);
        if at >= text.len() || (is_array && text[at] == b']') {
            break;
        }
        let record = match json::value(text, at) {
            Ok((object, next)) if object.form == Form::Object => Ok((object, next)),
            Ok(_) => Err("holds values that are no JSON objects"),
            Err(_) if !sample.whole => break,
            Err(malformed) => Err(malformed.0),
        };
        let (object, next) = record.map_err(|what| Rejected::Damaged(format!("{what} (record {})", rows + 1)))?;
        if rows == 0 && !is_array {
            check_manifest(sample, object, next, name)?;
        }
        let what =
            |malformed: super::span::Malformed| Rejected::Damaged(format!("{} (record {})", malformed.0, rows + 1));
        members.add(text, object).map_err(what)?;
        options.multi_line |= !is_array && memchr::memchr(b'\n', object.of(text)).is_some();
        options.multi_line |= !is_array && shares_line(text, next);
        rows += 1;
        at = next;
    }
    if rows == 0 {
        return Err(Rejected::Unsupported("is one JSON document that is too long for a row".to_owned()));
    }
    for piece in &sample.pieces {
        add_piece(&mut members, piece, is_array || options.multi_line);
    }
    Ok((kind, options, members.fields(), Some(rows)))
}

fn check_manifest(sample: &Sample, object: Span, next: usize, name: &str) -> Result<(), Rejected> {
    let is_only = sample.whole && json::skip_space(&sample.text, next, false) == sample.text.len();
    sniff::manifest(&sample.text, object, is_only, name).map_or(Ok(()), Err)
}

/// Whether another object begins on the line that one ends on.
fn shares_line(text: &[u8], next: usize) -> bool {
    text[next..].iter().take_while(|byte| **byte != b'\n').any(|byte| !byte.is_ascii_whitespace())
}

/// Lines of a piece that are objects. Objects over several lines are not found again from their middle.
fn add_piece(members: &mut JsonMembers, piece: &[u8], over_lines: bool) {
    if over_lines {
        return;
    }
    let mut lines = piece.split_inclusive(|byte| *byte == b'\n').skip(1).peekable();
    while let (Some(line), true) = (lines.next(), lines.peek().is_some()) {
        let start = json::skip_space(line, 0, false);
        if let Ok((object, _)) = json::value(line, start)
            && object.form == Form::Object
        {
            // A damaged line is an error when it is read.
            let _ = members.add(line, object);
        }
    }
}
