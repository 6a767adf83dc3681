//! What the client wants to get: format by `?format=` or `Accept`, coding by `Accept-Encoding`.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use lakebed_formats::{Format, Numbers};
use lakebed_query::CachePolicy;
use lakebed_types::Error;

use crate::{
    compress::Coding,
    error::{ApiError, ApiResult},
};

/// How a result is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) format: Format,
    pub(crate) coding: Coding,
    pub(crate) numbers: Numbers,
}

impl Delivery {
    /// Reads the request's wishes. `format` and `numbers` are the query parameters of these names.
    ///
    /// # Errors
    /// `invalid_request`: 400 for an unknown name, 406 where no format fits `Accept`.
    pub(crate) fn negotiate(headers: &HeaderMap, format: Option<&str>, numbers: Option<&str>) -> ApiResult<Self> {
        let format = choose_format(headers, format)?;
        let coding = if is_text(format) { choose_coding(headers) } else { Coding::Identity };
        Ok(Self { format, coding, numbers: read_numbers(numbers)? })
    }
}

fn choose_format(headers: &HeaderMap, named: Option<&str>) -> ApiResult<Format> {
    if let Some(name) = named {
        let wrong = || {
            Error::invalid_request(format!("`{}` is not a format", name.escape_debug()))
                .with_hint("The formats are json, ndjson, csv, arrow and parquet.")
        };
        return Ok(Format::from_name(name).ok_or_else(wrong)?);
    }
    match joined(headers, header::ACCEPT) {
        None => Ok(Format::Json),
        Some(accept) => Format::from_accept(&accept).map_err(|e| ApiError::with_status(e, StatusCode::NOT_ACCEPTABLE)),
    }
}

/// Reads `auto` or `string`.
pub(crate) fn read_numbers(name: Option<&str>) -> ApiResult<Numbers> {
    match name {
        None | Some("auto") => Ok(Numbers::Auto),
        Some("string") => Ok(Numbers::String),
        Some(other) => {
            let error = Error::invalid_request(format!("`{}` is no way to write numbers", other.escape_debug()));
            Err(error.with_hint("`numbers` is `auto` or `string`.").into())
        }
    }
}

/// Parquet and Arrow have their own compression, and their readers are faster than a general one.
fn is_text(format: Format) -> bool {
    matches!(format, Format::Json | Format::NdJson | Format::Csv)
}

/// The coding with the highest weight; zstd before gzip where they are equal, because it costs a third.
fn choose_coding(headers: &HeaderMap) -> Coding {
    let Some(accepted) = joined(headers, header::ACCEPT_ENCODING) else { return Coding::Identity };
    let weight = |wanted: &str| -> f32 {
        let mut any = 0.0;
        for part in accepted.split(',') {
            let mut parameters = part.split(';').map(str::trim);
            let name = parameters.next().unwrap_or_default();
            let q = parameters.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            if name.eq_ignore_ascii_case(wanted) {
                return q;
            }
            if name == "*" {
                any = q;
            }
        }
        any
    };
    let (zstd, gzip) = (weight("zstd"), weight("gzip"));
    match () {
        () if zstd > 0.0 && zstd >= gzip => Coding::Zstd,
        () if gzip > 0.0 => Coding::Gzip,
        () => Coding::Identity,
    }
}

/// What `Cache-Control` of a request asks of the result cache: with `no-cache` and `max-age=0` the query runs, with
/// `no-store` its answer is not kept either.
pub(crate) fn cache_policy(headers: &HeaderMap) -> CachePolicy {
    let text = joined(headers, header::CACHE_CONTROL).unwrap_or_default().to_ascii_lowercase();
    let says = |wanted: &str| text.split(',').any(|directive| directive.trim() == wanted);
    match () {
        () if says("no-store") => CachePolicy::Bypass,
        () if says("no-cache") || says("max-age=0") => CachePolicy::Refresh,
        () => CachePolicy::Use,
    }
}

/// All lines of a header as one list; None where there is none or it is no text.
pub(crate) fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(accepted: &str) -> Coding {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
        choose_coding(&headers)
    }

    #[test]
    fn the_heavier_coding_wins_and_zstd_where_equal() {
        assert_eq!(coding("gzip, deflate, br, zstd"), Coding::Zstd);
        assert_eq!(coding("gzip;q=1.0, zstd;q=0.5"), Coding::Gzip);
        assert_eq!(coding("*"), Coding::Zstd);
        assert_eq!(coding("*, zstd;q=0"), Coding::Gzip);
        assert_eq!(coding("identity"), Coding::Identity);
        assert_eq!(coding("br"), Coding::Identity);
        assert_eq!(choose_coding(&HeaderMap::new()), Coding::Identity);
    }

    #[test]
    fn a_request_says_whether_an_older_answer_will_do() {
        let policy =
            |text: &'static str| cache_policy(&HeaderMap::from_iter([(header::CACHE_CONTROL, text.parse().unwrap())]));
        assert_eq!(cache_policy(&HeaderMap::new()), CachePolicy::Use);
        assert_eq!(policy("max-age=60"), CachePolicy::Use);
        assert_eq!((policy("No-Cache"), policy("max-age=0")), (CachePolicy::Refresh, CachePolicy::Refresh));
        assert_eq!((policy("no-cache, no-store"), policy("no-store")), (CachePolicy::Bypass, CachePolicy::Bypass));
    }
}
