//! What is known of one file without reading its rows.

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use lakebed_types::Result;

mod codec;
mod footer;
#[cfg(test)]
mod tests;

pub(crate) use footer::summarize;

/// What is known of one column of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnSummary {
    /// NULLs in the whole file.
    pub null_count: Option<u64>,
    /// A value that no value is below. Of the column's type; only for columns that are not nested.
    pub min: Option<ScalarValue>,
    /// A value that no value is above but NaN, which writers leave out.
    pub max: Option<ScalarValue>,
    /// Whether `min` occurs in the file; else it is a lower bound (Parquet cuts long strings).
    pub min_exact: bool,
    /// Whether `max` occurs in the file; else it is an upper bound.
    pub max_exact: bool,
    /// Compressed bytes of the column, all its leaves together.
    pub compressed_bytes: u64,
}

/// What is known of one file without reading its rows: from a Parquet footer, or (much less) from a text file's beginning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileSummary {
    pub(crate) rows: Option<u64>,
    pub(crate) row_groups: Option<u64>,
    /// Bytes from the beginning of the page indexes, else of the footer, to the end of the file.
    pub(crate) tail_bytes: Option<u64>,
    /// In the order of the file's schema; empty where nothing is known of any column.
    pub(crate) columns: Vec<ColumnSummary>,
}

impl FileSummary {
    /// Nothing is known: a text file.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Rows in the file.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// Row groups, where the format has them.
    pub fn row_groups(&self) -> Option<u64> {
        self.row_groups
    }

    /// One entry per column of the file's schema, in its order; empty for text files.
    pub fn columns(&self) -> &[ColumnSummary] {
        &self.columns
    }

    /// A compact form for the catalog: a version byte, then numbers as varints and bounds in their type's own width.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`FileSummary::encode`] wrote, given the file's schema. `corrupt_file` for an unknown version, a cut
    /// or a schema of another shape: the caller reads the file again.
    pub fn decode(bytes: &[u8], schema: &SchemaRef) -> Result<Self> {
        codec::decode(bytes, schema)
    }
}
