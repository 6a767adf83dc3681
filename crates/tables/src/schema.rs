//! Bringing the schemas of many files together.

use arrow::datatypes::{DataType, SchemaRef};

use crate::FileKind;

/// A column type that two files disagree on and that cannot be widened safely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaConflict {
    /// The column, in its first spelling.
    pub column: String,
    /// Its type so far.
    pub left: DataType,
    /// Its type in the new file.
    pub right: DataType,
}

/// The schema that both fit into: union of columns (case-insensitive names, first spelling wins), safe widening
/// (int → bigger int → double where exact, int → decimal, float → double, date → timestamp, timestamp units, null → anything,
/// nullable wins; text files additionally: anything → string).
#[expect(clippy::todo, reason = "being written")]
pub fn merge_schemas(left: &SchemaRef, right: &SchemaRef, kind: FileKind) -> Result<SchemaRef, SchemaConflict> {
    let _ = (left, right, kind);
    todo!()
}

/// The type of a partition column, from all its values: BIGINT, DATE or VARCHAR. `__HIVE_DEFAULT_PARTITION__` is NULL (None).
#[expect(clippy::todo, reason = "being written")]
pub fn partition_type<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> DataType {
    let _ = values.into_iter();
    todo!()
}
