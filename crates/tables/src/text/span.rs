//! Where the values of a chunk of text stand, before anything is made of them.

/// What stands at a [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing: a column that the record lacks, or JSON `null`.
    Missing,
    /// The text itself; in JSON a number, `true` or `false`.
    Plain,
    /// The text between quotes, as it is.
    Quoted,
    /// The text between quotes, with escapes to undo.
    Escaped,
    /// A JSON object with its braces.
    Object,
    /// A JSON array with its brackets.
    Array,
}

/// One value in a chunk: bytes `start..start + length`. Chunks are far smaller than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u32,
    pub length: u32,
    pub form: Form,
}

impl Span {
    /// No value.
    pub const MISSING: Span = Span { start: 0, length: 0, form: Form::Missing };

    /// The bytes `start..end`.
    pub fn new(start: usize, end: usize, form: Form) -> Self {
        Self { start: start as u32, length: (end - start) as u32, form }
    }

    /// The bytes it stands for, as they are written.
    pub fn of<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.range()]
    }

    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }
}

/// A record that cannot be read, and why, for people: the end of a sentence that begins with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);
