//! A location that a query names directly.

use std::sync::Arc;

use lakebed_storage::Storage;
use lakebed_types::Result;

use crate::{FileKind, Snapshot};

/// A location read directly, as `read_parquet('…')` does: lists (globs `*`, `**`, `?`, `[…]` allowed), inspects, merges. Hive folders give
/// partition columns. `kind`: what it must be, None = whatever is found. At most `max_files` files, else an error.
#[expect(clippy::todo, clippy::unused_async, reason = "being written")]
pub async fn open_location(
    storage: &Storage,
    text: &str,
    kind: Option<FileKind>,
    max_files: usize,
) -> Result<Arc<Snapshot>> {
    let _ = (storage, text, kind, max_files);
    todo!()
}
