//! A place in an object store.

use std::{
    fmt,
    path::{Path as FilePath, PathBuf},
};

use lakebed_types::{Error, Result};
use object_store::path::Path;
use url::Url;

use crate::location_text;

/// A place in an object store: `s3://bucket/prefix/`, `file:///absolute/folder/`, `gs://`, `az://`, `memory://`.
/// Normalised: absolute, no `.` or `..`, percent-decoded path; folders end with a slash.
///
/// Its text reads back: `Location::parse(&location.to_string())` is the same place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    store: Url,
    path: Path,
    folder: bool,
}

impl Location {
    /// Reads a URL or a local path (relative to the working directory; `~` is not expanded). Whether a local path
    /// is a folder is looked up; for URLs of object stores a trailing slash says so, and a bucket alone is a folder.
    ///
    /// # Errors
    /// `invalid_request` for an unknown scheme, a missing bucket, `..` in a URL, or characters that no store takes.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once("://") {
            Some((scheme, rest)) if location_text::is_scheme(scheme) => {
                match location_text::known_scheme(scheme, text)? {
                    "file" => Self::parse_file_url(rest, text),
                    scheme => Self::parse_store_url(scheme, rest, text),
                }
            }
            _ => Self::from_local_path(FilePath::new(text)),
        }
    }

    /// The location of a local file or folder, which need not exist. Relative paths start at the working directory.
    ///
    /// # Errors
    /// `invalid_request` for an empty path, and for names that are not Unicode or hold control characters.
    pub fn from_local_path(path: &FilePath) -> Result<Self> {
        let shown = path.display().to_string();
        let absolute = std::path::absolute(path).map_err(|error| {
            Error::invalid_request(format!("`{}` is not a path", shown.escape_debug())).with_source(error)
        })?;
        let absolute = location_text::without_dots(&absolute);
        let text = absolute
            .to_str()
            .ok_or_else(|| Error::invalid_request(format!("`{}` is not a Unicode path", shown.escape_debug())))?;
        let path = location_text::parse_path(text, &shown)?;
        let folder = shown.ends_with('/') || path.is_root() || absolute.is_dir();
        Ok(Self { store: location_text::store_url("file", "", &shown)?, path, folder })
    }

    fn parse_file_url(rest: &str, text: &str) -> Result<Self> {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            return Err(Error::invalid_request(format!("`{}` names a host", text.escape_debug()))
                .with_hint("A file URL has three slashes: file:///folder/file.parquet."));
        }
        Self::from_local_path(FilePath::new(&location_text::percent_decoded(path, text)?))
    }

    fn parse_store_url(scheme: &'static str, rest: &str, text: &str) -> Result<Self> {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let key = location_text::percent_decoded(key, text)?;
        let path = location_text::parse_path(&key, text)?;
        let folder = path.is_root() || key.ends_with('/');
        Ok(Self { store: location_text::store_url(scheme, bucket, text)?, path, folder })
    }

    /// `s3`, `file`, `gs`, `az`, `memory`.
    pub fn scheme(&self) -> &str {
        self.store.scheme()
    }

    /// The bucket or container (`container@account.host` where the URL names the account); empty for local files.
    pub fn bucket(&self) -> &str {
        self.store.as_str().split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'))
    }

    /// The store that holds it: `s3://bucket`, `file:///`. Key of the registry of stores.
    pub fn store_url(&self) -> Url {
        self.store.clone()
    }

    /// The path inside the store, without leading slash.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is said, or found, to be a folder.
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// Whether it is on this machine's file system.
    pub fn is_local(&self) -> bool {
        self.scheme() == "file"
    }

    /// The absolute path in the file system of a local location.
    pub fn local_path(&self) -> Option<PathBuf> {
        self.is_local().then(|| location_text::file_path(&self.path))
    }

    /// The location of an object of the same store, given its full path in the store.
    pub fn sibling(&self, path: &Path) -> Location {
        Self { store: self.store.clone(), path: path.clone(), folder: path.is_root() }
    }

    /// The same place, said to be a folder.
    #[must_use]
    pub fn as_folder(&self) -> Location {
        Self { folder: true, ..self.clone() }
    }

    /// A folder (with a trailing slash) or file below this one. The text is taken as it is, not percent-decoded.
    ///
    /// # Errors
    /// `invalid_request` for an absolute path, `..`, and characters that no store takes.
    pub fn child(&self, relative: &str) -> Result<Location> {
        if relative.starts_with('/') {
            return Err(Error::invalid_request(format!("`{}` is not a relative path", relative.escape_debug())));
        }
        let below = location_text::parse_path(relative, relative)?;
        if below.is_root() {
            return Ok(self.as_folder());
        }
        let joined = if self.path.is_root() { below.to_string() } else { format!("{}/{below}", self.path) };
        let path = location_text::parse_path(&joined, relative)?;
        Ok(Self { store: self.store.clone(), path, folder: relative.ends_with('/') })
    }

    /// The last segment of the path, without slash: the name of the file or folder; empty for a bucket's root.
    pub fn file_name(&self) -> &str {
        self.path.filename().unwrap_or_default()
    }

    /// Whether `other` is this location or below it, in the same store. A location without a trailing slash
    /// contains what stands below it as a folder, since object stores do not tell the two apart.
    pub fn contains(&self, other: &Location) -> bool {
        self.store == other.store && other.path.prefix_matches(&self.path)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.folder && !self.path.is_root() { "/" } else { "" };
        write!(f, "{}://{}/{}{slash}", self.scheme(), self.bucket(), location_text::percent_kept(self.path.as_ref()))
    }
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
