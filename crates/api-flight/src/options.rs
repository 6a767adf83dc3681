//! What a caller chooses for its statements: in its session, or call by call in headers.

use std::time::Duration;

use lakebed_query::{CachePolicy, Parameters, QueryOptions};
use lakebed_types::{DatabaseName, Error, Result};
use tonic::metadata::MetadataMap;

/// The API's name in the history.
const SOURCE: &str = "flight";

/// Headers, and names of session options besides `catalog` and `schema`.
pub(crate) const DATABASE: &str = "database";
pub(crate) const TIMEOUT_MS: &str = "timeout-ms";
pub(crate) const COMPRESSION: &str = "compression";
const CACHE_CONTROL: &str = "cache-control";

/// How the buffers of batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Lz4,
    Zstd,
}

impl Compression {
    /// `none`, `lz4` or `zstd`.
    ///
    /// # Errors
    /// `invalid_request`.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>> {
        match text.to_ascii_lowercase().as_str() {
            "none" | "" => Ok(None),
            "lz4" => Ok(Some(Self::Lz4)),
            "zstd" => Ok(Some(Self::Zstd)),
            _ => Err(Error::invalid_request(format!("`{}` is no compression", text.escape_debug()))
                .with_hint("It is none, lz4 or zstd.")),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// What a caller chose.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where unqualified tables are looked up.
    pub(crate) database: DatabaseName,
    pub(crate) compression: Option<Compression>,
    /// Run time; the smaller of this and the limit holds.
    pub(crate) timeout: Option<Duration>,
    pub(crate) result_cache: CachePolicy,
}

impl Default for Options {
    fn default() -> Self {
        let database = DatabaseName::default_database();
        Self { database, compression: None, timeout: None, result_cache: CachePolicy::Use }
    }
}

impl Options {
    /// These, but for what the headers of a call say.
    ///
    /// # Errors
    /// `invalid_request` naming the header.
    pub(crate) fn with_headers(mut self, headers: &MetadataMap) -> Result<Self> {
        if let Some(name) = text(headers, DATABASE)? {
            self.database = DatabaseName::new(name)?;
        }
        if let Some(name) = text(headers, COMPRESSION)? {
            self.compression = Compression::parse(name)?;
        }
        if let Some(millis) = text(headers, TIMEOUT_MS)? {
            self.timeout = parse_timeout(millis)?;
        }
        if let Some(policy) = text(headers, CACHE_CONTROL)? {
            self.result_cache = cache_policy(policy);
        }
        Ok(self)
    }

    /// For the façade.
    pub(crate) fn query(&self, parameters: Parameters) -> QueryOptions {
        let (database, result_cache) = (self.database.clone(), self.result_cache);
        QueryOptions { database, parameters, source: SOURCE, result_cache }
    }
}

/// Milliseconds of run time; 0 for no limit of one's own.
///
/// # Errors
/// `invalid_request`.
pub(crate) fn parse_timeout(text: &str) -> Result<Option<Duration>> {
    let millis: u64 = text.trim().parse().map_err(|_| {
        Error::invalid_request(format!("`{}` is no number of milliseconds", text.escape_debug()))
            .with_hint("Send a whole number in `timeout-ms`.")
    })?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// As the header means it for HTTP.
fn cache_policy(text: &str) -> CachePolicy {
    let text = text.to_ascii_lowercase();
    let says = |wanted: &str| text.split(',').any(|directive| directive.trim() == wanted);
    match () {
        () if says("no-store") => CachePolicy::Bypass,
        () if says("no-cache") || says("max-age=0") => CachePolicy::Refresh,
        () => CachePolicy::Use,
    }
}

fn text<'a>(headers: &'a MetadataMap, name: &str) -> Result<Option<&'a str>> {
    let not_text = |_| Error::invalid_request(format!("the header `{name}` is not text"));
    headers.get(name).map(|value| value.to_str().map_err(not_text)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(headers: &[(&'static str, &'static str)]) -> Result<Options> {
        let mut map = MetadataMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Options::default().with_headers(&map)
    }

    #[test]
    fn headers_win_and_wrong_ones_are_named() {
        let options = with(&[
            ("database", "Sales"),
            ("compression", "LZ4"),
            ("timeout-ms", "250"),
            ("cache-control", "no-store"),
        ]);
        let options = options.unwrap();
        assert_eq!((options.database.as_str(), options.compression), ("sales", Some(Compression::Lz4)));
        assert_eq!((options.timeout, options.result_cache), (Some(Duration::from_millis(250)), CachePolicy::Bypass));
        for wrong in [("database", "a.b.c"), ("compression", "gzip"), ("timeout-ms", "soon")] {
            assert!(with(&[wrong]).is_err(), "{wrong:?}");
        }
    }
}
