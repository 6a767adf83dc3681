//! What a file is, from its first bytes.

use crate::{Compression, FileKind, Rejected};

use super::{
    json,
    span::{Form, Span},
};

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Other formats, so that the report can say what a file is instead of what it is not.
const KNOWN: [(&[u8], &str); 20] = [
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PK\x03\x04", "a ZIP archive (or an Office document)"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4"),
    (b"\xff\x06\0\0sNaPpY", "compressed with Snappy"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
];

/// How a file is compressed.
pub(super) fn compression(head: &[u8]) -> Compression {
    match head {
        _ if head.starts_with(GZIP) => Compression::Gzip,
        _ if head.starts_with(ZSTD) => Compression::Zstd,
        // A frame that readers skip: pzstd and seekable files begin with one.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// The text without its byte order mark.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Whether it is text that could be a table. `whole`: nothing follows `text`.
pub(super) fn check_text(text: &[u8], whole: bool) -> Result<(), Rejected> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Rejected::Empty);
    }
    if text.starts_with(b"PAR1") {
        return Err(Rejected::Damaged("begins like a Parquet file and has no Parquet footer".to_owned()));
    }
    if text.get(257..262) == Some(b"ustar") {
        return Err(Rejected::Unsupported("is a tar archive".to_owned()));
    }
    // `MZ` and such begin texts, too: only what holds bytes that no text has is looked up.
    let cut = !whole && text.len() > 4;
    let utf8 = std::str::from_utf8(text).map_or_else(|error| cut && error.valid_up_to() + 4 > text.len(), |_| true);
    if utf8 && !text.iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31)) {
        return match text.trim_ascii_start().first() {
            Some(b'<') => Err(Rejected::Unsupported("is XML or HTML".to_owned())),
            _ if text.starts_with(b"%PDF") => Err(Rejected::Unsupported("is a PDF document".to_owned())),
            _ => Ok(()),
        };
    }
    match KNOWN.iter().find(|(magic, _)| text.starts_with(magic)) {
        Some((_, what)) => Err(Rejected::Unsupported(format!("is {what}"))),
        None if !text.contains(&0) && !utf8 => {
            Err(Rejected::Unsupported("is not UTF-8 text: convert it, or remove it".to_owned()))
        }
        None => Err(Rejected::WrongMagic("is binary, and of no format that is known".to_owned())),
    }
}

/// JSON, if it begins like it; the text begins with no byte order mark.
pub(super) fn json_kind(text: &[u8]) -> Result<Option<FileKind>, Rejected> {
    let start = json::skip_space(text, 0, false);
    match text.get(start) {
        Some(b'{') => Ok(Some(FileKind::NdJson)),
        Some(b'[') => match text.get(json::skip_space(text, start + 1, false)) {
            Some(b'{') => Ok(Some(FileKind::JsonArray)),
            Some(b']') => Err(Rejected::Empty),
            _ => Err(Rejected::Unsupported("is a JSON array of values that are no objects".to_owned())),
        },
        _ => Ok(None),
    }
}

/// Names that a JSON object has when it lists files or describes a table of other files, all of one line together.
const MANIFESTS: [(&[&str], &str); 10] = [
    (&["entries"], "is a manifest: a list of files"),
    (&["manifest"], "is a manifest: a list of files"),
    (&["fileLocations"], "is a manifest: a list of files"),
    (&["reportKeys", "assemblyId"], "is a manifest of a cost and usage report"),
    (&["sourceBucket", "fileSchema", "files"], "is a manifest of an inventory"),
    (&["format-version", "table-uuid"], "is the metadata of an Iceberg table"),
    (&["commitInfo"], "is the log of a Delta table"),
    (&["protocol"], "is the log of a Delta table"),
    (&["metaData"], "is the log of a Delta table"),
    (&["numFiles", "metadata"], "is the checksum of a Delta table"),
];

/// Whether the file's first object, with `file_name`, is a manifest. `is_only`: the file holds nothing else.
pub(super) fn manifest(text: &[u8], object: Span, is_only: bool, file_name: &str) -> Option<Rejected> {
    let mut names: Vec<(String, Form)> = Vec::new();
    let _ = json::members(text, object, |key, value| {
        names.push((String::from_utf8_lossy(key.of(text)).into_owned(), value.form));
        Ok::<_, super::span::Malformed>(())
    });
    let nested = |name: &&str| names.iter().any(|(n, form)| n == name && matches!(form, Form::Object | Form::Array));
    let has = |name: &&str| names.iter().any(|(n, _)| n == name);
    let matches = |wanted: &[&str]| wanted.iter().all(has) && (wanted.len() > 1 || wanted.iter().all(nested));
    let known = MANIFESTS.iter().find(|(wanted, _)| matches(wanted)).map(|(_, what)| (*what).to_owned());
    let named = is_only && file_name.to_ascii_lowercase().contains("manifest");
    known.or_else(|| named.then(|| "is named a manifest, and holds one JSON object".to_owned())).map(Rejected::Manifest)
}
