//! How the text of a location is taken apart: schemes, buckets, percent signs and dots.

use std::path::{Component, Path as FilePath, PathBuf};

use lakebed_types::{Error, Result};
use object_store::path::Path;
use percent_encoding::percent_decode_str;
use url::Url;

/// Whether the text before `://` can be a URL's scheme, so that the whole is not a local path.
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// The name that we use for a scheme, which may have several spellings.
pub(crate) fn known_scheme(scheme: &str, whole: &str) -> Result<&'static str> {
    Ok(match scheme.to_ascii_lowercase().as_str() {
        "s3" | "s3a" | "s3n" => "s3",
        "gs" | "gcs" => "gs",
        "az" | "azure" | "adl" | "abfs" | "abfss" => "az",
        "file" => "file",
        "memory" => "memory",
        _ => {
            return Err(Error::invalid_request(format!("`{}` has an unknown scheme", whole.escape_debug()))
                .with_hint("Use a local path, or a URL that begins with s3://, gs://, az:// or file://."));
        }
    })
}

/// The URL of a store. The bucket's characters are checked, so that nothing of it is read as a port or a query.
pub(crate) fn store_url(scheme: &str, bucket: &str, whole: &str) -> Result<Url> {
    let may_be_empty = matches!(scheme, "file" | "memory");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') || (scheme == "az" && c == '@');
    if (bucket.is_empty() && !may_be_empty) || !bucket.chars().all(plain) {
        return Err(Error::invalid_request(format!("`{}` names no bucket", whole.escape_debug()))
            .with_hint("A bucket's name has letters, digits, dots, dashes and underscores."));
    }
    let slash = if may_be_empty && bucket.is_empty() { "/" } else { "" };
    Url::parse(&format!("{scheme}://{bucket}{slash}"))
        .map_err(|error| Error::invalid_request(format!("`{whole}` names no bucket")).with_source(error))
}

/// Decodes `%20` and the like; a percent sign without two hexadecimal digits stays as it is.
pub(crate) fn percent_decoded(text: &str, whole: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|error| {
        Error::invalid_request(format!("`{}` is not UTF-8", whole.escape_debug())).with_source(error)
    })?;
    Ok(decoded.into_owned())
}

/// The inverse of [`percent_decoded`]: only a percent sign that would be decoded is written as `%25`.
pub(crate) fn percent_kept(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let digits = text.as_bytes().get(at + 1..at + 3);
        let decodes = c == '%' && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        out.push_str(if decodes { "%25" } else { &text[at..at + c.len_utf8()] });
    }
    out
}

/// A path inside a store. Repeated slashes count as one; `.` and `..` are refused, for no store has such objects.
pub(crate) fn parse_path(text: &str, whole: &str) -> Result<Path> {
    let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    Path::parse(segments.join("/")).map_err(|error| {
        Error::invalid_request(format!("`{}` is not a path in a store", whole.escape_debug()))
            .with_hint("Leave out `.` and `..` and control characters.")
            .with_source(error)
    })
}

/// Resolves `.` and `..` by the text alone; `..` at the root stays at the root.
pub(crate) fn without_dots(path: &FilePath) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The file that a path of the local store names.
pub(crate) fn file_path(path: &Path) -> PathBuf {
    PathBuf::from(format!("/{path}"))
}
