//! CSV: where records end, and where their fields stand.
//!
//! [`RecordEnds`] and [`fields`] follow the same rules: a quote opens a quoted field only as the field's first byte, a
//! doubled (or escaped) quote inside is one quote, and line ends inside quotes belong to the value.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::span::{Form, Malformed, Span};
use crate::TextOptions;

/// The bytes that mean something in a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub delimiter: u8,
    pub quote: u8,
    pub escape: Option<u8>,
    pub line_end: u8,
}

impl From<&TextOptions> for Dialect {
    fn from(options: &TextOptions) -> Self {
        let TextOptions { delimiter, quote, escape, line_end, .. } = *options;
        Self { delimiter, quote, escape, line_end }
    }
}

/// Finds ends of records in a growing buffer that begins with a record.
#[derive(Debug)]
pub(super) struct RecordEnds {
    dialect: Dialect,
    scanned: usize,
    boundary: usize,
    in_quotes: bool,
}

impl RecordEnds {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, scanned: 0, boundary: 0, in_quotes: false }
    }

    /// Looks at the bytes that are new, and returns how many bytes hold whole records.
    pub fn scan(&mut self, data: &[u8]) -> usize {
        while self.scanned < data.len() {
            let went_on = if self.in_quotes { self.leave_quotes(data) } else { self.next_line(data) };
            if !went_on {
                break;
            }
        }
        self.boundary
    }

    /// The first `bytes` of the buffer, up to a boundary, were taken away.
    pub fn cut(&mut self, bytes: usize) {
        self.scanned = self.scanned.saturating_sub(bytes);
        self.boundary = self.boundary.saturating_sub(bytes);
    }

    fn next_line(&mut self, data: &[u8]) -> bool {
        let Dialect { delimiter, quote, line_end, .. } = self.dialect;
        let Some(offset) = memchr2(line_end, quote, &data[self.scanned..]) else {
            self.scanned = data.len();
            return true;
        };
        let at = self.scanned + offset;
        if data[at] == line_end {
            self.boundary = at + 1;
        } else {
            self.in_quotes = at == 0 || data[at - 1] == delimiter || data[at - 1] == line_end;
        }
        self.scanned = at + 1;
        true
    }

    /// False where the meaning of the last byte depends on the next one, which is not there yet.
    fn leave_quotes(&mut self, data: &[u8]) -> bool {
        match quote_end(&self.dialect, data, self.scanned) {
            QuoteEnd::Close(at) if at + 1 == data.len() => {
                self.scanned = at;
                return false;
            }
            QuoteEnd::Close(at) => {
                self.in_quotes = false;
                self.scanned = at + 1;
            }
            QuoteEnd::Open(resume) => {
                self.scanned = resume;
                return false;
            }
        }
        true
    }
}

enum QuoteEnd {
    /// The quote that ends the field.
    Close(usize),
    /// No such quote: where to look on when there is more.
    Open(usize),
}

/// From a place inside quotes to the quote that closes them.
fn quote_end(dialect: &Dialect, data: &[u8], mut at: usize) -> QuoteEnd {
    let escape = dialect.escape.unwrap_or(dialect.quote);
    while let Some(offset) = memchr2(dialect.quote, escape, &data[at..]) {
        let found = at + offset;
        if data[found] == dialect.quote && data.get(found + 1) != Some(&dialect.quote) {
            return QuoteEnd::Close(found);
        }
        if found + 2 > data.len() {
            return QuoteEnd::Open(found);
        }
        at = found + 2;
    }
    QuoteEnd::Open(data.len())
}

/// The record at `at`: gives every field to `each` with its place in the record, and returns the number of fields and
/// where the next record begins.
pub(super) fn fields(
    dialect: &Dialect,
    data: &[u8],
    mut at: usize,
    mut each: impl FnMut(usize, Span),
) -> Result<(usize, usize), Malformed> {
    let mut count = 0;
    loop {
        let (span, end) = if data.get(at) == Some(&dialect.quote) {
            quoted(dialect, data, at + 1)?
        } else {
            unquoted(dialect, data, at)
        };
        each(count, span);
        count += 1;
        match data.get(end) {
            Some(byte) if *byte == dialect.delimiter => at = end + 1,
            Some(_) => return Ok((count, end + 1)),
            None => return Ok((count, end)),
        }
    }
}

fn unquoted(dialect: &Dialect, data: &[u8], at: usize) -> (Span, usize) {
    let length = data[at..].iter().position(|byte| *byte == dialect.delimiter || *byte == dialect.line_end);
    let end = length.map_or(data.len(), |length| at + length);
    let last = data.get(end) != Some(&dialect.delimiter);
    let carriage_return = last && dialect.line_end == b'\n' && end > at && data[end - 1] == b'\r';
    (Span::new(at, end - usize::from(carriage_return), Form::Plain), end)
}

fn quoted(dialect: &Dialect, data: &[u8], start: usize) -> Result<(Span, usize), Malformed> {
    let QuoteEnd::Close(close) = quote_end(dialect, data, start) else {
        return Err(Malformed("has a quote that is never closed"));
    };
    let text = &data[start..close];
    let special = dialect
        .escape
        .map_or_else(|| memchr(dialect.quote, text).is_some(), |escape| memchr2(dialect.quote, escape, text).is_some());
    let form = if special { Form::Escaped } else { Form::Quoted };
    let mut end = close + 1;
    while data.get(end) == Some(&b' ') && dialect.delimiter != b' ' {
        end += 1;
    }
    if dialect.line_end == b'\n' && data.get(end) == Some(&b'\r') && matches!(data.get(end + 1), None | Some(b'\n')) {
        end += 1;
    }
    match data.get(end) {
        None => Ok((Span::new(start, close, form), end)),
        Some(byte) if *byte == dialect.delimiter || *byte == dialect.line_end => {
            Ok((Span::new(start, close, form), end))
        }
        Some(_) => Err(Malformed("has text behind a closing quote")),
    }
}

/// The value of a field with doubled or escaped quotes.
pub(super) fn unescape<'a>(dialect: &Dialect, text: &'a str) -> Cow<'a, str> {
    let (quote, escape) = (char::from(dialect.quote), dialect.escape.map(char::from));
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let escaping = character == quote || Some(character) == escape;
        out.push(if escaping { characters.next().unwrap_or(character) } else { character });
    }
    Cow::Owned(out)
}

/// Where the first record that is not a blank line begins.
pub(super) fn skip_blank_lines(dialect: &Dialect, data: &[u8], mut at: usize) -> usize {
    loop {
        match data.get(at) {
            Some(byte) if *byte == dialect.line_end => at += 1,
            Some(b'\r') if dialect.line_end == b'\n' && matches!(data.get(at + 1), None | Some(b'\n')) => at += 2,
            _ => return at.min(data.len()),
        }
    }
}
