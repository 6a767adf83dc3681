//! The catalog's form of a file summary.

use arrow::datatypes::SchemaRef;
use lakebed_types::Result;

use super::FileSummary;

#[expect(clippy::todo, reason = "being written")]
pub(super) fn encode(summary: &FileSummary) -> Vec<u8> {
    let _ = summary;
    todo!()
}

#[expect(clippy::todo, reason = "being written")]
pub(super) fn decode(bytes: &[u8], schema: &SchemaRef) -> Result<FileSummary> {
    let _ = (bytes, schema);
    todo!()
}
