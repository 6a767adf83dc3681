//! The choice of a format by an `Accept` header (RFC 9110, section 12.5.1).

use lakebed_types::{Error, Result};

use crate::Format;

/// One media range of the header, in lower case and without parameters other than `q`.
struct Range {
    kind: String,
    subtype: String,
    /// 0 to 1000.
    quality: u16,
}

/// How well a range names a format: the larger, the more specific. None if it does not.
fn specificity(range: &Range, format: Format) -> Option<u8> {
    media_types(format)
        .iter()
        .filter_map(|(kind, subtype)| match (range.kind.as_str(), range.subtype.as_str()) {
            ("*", "*") => Some(0),
            (k, "*") if k == *kind => Some(1),
            (k, s) if k == *kind && s == *subtype => Some(2),
            _ => None,
        })
        .max()
}

/// The media types that ask for a format; the first is the one it is sent with.
fn media_types(format: Format) -> &'static [(&'static str, &'static str)] {
    match format {
        Format::Json => &[("application", "json")],
        Format::NdJson => &[
            ("application", "x-ndjson"),
            ("application", "ndjson"),
            ("application", "jsonl"),
            ("application", "x-jsonlines"),
        ],
        Format::Csv => &[("text", "csv")],
        Format::Arrow => &[("application", "vnd.apache.arrow.stream")],
        Format::Parquet => &[("application", "vnd.apache.parquet"), ("application", "x-parquet")],
    }
}

pub(crate) fn negotiate(accept: &str) -> Result<Format> {
    if accept.trim().is_empty() {
        return Ok(Format::Json);
    }
    let ranges: Vec<Range> = accept.split(',').filter_map(parse_range).collect();
    let mut best: Option<(Format, Rank)> = None;
    for format in Format::ALL.iter().copied() {
        let Some(rank) = rank(&ranges, format) else { continue };
        if best.as_ref().is_none_or(|(_, other)| rank > *other) {
            best = Some((format, rank));
        }
    }
    best.map(|(format, _)| format).ok_or_else(|| not_acceptable(accept))
}

/// Compares in this order: quality, specificity, place in the header (earlier is greater).
type Rank = (u16, u8, std::cmp::Reverse<usize>);

/// The rank that the most specific range for a format gives it; None if none fits, or it is refused by `q=0`.
fn rank(ranges: &[Range], format: Format) -> Option<Rank> {
    let fits = |(place, range): (usize, &Range)| {
        specificity(range, format).map(|specific| (specific, std::cmp::Reverse(place), range.quality))
    };
    let (specific, place, quality) = ranges.iter().enumerate().filter_map(fits).max()?;
    (quality > 0).then_some((quality, specific, place))
}

/// One range, or None for what is not one: such parts are passed over.
fn parse_range(part: &str) -> Option<Range> {
    let mut pieces = part.split(';').map(str::trim);
    let (kind, subtype) = pieces.next()?.split_once('/')?;
    let mut quality = 1000;
    for parameter in pieces {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            quality = parse_quality(value.trim())?;
        }
    }
    Some(Range { kind: kind.trim().to_ascii_lowercase(), subtype: subtype.trim().to_ascii_lowercase(), quality })
}

/// `0.25` as 250. None for what is not a weight.
fn parse_quality(text: &str) -> Option<u16> {
    let weight: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&weight).then_some((weight * 1000.0).round() as u16)
}

fn not_acceptable(accept: &str) -> Error {
    let offered: Vec<&str> =
        Format::ALL.iter().map(|format| format.media_type().split(';').next().unwrap_or_default()).collect();
    Error::invalid_request(format!("no format of results fits `Accept: {}`", accept.escape_debug()))
        .with_hint(format!("Ask for one of {}.", offered.join(", ")))
}

#[cfg(test)]
mod tests {
    use lakebed_types::ErrorKind;

    use super::*;

    #[test]
    fn the_header_chooses_the_format() {
        for (accept, format) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("application/*", Format::Json),
            ("text/*", Format::Csv),
            ("text/csv", Format::Csv),
            ("TEXT/CSV; charset=utf-8", Format::Csv),
            ("application/x-ndjson", Format::NdJson),
            ("application/vnd.apache.arrow.stream", Format::Arrow),
            ("application/vnd.apache.parquet, */*;q=0.1", Format::Parquet),
            ("application/json;q=0.5, text/csv;q=0.9", Format::Csv),
            ("text/csv, application/json", Format::Csv),
            ("*/*, text/csv", Format::Csv),
            ("*/*, application/json;q=0", Format::NdJson),
            ("application/json;q=0.1, */*", Format::NdJson),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Json),
            ("application/problem+json, application/json", Format::Json),
            ("nonsense, text/csv;q=x, application/x-parquet", Format::Parquet),
        ] {
            assert_eq!(Format::from_accept(accept).unwrap(), format, "{accept}");
        }
    }

    #[test]
    fn what_is_not_offered_is_an_error_that_lists_the_offers() {
        for accept in ["text/html", "image/*", "application/json;q=0", "nonsense"] {
            let error = Format::from_accept(accept).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{accept}");
            assert!(error.hint().unwrap().contains("text/csv, application/vnd.apache.arrow.stream"));
        }
    }

    #[test]
    fn every_format_answers_to_its_own_names() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(*format));
            assert_eq!(Format::from_accept(format.media_type()).unwrap(), *format);
        }
        assert_eq!(Format::from_name("xml"), None);
    }
}
