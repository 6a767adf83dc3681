//! A chunk of whole records → a record batch, with only the columns that are asked for.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    datatypes::{DataType, SchemaRef},
    record_batch::{RecordBatch, RecordBatchOptions},
};

use super::{
    arrays::{Column, Language, Misfit},
    chunks::Chunk,
    csv, json,
    span::{Malformed, Span},
};
use crate::{DataFile, FileKind, columns::match_columns};

/// How the records of one file become rows of the scan.
#[derive(Debug)]
pub(super) struct FileDecoder {
    records: Records,
    /// The columns asked for, as the table has them.
    schema: SchemaRef,
    /// One per column of `schema`: texts that mean NULL in this file.
    null_texts: Vec<Vec<String>>,
}

#[derive(Debug)]
enum Records {
    Csv {
        dialect: csv::Dialect,
        header: bool,
        /// For each field of a record, the column it fills.
        slots: Vec<Option<usize>>,
    },
    Json {
        /// Names as the file spells them, else in lower case, to the column they fill.
        keys: HashMap<String, usize>,
    },
}

/// A record of a chunk that cannot become a row.
#[derive(Debug)]
pub(super) struct Problem {
    /// From 0, counted in the chunk.
    pub row: usize,
    /// From 0, counted in the chunk.
    pub line: usize,
    pub what: What,
}

/// What is wrong with a record.
#[derive(Debug)]
pub(super) enum What {
    Malformed(&'static str),
    Width { found: usize, expected: usize },
    NotUtf8,
    Value { column: String, text: String, data_type: DataType },
    UnsupportedType { column: String, data_type: DataType },
    NotARecord,
}

impl FileDecoder {
    /// `schema`: the columns of the table that are asked for, in the order asked for. `file` is one of `kind`.
    pub fn new(file: &DataFile, kind: FileKind, schema: SchemaRef) -> Self {
        let places = match_columns(&schema, &file.schema);
        let null_texts = places.iter().map(|place| match place.map(|place| file.schema.field(place).data_type()) {
            Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) | None => Vec::new(),
            Some(_) => file.text.null_texts.clone(),
        });
        let null_texts = null_texts.collect();
        let records = match kind {
            FileKind::Csv => {
                let mut slots = vec![None; file.schema.fields().len()];
                for (column, place) in places.iter().enumerate() {
                    if let Some(place) = place {
                        slots[*place] = Some(column);
                    }
                }
                Records::Csv { dialect: csv::Dialect::from(&file.text), header: file.text.header, slots }
            }
            _ => Records::Json { keys: json_keys(file, &schema, &places) },
        };
        Self { records, schema, null_texts }
    }

    /// The rows of a chunk, in its order.
    pub fn decode(&self, chunk: &Chunk) -> Result<RecordBatch, Problem> {
        let text = std::str::from_utf8(&chunk.data).map_err(|error| self.not_utf8(chunk, error.valid_up_to()))?;
        let mut columns = vec![Vec::new(); self.schema.fields().len()];
        let rows = self.spans(chunk, &mut columns)?;
        let mut arrays = Vec::with_capacity(columns.len());
        for ((field, spans), null_texts) in self.schema.fields().iter().zip(&columns).zip(&self.null_texts) {
            let column = Column { data: text, language: self.language(), null_texts };
            let array = column.build(spans, field.data_type());
            arrays.push(array.map_err(|misfit| self.misfit(chunk, field.name(), field.data_type(), misfit))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(|_| Problem {
            row: 0,
            line: 0,
            what: What::Malformed("does not fit the table's columns"),
        })
    }

    fn language(&self) -> Language {
        match &self.records {
            Records::Csv { dialect, .. } => Language::Csv(*dialect),
            Records::Json { .. } => Language::Json,
        }
    }

    /// Fills one span per row into each column; returns the number of rows.
    fn spans(&self, chunk: &Chunk, columns: &mut [Vec<Span>]) -> Result<usize, Problem> {
        let mut rows = 0;
        self.each_record(&chunk.data, chunk.is_first, |data, at| {
            let read = match &self.records {
                Records::Csv { dialect, slots, .. } => csv_record(dialect, slots, data, at, columns),
                Records::Json { keys } => json_record(keys, data, at, columns),
            };
            match read {
                Ok(next) => {
                    rows += 1;
                    Ok(next)
                }
                Err(what) => Err(Problem { row: rows, line: lines_before(data, at), what }),
            }
        })?;
        Ok(rows)
    }

    /// Calls `read` with the place of each record; it returns where the record ends.
    fn each_record(
        &self,
        data: &[u8],
        is_first: bool,
        mut read: impl FnMut(&[u8], usize) -> Result<usize, Problem>,
    ) -> Result<(), Problem> {
        let mut at = 0;
        if let (true, Records::Csv { dialect, header, .. }) = (is_first, &self.records) {
            at = csv::skip_blank_lines(dialect, data, 0);
            if *header {
                let skipped = csv::fields(dialect, data, at, |_, _| {});
                let problem = |Malformed(why)| Problem { row: 0, line: 0, what: What::Malformed(why) };
                at = skipped.map_err(problem)?.1;
            }
        }
        loop {
            at = match &self.records {
                // A blank line is a row where a row may be one empty value.
                Records::Csv { slots, .. } if slots.len() == 1 => at,
                Records::Csv { dialect, .. } => csv::skip_blank_lines(dialect, data, at),
                Records::Json { .. } => json::skip_space(data, at, true),
            };
            if at >= data.len() {
                return Ok(());
            }
            at = read(data, at)?;
        }
    }

    fn not_utf8(&self, chunk: &Chunk, offset: usize) -> Problem {
        let mut row = 0;
        let mut rows = 0;
        let _ = self.each_record(&chunk.data, chunk.is_first, |data, at| {
            if at <= offset {
                row = rows;
            }
            rows += 1;
            self.record_end(data, at)
        });
        Problem { row, line: lines_before(&chunk.data, offset), what: What::NotUtf8 }
    }

    fn misfit(&self, chunk: &Chunk, column: &str, data_type: &DataType, misfit: Misfit) -> Problem {
        let (column, data_type) = (column.to_owned(), data_type.clone());
        let (row, what) = match misfit {
            Misfit::Value { row, text } => (row, What::Value { column, text, data_type }),
            Misfit::Malformed { row, malformed: Malformed(why) } => (row, What::Malformed(why)),
            Misfit::Unsupported => (0, What::UnsupportedType { column, data_type }),
        };
        let (mut rows, mut line) = (0, 0);
        let _ = self.each_record(&chunk.data, chunk.is_first, |data, at| {
            if rows == row {
                line = lines_before(data, at);
            }
            rows += 1;
            self.record_end(data, at)
        });
        Problem { row, line, what }
    }

    fn record_end(&self, data: &[u8], at: usize) -> Result<usize, Problem> {
        let end = match &self.records {
            Records::Csv { dialect, .. } => csv::fields(dialect, data, at, |_, _| {}).map(|(_, end)| end),
            Records::Json { .. } => json::value(data, at).map(|(_, end)| end),
        };
        end.map_err(|Malformed(why)| Problem { row: 0, line: 0, what: What::Malformed(why) })
    }
}

fn lines_before(data: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &data[..at]).count()
}

fn json_keys(file: &DataFile, schema: &SchemaRef, places: &[Option<usize>]) -> HashMap<String, usize> {
    let mut keys = HashMap::new();
    for (column, (field, place)) in schema.fields().iter().zip(places).enumerate() {
        keys.entry(field.name().to_lowercase()).or_insert(column);
        keys.insert(field.name().clone(), column);
        if let Some(place) = place {
            keys.insert(file.schema.field(*place).name().clone(), column);
        }
    }
    keys
}

fn csv_record(
    dialect: &csv::Dialect,
    slots: &[Option<usize>],
    data: &[u8],
    at: usize,
    columns: &mut [Vec<Span>],
) -> Result<usize, What> {
    let read = csv::fields(dialect, data, at, |index, span| {
        if let Some(Some(column)) = slots.get(index) {
            columns[*column].push(span);
        }
    });
    let (found, next) = read.map_err(|Malformed(why)| What::Malformed(why))?;
    if found != slots.len() {
        return Err(What::Width { found, expected: slots.len() });
    }
    fill_row(columns);
    Ok(next)
}

fn json_record(
    keys: &HashMap<String, usize>,
    data: &[u8],
    at: usize,
    columns: &mut [Vec<Span>],
) -> Result<usize, What> {
    if data.get(at) != Some(&b'{') {
        return Err(What::NotARecord);
    }
    let malformed = |Malformed(why)| What::Malformed(why);
    let (object, next) = json::value(data, at).map_err(malformed)?;
    if columns.is_empty() {
        return Ok(next);
    }
    let row = columns[0].len();
    for column in columns.iter_mut() {
        column.push(Span::MISSING);
    }
    let set = |key: Span, value: Span| {
        if let Some(column) = find_key(keys, key.of(data)) {
            columns[column][row] = value;
        }
        Ok::<_, Malformed>(())
    };
    json::members(data, object, set).map_err(malformed)?;
    Ok(next)
}

/// Names with escapes are rare enough to be compared as they are written.
fn find_key(keys: &HashMap<String, usize>, key: &[u8]) -> Option<usize> {
    let key = std::str::from_utf8(key).ok()?;
    if let Some(column) = keys.get(key) {
        return Some(*column);
    }
    let unescaped = if key.contains('\\') { json::unescape(key)? } else { key.into() };
    keys.get(&*unescaped).or_else(|| keys.get(&unescaped.to_lowercase())).copied()
}

/// Columns that the file does not have get their NULL.
fn fill_row(columns: &mut [Vec<Span>]) {
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    for column in columns {
        if column.len() < rows {
            column.push(Span::MISSING);
        }
    }
}
