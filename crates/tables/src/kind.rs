//! What a file holds and how it is packed, found from its content.

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::summary::FileSummary;

/// What a file holds, found from its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Apache Parquet.
    Parquet,
    /// Delimited text, one row a line unless quoted.
    Csv,
    /// One JSON object a line.
    NdJson,
    /// One JSON array of objects.
    JsonArray,
}

impl FileKind {
    /// Whether the file is text: it has no statistics and is parsed from its beginning.
    pub fn is_text(self) -> bool {
        self != FileKind::Parquet
    }
}

/// How a whole file is compressed. (Parquet compresses inside, and is always `None` here.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip, also several members one after the other.
    Gzip,
    /// Zstandard, also several frames one after the other.
    Zstd,
}

/// How to read one text file. (Parquet ignores it.)
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TextOptions {
    /// Between two values of a CSV line.
    pub delimiter: u8,
    /// Around a CSV value that holds a delimiter, a quote or a line end.
    pub quote: u8,
    /// Whether a CSV file's first line names the columns.
    pub header: bool,
    /// What stands before a quote inside quotes, where the file does not double it.
    pub escape: Option<u8>,
    /// The last byte of a line: `\n` (also after `\r`), or `\r` in files of old Macs.
    pub line_end: u8,
    /// Texts that mean NULL in the file's columns that are not VARCHAR, such as `NA`. Empty always does.
    pub null_texts: Vec<String>,
    /// Whether JSON objects may run over several lines; else every line is one object.
    pub multi_line: bool,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            header: true,
            escape: None,
            line_end: b'\n',
            null_texts: Vec::new(),
            multi_line: false,
        }
    }
}

/// What looking into one file told.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// What the file holds.
    pub kind: FileKind,
    /// How the whole file is compressed.
    pub compression: Compression,
    /// The text dialect found; the default for Parquet.
    pub text: TextOptions,
    /// Columns of this file, in its own spelling and order.
    pub schema: SchemaRef,
    /// Rows, row groups and column statistics, where the file says.
    pub summary: FileSummary,
}

/// Why a file is no part of a table. The text is for people, one phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// No bytes, or no rows and no columns.
    Empty,
    /// The content is not what any known format begins with.
    WrongMagic(String),
    /// A list of other files, not data.
    Manifest(String),
    /// It begins as a known format and does not hold what it promises.
    Damaged(String),
    /// A known format, in a form that is not offered.
    Unsupported(String),
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rejected::Empty => f.write_str("is empty"),
            Rejected::WrongMagic(reason)
            | Rejected::Manifest(reason)
            | Rejected::Damaged(reason)
            | Rejected::Unsupported(reason) => f.write_str(reason),
        }
    }
}
