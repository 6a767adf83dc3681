//! A JSON array: parts are arrays of some of its elements. A file without brackets is taken for objects one after another.

use std::io::BufRead as _;

use lakebed_types::{Error, ErrorKind, Result};

use super::{Input, MAX_ROW_BYTES, PART_BYTES, PART_ROWS, Part};

pub(super) struct ArrayParts {
    input: Input,
    /// Whether the elements stand in brackets.
    brackets: bool,
    next_row: u64,
    done: bool,
}

impl ArrayParts {
    pub(super) fn new(input: Input) -> Result<Self> {
        let mut parts = Self { input, brackets: false, next_row: 1, done: false };
        parts.pass_over(|byte| byte.is_ascii_whitespace())?;
        if parts.peek()? == Some(b'[') {
            parts.brackets = true;
            parts.input.bytes.consume(1);
        }
        Ok(parts)
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        match self.input.bytes.fill_buf() {
            Ok(bytes) => Ok(bytes.first().copied()),
            Err(error) => Err(self.input.failed(error)),
        }
    }

    fn pass_over(&mut self, what: fn(u8) -> bool) -> Result<()> {
        while self.peek()?.is_some_and(what) {
            self.input.bytes.consume(1);
        }
        Ok(())
    }

    /// Adds the next element; false where there is none.
    fn element(&mut self, to: &mut Vec<u8>) -> Result<bool> {
        self.pass_over(|byte| byte.is_ascii_whitespace() || byte == b',')?;
        match self.peek()? {
            Some(b']') if self.brackets => return self.end().map(|()| false),
            Some(b']') => return Err(self.broken("has a `]` that closes nothing")),
            Some(_) => {}
            None if self.brackets => return Err(self.broken("ends within its array")),
            None => return Ok(false),
        }
        let begin = to.len();
        let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
        loop {
            let Some(byte) = self.peek()? else { break };
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                _ if in_text => {}
                b'{' | b'[' => depth += 1,
                b']' | b',' if depth == 0 => break,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.input.bytes.consume(1);
            to.push(byte);
            if to.len() - begin > MAX_ROW_BYTES {
                return Err(self.broken(&format!("has more than {MAX_ROW_BYTES} bytes in row {}", self.next_row)));
            }
            if depth == 0 && !in_text && matches!(byte, b'}' | b']') {
                return Ok(true);
            }
        }
        if depth > 0 || in_text {
            return Err(self.broken("ends within a value"));
        }
        Ok(to.len() > begin)
    }

    /// Passes over the closing bracket. What comes after it would not be sent, and must not be left out in silence.
    fn end(&mut self) -> Result<()> {
        self.input.bytes.consume(1);
        self.pass_over(|byte| byte.is_ascii_whitespace())?;
        match self.peek()? {
            Some(_) => Err(self.broken("goes on after its array")),
            None => Ok(()),
        }
    }

    fn broken(&self, how: &str) -> Error {
        Error::new(ErrorKind::CorruptFile, format!("{} {how}", self.input.name))
    }

    fn part(&mut self) -> Result<Option<Part>> {
        let mut bytes = vec![b'['];
        let first_row = self.next_row;
        while bytes.len() < PART_BYTES && self.next_row - first_row < PART_ROWS {
            if bytes.len() > 1 {
                bytes.push(b',');
            }
            if !self.element(&mut bytes)? {
                self.done = true;
                bytes.truncate(bytes.len() - usize::from(bytes.len() > 1));
                break;
            }
            self.next_row += 1;
        }
        bytes.push(b']');
        let is_empty = self.next_row == first_row;
        Ok((!is_empty).then(|| Part { bytes: bytes.into(), media_type: "application/json", first_row }))
    }
}

impl Iterator for ArrayParts {
    type Item = Result<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let part = self.part().transpose();
        self.done |= !matches!(part, Some(Ok(_)));
        part
    }
}
