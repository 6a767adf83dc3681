//! DataFusion's errors as ours. The only file that looks into them.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::{
    common::{DataFusionError, SchemaError},
    parquet::errors::ParquetError,
};
use lakebed_types::{Error, ErrorKind};

use crate::memory::{QUERY_MAY, SERVER_MAY};

/// Where the engine's own message about its internals ends up: the log, by query id.
const INTERNAL: &str = "the engine failed on this statement";

/// Turns an error of the engine into ours.
pub(crate) fn from_engine(error: DataFusionError) -> Error {
    if let Some(ours) = find_ours(&error) {
        return ours;
    }
    if let Some(store) = lakebed_storage::classify_chain(&error, &"the table's files") {
        return store;
    }
    if let Some(parquet) = find_parquet(&error) {
        return parquet;
    }
    by_kind(error)
}

/// Turns an error of Arrow's kernels into ours.
pub(crate) fn from_arrow(error: ArrowError) -> Error {
    from_engine(DataFusionError::from(error))
}

/// Whether the engine ran out of memory, where another plan may help.
pub(crate) fn is_out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(text) if !is_disk(text))
}

fn is_disk(text: &str) -> bool {
    text.contains("disk space during the spilling")
}

fn spilled_too_much(text: String) -> Error {
    Error::new(ErrorKind::SpillExhausted, "all queries together spilled more to disk than `query.spill`")
        .with_hint("Filter earlier, select fewer columns, or try again later.")
        .with_source(text)
}

/// An error of ours that travelled through the engine.
fn find_ours(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return Some(copy(ours));
        }
        cause = match current.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::Shared(shared)) => Some(shared.as_ref()),
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            _ => below(current),
        };
    }
    None
}

/// The cause of an error. One of the system's own wraps names what lies below that as its cause, and passes it over.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The same error once more; its causes only as text.
pub(crate) fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_source(format!("{error:?}"));
    let copy = match error.retry_after() {
        Some(wait) => copy.with_retry_after(wait),
        None => copy,
    };
    match error.hint() {
        Some(hint) => copy.with_hint(hint),
        None => copy,
    }
}

fn find_parquet(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        let parquet = current.downcast_ref::<ParquetError>().filter(|e| !matches!(e, ParquetError::External(_)));
        if let Some(parquet) = parquet {
            let text = format!("a Parquet file is damaged: {}", lower_first(&parquet.to_string()));
            return Some(
                Error::new(ErrorKind::CorruptFile, text).with_hint("Crawl the table again, or replace the file."),
            );
        }
        cause = current.source();
    }
    None
}

fn by_kind(error: DataFusionError) -> Error {
    let text = plain(&error);
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::SQL(..) => Error::new(ErrorKind::SyntaxError, text),
        DataFusionError::Plan(_) => plan_error(text),
        DataFusionError::NotImplemented(_) => Error::new(ErrorKind::Unsupported, text),
        DataFusionError::Configuration(_) => Error::new(ErrorKind::InvalidQuery, text),
        DataFusionError::ResourcesExhausted(detail) if is_disk(detail) => spilled_too_much(text),
        // The engine's own words from where it writes.
        _ if is_disk(&text) => spilled_too_much(text),
        DataFusionError::ResourcesExhausted(_) => Error::new(ErrorKind::MemoryExhausted, memory_text(&text))
            .with_hint("Filter earlier, select fewer columns, or join fewer rows at once."),
        DataFusionError::Execution(_) => Error::new(ErrorKind::InvalidValue, text),
        DataFusionError::ArrowError(arrow, _) => arrow_error(arrow, text),
        DataFusionError::IoError(io) => Error::new(ErrorKind::DiskFailed, format!("a local disk failed: {io}")),
        _ => Error::internal(INTERNAL).with_source(error),
    }
}

/// The pool's own sentence, without what operators wrap around it.
fn memory_text(text: &str) -> String {
    let own = [QUERY_MAY, SERVER_MAY].iter().find_map(|start| text.find(start));
    own.map_or(text, |at| &text[at..]).to_owned()
}

fn schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<String> = valid_fields.iter().map(|column| column.name.clone()).collect();
            let error = Error::new(ErrorKind::UnknownColumn, format!("there is no column `{}`", field.flat_name()));
            match nearest(&field.name, names.iter().map(String::as_str)) {
                Some(name) => error.with_hint(format!("Did you mean `{name}`?")),
                None if names.is_empty() => error,
                None => error.with_hint(format!("There are: {}.", some_of(&names))),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(ErrorKind::InvalidQuery, format!("column `{}` is ambiguous", field.name))
                .with_hint("Put the table's name or alias before it.")
        }
        other => Error::new(ErrorKind::InvalidQuery, lower_first(&other.to_string())),
    }
}

fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

fn plan_error(text: String) -> Error {
    let kind = if text.to_ascii_lowercase().starts_with("invalid function") {
        ErrorKind::UnknownColumn
    } else {
        ErrorKind::InvalidQuery
    };
    match text.split_once('\n') {
        Some((message, hint)) => {
            let hint = hint.trim().replace('\n', " ");
            Error::new(kind, message.trim_end_matches(['.', ' '])).with_hint(hint)
        }
        None => Error::new(kind, text),
    }
}

fn arrow_error(error: &ArrowError, text: String) -> Error {
    match error {
        ArrowError::DivideByZero => Error::new(ErrorKind::InvalidValue, "division by zero"),
        ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::ComputeError(_)
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::InvalidArgumentError(_)
        | ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::OffsetOverflowError(_) => Error::new(ErrorKind::InvalidValue, text),
        ArrowError::SchemaError(_) => Error::new(ErrorKind::InvalidQuery, text),
        ArrowError::NotYetImplemented(_) => Error::new(ErrorKind::Unsupported, text),
        ArrowError::IoError(..) => Error::new(ErrorKind::DiskFailed, text),
        _ => Error::internal(INTERNAL).with_source(text),
    }
}

/// The innermost message without the engine's prefixes and backtrace, in our style.
fn plain(error: &DataFusionError) -> String {
    let root = error.find_root();
    let text = match root {
        DataFusionError::ArrowError(arrow, _) => arrow.to_string(),
        other => other.message().into_owned(),
    };
    let text = text.split("\n\nbacktrace").next().unwrap_or_default();
    let prefixes =
        ["Invalid argument error: ", "Compute error: ", "Cast error: ", "Parser error: ", "Error during planning: "];
    let text = prefixes.iter().fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    lower_first(text.trim_end_matches(['.', ' ', '\n']))
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        // An acronym keeps its capitals.
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// The name nearest to `wanted`, where one is near enough to be meant.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let allowed = (wanted.chars().count() / 3).max(1);
    let distance = |name: &'a str| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), name);
    names.into_iter().map(distance).filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn our_errors_come_back_through_the_engine() {
        let ours = Error::new(ErrorKind::SchemaConflict, "column `a` of x.csv").with_hint("Declare it.");
        let wrapped = DataFusionError::Shared(Arc::new(DataFusionError::External(Box::new(ours)).context("scan")));
        let back = from_engine(wrapped);
        assert_eq!((back.kind(), back.message()), (ErrorKind::SchemaConflict, "column `a` of x.csv"));
        assert_eq!(back.hint(), Some("Declare it."));
    }

    #[test]
    fn kernels_fail_with_invalid_value() {
        let error = from_arrow(ArrowError::DivideByZero);
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidValue, "division by zero"));
        let error = from_arrow(ArrowError::CastError("Cannot cast string 'x' to value of Int64 type".into()));
        assert_eq!(error.message(), "cannot cast string 'x' to value of Int64 type");
    }

    #[test]
    fn near_names_are_found_and_far_ones_not() {
        assert_eq!(nearest("vendorid", ["fare", "vendor_id"]), Some("vendor_id"));
        assert_eq!(nearest("x", ["fare", "vendor_id"]), None);
    }
}
