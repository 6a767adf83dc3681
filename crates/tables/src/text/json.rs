//! JSON: where records end, and where values stand.
//!
//! Strings are found with their escapes still in; whoever needs a value undoes them. Brackets are matched by depth, so
//! that values nobody asks for cost little.

use std::borrow::Cow;

use memchr::{memchr2, memrchr};

use super::span::{Form, Malformed, Span};

/// How the objects of a file follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One object a line.
    Lines,
    /// Objects one after the other, with any white space inside and between.
    Objects,
    /// Inside one array, whose opening bracket is already taken away.
    Array,
}

/// Finds ends of records in a growing buffer that begins with a record.
#[derive(Debug)]
pub(super) struct RecordEnds {
    layout: Layout,
    scanned: usize,
    boundary: usize,
    depth: u32,
    in_string: bool,
    /// Behind the array's closing bracket.
    ended: bool,
}

impl RecordEnds {
    pub fn new(layout: Layout) -> Self {
        Self { layout, scanned: 0, boundary: 0, depth: 0, in_string: false, ended: false }
    }

    /// Looks at the bytes that are new, and returns how many bytes hold whole records.
    pub fn scan(&mut self, data: &[u8]) -> Result<usize, Malformed> {
        if self.layout == Layout::Lines {
            if let Some(offset) = memrchr(b'\n', &data[self.scanned..]) {
                self.boundary = self.scanned + offset + 1;
            }
            self.scanned = data.len();
            return Ok(self.boundary);
        }
        while self.scanned < data.len() && self.step(data)? {}
        Ok(self.boundary)
    }

    /// The first `bytes` of the buffer, up to a boundary, were taken away.
    pub fn cut(&mut self, bytes: usize) {
        self.scanned = self.scanned.saturating_sub(bytes);
        self.boundary = self.boundary.saturating_sub(bytes);
    }

    /// Whether the text may end here: nothing is open.
    pub fn is_complete(&self) -> bool {
        match self.layout {
            Layout::Lines => true,
            Layout::Objects => self.depth == 0 && !self.in_string,
            Layout::Array => self.ended,
        }
    }

    /// Whether the closing bracket of the array was seen: nothing but white space may follow the boundary.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// False where the meaning of the last byte depends on the next one, which is not there yet.
    fn step(&mut self, data: &[u8]) -> Result<bool, Malformed> {
        if self.ended {
            if data[self.scanned..].iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Err(Malformed("is followed by text behind the end of the array"));
            }
            self.scanned = data.len();
            return Ok(true);
        }
        if self.in_string {
            let (end, escaped_to) = string_end(data, self.scanned);
            self.in_string = end.is_none();
            self.scanned = end.map_or(escaped_to, |end| end + 1);
            return Ok(end.is_some());
        }
        let Some(offset) = data[self.scanned..].iter().position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']'))
        else {
            self.scanned = data.len();
            return Ok(true);
        };
        let at = self.scanned + offset;
        self.scanned = at + 1;
        match data[at] {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b']' if self.depth == 0 && self.layout == Layout::Array => {
                self.ended = true;
                self.boundary = at;
            }
            _ if self.depth == 0 => return Err(Malformed("has a closing bracket that nothing opens")),
            _ => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.boundary = at + 1;
                }
            }
        }
        Ok(true)
    }
}

/// From a place inside a string: the closing quote; or where to look on when there is more.
fn string_end(data: &[u8], mut at: usize) -> (Option<usize>, usize) {
    while let Some(offset) = memchr2(b'"', b'\\', &data[at..]) {
        let found = at + offset;
        if data[found] == b'"' {
            return (Some(found), found);
        }
        if found + 2 > data.len() {
            return (None, found);
        }
        at = found + 2;
    }
    (None, data.len())
}

/// The first byte that is no white space (nor a comma, between the records of an array).
pub(super) fn skip_space(data: &[u8], at: usize, commas: bool) -> usize {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r') || (commas && *byte == b',');
    data[at..].iter().position(|byte| !blank(byte)).map_or(data.len(), |offset| at + offset)
}

/// The value at `at` (no white space there), and where the text goes on.
pub(super) fn value(data: &[u8], at: usize) -> Result<(Span, usize), Malformed> {
    match data.get(at) {
        Some(b'"') => string(data, at + 1),
        Some(b'{') => container(data, at, Form::Object),
        Some(b'[') => container(data, at, Form::Array),
        Some(_) => plain(data, at),
        None => Err(Malformed("ends where a value should be")),
    }
}

fn string(data: &[u8], start: usize) -> Result<(Span, usize), Malformed> {
    let (Some(end), _) = string_end(data, start) else { return Err(Malformed("has a string that is never closed")) };
    let form = if memchr::memchr(b'\\', &data[start..end]).is_some() { Form::Escaped } else { Form::Quoted };
    Ok((Span::new(start, end, form), end + 1))
}

fn container(data: &[u8], start: usize, form: Form) -> Result<(Span, usize), Malformed> {
    const OPEN: Malformed = Malformed("has a bracket that is never closed");
    let (mut at, mut depth) = (start, 0u32);
    loop {
        let offset = data[at..].iter().position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']')).ok_or(OPEN)?;
        at += offset + 1;
        match data[at - 1] {
            b'"' => at = string_end(data, at).0.ok_or(OPEN)? + 1,
            b'{' | b'[' => depth += 1,
            _ => depth -= 1,
        }
        if depth == 0 {
            return Ok((Span::new(start, at, form), at));
        }
    }
}

fn plain(data: &[u8], start: usize) -> Result<(Span, usize), Malformed> {
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r');
    let end = data[start..].iter().position(ends).map_or(data.len(), |offset| start + offset);
    match &data[start..end] {
        b"null" => Ok((Span::MISSING, end)),
        b"true" | b"false" | b"NaN" | b"Infinity" | b"-Infinity" => Ok((Span::new(start, end, Form::Plain), end)),
        [b'-' | b'0'..=b'9', rest @ ..]
            if rest.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) =>
        {
            Ok((Span::new(start, end, Form::Plain), end))
        }
        _ => Err(Malformed("has a word that JSON does not know")),
    }
}

/// Gives every member of an object to `each`: key (a string's span) and value.
pub(super) fn members<E: From<Malformed>>(
    data: &[u8],
    object: Span,
    mut each: impl FnMut(Span, Span) -> Result<(), E>,
) -> Result<(), E> {
    let inside = &data[..object.range().end - 1];
    let mut at = skip_space(inside, object.range().start + 1, false);
    while at < inside.len() {
        if inside[at] != b'"' {
            return Err(Malformed("has a member without a quoted name").into());
        }
        let (key, after) = string(inside, at + 1)?;
        let colon = skip_space(inside, after, false);
        if inside.get(colon) != Some(&b':') {
            return Err(Malformed("has a name that no colon follows").into());
        }
        let (value, after) = value(inside, skip_space(inside, colon + 1, false))?;
        each(key, value)?;
        at = next_item(inside, after)?;
    }
    Ok(())
}

/// Gives every element of an array to `each`.
pub(super) fn elements<E: From<Malformed>>(
    data: &[u8],
    array: Span,
    mut each: impl FnMut(Span) -> Result<(), E>,
) -> Result<(), E> {
    let inside = &data[..array.range().end - 1];
    let mut at = skip_space(inside, array.range().start + 1, false);
    while at < inside.len() {
        let (value, after) = value(inside, at)?;
        each(value)?;
        at = next_item(inside, after)?;
    }
    Ok(())
}

/// Past the comma behind a member or element; the end of `inside` where nothing follows.
fn next_item(inside: &[u8], after: usize) -> Result<usize, Malformed> {
    let comma = skip_space(inside, after, false);
    if comma == inside.len() {
        return Ok(comma);
    }
    let next = skip_space(inside, comma + 1, false);
    if inside[comma] != b',' || next == inside.len() {
        return Err(Malformed("lacks a comma between two values, or ends with one"));
    }
    Ok(next)
}

/// The text of a string with escapes; `None` if an escape is none that JSON knows.
pub(super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        out.push_str(&rest[..backslash]);
        let escape = *rest.as_bytes().get(backslash + 1)?;
        rest = rest.get(backslash + 2..)?;
        out.push(match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode_escape(&mut rest)?,
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// Four hex digits, and the second half of a surrogate pair where they are the first.
fn unicode_escape(rest: &mut &str) -> Option<char> {
    let unit = |rest: &mut &str| {
        let digits = rest.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *rest = &rest[4..];
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(rest)?;
    if let Some(only) = char::from_u32(u32::from(first)) {
        return Some(only);
    }
    *rest = rest.strip_prefix("\\u")?;
    let second = unit(rest)?;
    char::decode_utf16([first, second]).next()?.ok()
}
