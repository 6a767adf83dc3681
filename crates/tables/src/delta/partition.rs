//! Partition values as texts, and paths of data files.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::DataType,
};
use lakebed_types::{Error, ErrorKind, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a path in the log keeps as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'=').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Types of partition columns whose texts are the same everywhere.
pub(super) fn check_type(name: &str, data_type: &DataType) -> Result<()> {
    let good = data_type.is_integer() || matches!(data_type, DataType::Date32 | DataType::Utf8 | DataType::Boolean);
    match good {
        true => Ok(()),
        false => {
            Err(Error::new(ErrorKind::Unsupported, format!("a table cannot be partitioned by `{name}`, a {data_type}"))
                .with_hint("Partition by a date, a whole number, a text or a truth value."))
        }
    }
}

/// One row's partition value, as the log has it.
pub(super) fn text_at(values: &ArrayRef, row: usize) -> Result<Option<String>> {
    if values.is_null(row) {
        return Ok(None);
    }
    let one = cast(&values.slice(row, 1), &DataType::Utf8)
        .map_err(|error| Error::internal("a partition value has no text").with_source(error))?;
    // An empty text means NULL there.
    Ok(one.as_string_opt::<i32>().map(|text| text.value(0).to_owned()).filter(|text| !text.is_empty()))
}

/// The folder of a partition. Values that would need escaping stand in the log alone.
pub(super) fn folder(column: &str, value: Option<&str>) -> String {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match value {
        Some(value) if plain(column) && plain(value) && value.len() <= 128 => format!("{column}={value}/"),
        None if plain(column) => format!("{column}=__HIVE_DEFAULT_PARTITION__/"),
        _ => String::new(),
    }
}

/// A path as the log writes it.
pub(super) fn encoded(path: &str) -> String {
    utf8_percent_encode(path, KEPT).to_string()
}

/// A path of the log below the table's folder.
pub(super) fn decoded(path: &str) -> Result<Cow<'_, str>> {
    if path.starts_with('/') || path.contains("://") {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("the Delta log names a file outside its table: {path}"),
        )
        .with_hint("Shallow clones cannot be read."));
    }
    percent_decode_str(path).decode_utf8().map_err(|error| {
        Error::new(ErrorKind::CorruptFile, format!("the Delta log has a path that is no text: {path}"))
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for path in ["date=2024-01-01/a b.parquet", "ä%.parquet", "x=1/y~z.parquet"] {
            assert_eq!(decoded(&encoded(path)).unwrap(), path);
        }
        assert_eq!(encoded("date=2024-01-01/a.parquet"), "date=2024-01-01/a.parquet");
        assert!(decoded("s3://b/x").is_err() && decoded("/x").is_err());
    }

    #[test]
    fn values_that_need_escaping_are_no_folder() {
        assert_eq!(folder("date", Some("2024-01-01")), "date=2024-01-01/");
        assert_eq!(folder("date", Some("../x")), "");
        assert_eq!(folder("date", None), "date=__HIVE_DEFAULT_PARTITION__/");
    }
}
