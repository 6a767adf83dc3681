//! The version of a snapshot: a hash over what a reader could notice.

use std::fmt::Write;

use arrow::datatypes::Schema;
use sha2::{Digest, Sha256};

use super::{DataFile, SnapshotParts};

/// 16 hex digits over location, schema, and of each file path, size, ETag (else its time), compression and dialect.
pub(super) fn version(parts: &SnapshotParts, schema: &Schema) -> String {
    let mut hash = Sha256::new();
    put(&mut hash, parts.location.to_string().as_bytes());
    put(&mut hash, format!("{:?}", parts.kind).as_bytes());
    for field in schema.fields() {
        put(&mut hash, field.name().as_bytes());
        put(&mut hash, field.data_type().to_string().as_bytes());
    }
    for file in &parts.files {
        put_file(&mut hash, parts, file);
    }
    let mut text = String::with_capacity(16);
    for byte in hash.finalize().iter().take(8) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn put_file(hash: &mut Sha256, parts: &SnapshotParts, file: &DataFile) {
    put(hash, file.meta.location.as_ref().as_bytes());
    hash.update(file.meta.size.to_le_bytes());
    match &file.meta.e_tag {
        Some(tag) => put(hash, tag.as_bytes()),
        None => hash.update(file.meta.last_modified.timestamp_micros().to_le_bytes()),
    }
    if parts.kind.is_text() {
        put(hash, format!("{:?}{:?}", file.compression, file.text).as_bytes());
    }
}

/// With the length before it, so that no two lists of values look alike.
fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
