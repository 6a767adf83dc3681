//! The formats of results and their names.

use lakebed_types::Result;

use crate::accept;

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON document with the rows as objects in an array.
    Json,
    /// One JSON object per row and line.
    NdJson,
    /// Comma-separated values after RFC 4180, with a header line.
    Csv,
    /// The Arrow IPC stream format, uncompressed.
    Arrow,
    /// One Parquet file.
    Parquet,
}

impl Format {
    /// Every format, the default first.
    pub const ALL: &'static [Format] = &[Format::Json, Format::NdJson, Format::Csv, Format::Arrow, Format::Parquet];

    /// The name in `?format=` and `--format`: `json`, `ndjson`, `csv`, `arrow`, `parquet`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::NdJson => "ndjson",
            Format::Csv => "csv",
            Format::Arrow => "arrow",
            Format::Parquet => "parquet",
        }
    }

    /// The format with this name, in any case.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.iter().copied().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The value of `Content-Type`, with parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::NdJson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The usual ending of a file's name, without the dot: `json`, `ndjson`, `csv`, `arrows`, `parquet`.
    pub fn file_extension(self) -> &'static str {
        match self {
            Format::Arrow => "arrows",
            other => other.name(),
        }
    }

    /// The best format for the value of an `Accept` header.
    ///
    /// The highest `q` wins, then the more specific range, then the earlier one; `*/*` means JSON. An empty header
    /// means JSON too, as no header does.
    ///
    /// # Errors
    /// `invalid_request` if no format fits.
    pub fn from_accept(accept: &str) -> Result<Format> {
        accept::negotiate(accept)
    }
}
