//! `/query-parquet`: a page of one Parquet file, found by names in the query string. No SQL is involved.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use lakebed_access::AdmitOptions;
use lakebed_formats::Format;
use lakebed_storage::Location;
use lakebed_types::{Error, ErrorKind, QueryId, Result};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    compress::Coding,
    error::ApiResult,
    extract::{Caller, Query},
    negotiate::{Delivery, read_numbers},
    stream::{self, Document},
};

/// Rows of a page, where the client does not say.
const PAGE_SIZE: u64 = 100;
/// Characters that a value may have.
const MAX_VALUE_CHARS: usize = 128;
/// Parameters that are no placeholders.
const OWN_PARAMETERS: [&str; 3] = ["page", "page_size", "numbers"];

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(query_parquet))
}

/// A page of a Parquet file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: the document is written by the encoder")]
struct ParquetPageAnswer {
    /// One object per row.
    data: Vec<Map<String, Value>>,
    /// Rows of the whole file.
    total_rows: u64,
    /// From 1.
    page: u64,
    page_size: u64,
}

/// Reads a page of one Parquet file.
///
/// The file's path comes from the server's template, whose `{name}` placeholders are filled from the query parameters
/// of the same names: with the usual template `statename` and `dname`. Values are lower case letters, digits, `_`, `-`, `.` and spaces. The last
/// page costs what the first one does.
#[utoipa::path(
    get, path = "/query-parquet", tag = "compatibility", operation_id = "query_parquet",
    params(
        ("statename" = Option<String>, Query, description = "A placeholder of the usual template", example = "karnataka"),
        ("dname" = Option<String>, Query, description = "A placeholder of the usual template", example = "udupi"),
        ("page" = Option<u64>, Query, description = "From 1; 1 if missing", minimum = 1),
        ("page_size" = Option<u64>, Query, description = "100 if missing", minimum = 1, maximum = 10000),
        ("numbers" = Option<String>, Query, description = "`auto` or `string`: how 64-bit integers and decimals are written"),
    ),
    responses((status = 200, description = "The page; no rows past the end", body = ParquetPageAnswer))
)]
async fn query_parquet(
    State(state): State<RestState>,
    Caller(who): Caller,
    Query(parameters): Query<Vec<(String, String)>>,
) -> ApiResult<Response> {
    who.may_use_paths("read files by their paths")?;
    let Some(template) = &state.settings.parquet_pages else {
        let error = Error::new(ErrorKind::NotFound, "this server has no template for /query-parquet");
        return Err(error.with_hint("Start it with `--parquet-pages TEMPLATE`.").into());
    };
    let parameters = single(parameters)?;
    let (page, page_size) = page_and_size(&parameters, state.settings.page_rows_max as u64)?;
    let numbers = read_numbers(parameters.get("numbers").map(String::as_str))?;
    let location = Location::parse(&fill(template, &parameters)?)?;

    let id = QueryId::random();
    let admitted = state.query.access().admit(&who, &AdmitOptions::default()).await?;
    let offset = (page - 1).saturating_mul(page_size);
    let rows = state.query.parquet_page(admitted, &location, offset, page_size as usize).await?;
    let trailer = Map::from_iter([
        ("total_rows".to_owned(), json!(rows.total_rows)),
        ("page".to_owned(), json!(page)),
        ("page_size".to_owned(), json!(page_size)),
    ]);
    let document = Document {
        preamble: Map::new(),
        rows_member: None,
        columns: false,
        row_limit: None,
        trailer: Box::new(|_| trailer),
    };
    let delivery = Delivery { format: Format::Json, coding: Coding::Identity, numbers };
    stream::page(id, (rows.schema, rows.batches), delivery, document).await
}

fn single(parameters: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for (name, value) in parameters {
        if map.contains_key(&name) {
            return Err(Error::invalid_request(format!("parameter `{}` is given twice", name.escape_debug())));
        }
        map.insert(name, value);
    }
    Ok(map)
}

fn page_and_size(parameters: &BTreeMap<String, String>, max: u64) -> Result<(u64, u64)> {
    let number = |name: &str, default: u64, max: u64| match parameters.get(name).map(|text| text.parse::<u64>()) {
        None => Ok(default),
        Some(Ok(number)) if (1..=max).contains(&number) => Ok(number),
        Some(_) => Err(Error::invalid_request(format!("`{name}` is not a whole number from 1 to {max}"))),
    };
    Ok((number("page", 1, i64::MAX as u64)?, number("page_size", PAGE_SIZE.min(max), max)?))
}

/// The template with its placeholders filled.
///
/// # Errors
/// `invalid_request` where a placeholder has no value, a value is not allowed, or a parameter is no placeholder.
pub(crate) fn fill(template: &str, parameters: &BTreeMap<String, String>) -> Result<String> {
    let mut path = String::with_capacity(template.len());
    let mut names = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| Error::internal("the template has an open brace"))?;
        path.push_str(before);
        path.push_str(checked_value(name, parameters)?);
        names.push(name);
        rest = after;
    }
    path.push_str(rest);
    let is_known = |name: &String| OWN_PARAMETERS.contains(&name.as_str()) || names.contains(&name.as_str());
    match parameters.keys().find(|name| !is_known(name)) {
        None => Ok(path),
        Some(name) => Err(Error::invalid_request(format!("there is no parameter `{}`", name.escape_debug()))
            .with_hint(format!("The parameters are {}, page, page_size and numbers.", names.join(", ")))),
    }
}

fn checked_value<'a>(name: &str, parameters: &'a BTreeMap<String, String>) -> Result<&'a str> {
    let value = parameters.get(name).ok_or_else(|| Error::invalid_request(format!("parameter `{name}` is missing")))?;
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '.' | ' ');
    let is_name = !value.trim().is_empty() && value.len() <= MAX_VALUE_CHARS && value.chars().all(allowed);
    if is_name && !value.contains("..") && !value.starts_with('.') {
        return Ok(value);
    }
    Err(Error::invalid_request(format!("the value of `{name}` is not a name"))
        .with_hint("Names have lower case letters, digits, `_`, `-`, `.` and spaces."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "s3://b/state={statename}/dname={dname}/{dname}.parquet";

    fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_placeholder_may_stand_twice() {
        let filled = fill(TEMPLATE, &parameters(&[("statename", "tamil nadu"), ("dname", "chennai"), ("page", "2")]));
        assert_eq!(filled.unwrap(), "s3://b/state=tamil nadu/dname=chennai/chennai.parquet");
    }

    #[test]
    fn values_cannot_leave_their_segment() {
        for bad in ["..", "a/../b", "a/b", "A", "é", "", " ", "a%2f", "{dname}", "a?b", "a*", ".hidden", "a\\b", "a\0"]
        {
            let error = fill(TEMPLATE, &parameters(&[("statename", bad), ("dname", "x")])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{bad}");
        }
    }

    #[test]
    fn missing_and_unknown_parameters_are_named() {
        let missing = fill(TEMPLATE, &parameters(&[("statename", "x")])).unwrap_err();
        assert_eq!(missing.message(), "parameter `dname` is missing");
        let unknown =
            fill(TEMPLATE, &parameters(&[("statename", "x"), ("dname", "y"), ("pagesize", "1")])).unwrap_err();
        assert_eq!(unknown.message(), "there is no parameter `pagesize`");
    }

    #[test]
    fn pages_begin_at_one_and_are_bounded() {
        assert_eq!(page_and_size(&parameters(&[]), 10_000).unwrap(), (1, 100));
        for bad in [("page", "0"), ("page", "-1"), ("page_size", "0"), ("page_size", "10001"), ("page", "x")] {
            assert!(page_and_size(&parameters(&[bad]), 10_000).is_err(), "{bad:?}");
        }
    }
}
