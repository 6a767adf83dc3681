//! The SQL types, as ODBC and JDBC drivers ask for them.

use arrow_flight::sql::{
    Nullable, Searchable, XdbcDataType as X, XdbcDatetimeSubcode as S,
    metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
};
use lakebed_types::Result;

use super::failed;

/// Characters of a text, as far as drivers can count.
const LONGEST: i32 = i32::MAX;

/// All types.
///
/// # Errors
/// `internal`.
pub(crate) fn all() -> Result<XdbcTypeInfoData> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    [numbers(), texts(), times(), nested()].into_iter().flatten().for_each(|one| types.append(one));
    types.build().map_err(|error| failed(&error))
}

fn plain(name: &str, data_type: X, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        auto_increment: Some(false),
        local_type_name: Some(name.to_owned()),
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    }
}

fn numbers() -> Vec<XdbcTypeInfo> {
    let whole = |name: &str, data_type, digits, unsigned| XdbcTypeInfo {
        unsigned_attribute: Some(unsigned),
        fixed_prec_scale: true,
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        num_prec_radix: Some(10),
        ..plain(name, data_type, digits)
    };
    let float = |name: &str, data_type, bits| XdbcTypeInfo {
        unsigned_attribute: Some(false),
        num_prec_radix: Some(2),
        ..plain(name, data_type, bits)
    };
    let decimal = XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        unsigned_attribute: Some(false),
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        num_prec_radix: Some(10),
        ..plain("DECIMAL", X::XdbcDecimal, 38)
    };
    vec![
        XdbcTypeInfo { unsigned_attribute: None, ..plain("BOOLEAN", X::XdbcBit, 1) },
        whole("TINYINT", X::XdbcTinyint, 3, false),
        whole("SMALLINT", X::XdbcSmallint, 5, false),
        whole("INTEGER", X::XdbcInteger, 10, false),
        whole("BIGINT", X::XdbcBigint, 19, false),
        whole("UTINYINT", X::XdbcTinyint, 3, true),
        whole("USMALLINT", X::XdbcSmallint, 5, true),
        whole("UINTEGER", X::XdbcInteger, 10, true),
        whole("UBIGINT", X::XdbcBigint, 20, true),
        float("REAL", X::XdbcReal, 24),
        float("DOUBLE", X::XdbcDouble, 53),
        decimal,
    ]
}

fn texts() -> Vec<XdbcTypeInfo> {
    let quoted = |one: XdbcTypeInfo, prefix: &str| XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..one
    };
    let varchar = XdbcTypeInfo { case_sensitive: true, ..plain("VARCHAR", X::XdbcVarchar, LONGEST) };
    vec![quoted(varchar, "'"), quoted(plain("VARBINARY", X::XdbcVarbinary, LONGEST), "X'")]
}

fn times() -> Vec<XdbcTypeInfo> {
    let time = |name: &str, data_type, size, code, word: &str| XdbcTypeInfo {
        literal_prefix: Some(format!("{word} '")),
        literal_suffix: Some("'".to_owned()),
        sql_data_type: X::XdbcDatetime,
        datetime_subcode: code,
        ..plain(name, data_type, size)
    };
    let zoned =
        time("TIMESTAMP WITH TIME ZONE", X::XdbcTimestamp, 35, Some(S::XdbcSubcodeTimestampWithTimezone), "TIMESTAMP");
    let interval = XdbcTypeInfo {
        literal_prefix: Some("INTERVAL '".to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..plain("INTERVAL", X::XdbcInterval, 64)
    };
    vec![
        // The code for dates has the same number as the one for years.
        time("DATE", X::XdbcDate, 10, Some(S::XdbcSubcodeYear), "DATE"),
        time("TIME", X::XdbcTime, 18, Some(S::XdbcSubcodeTime), "TIME"),
        time("TIMESTAMP", X::XdbcTimestamp, 29, Some(S::XdbcSubcodeTimestamp), "TIMESTAMP"),
        zoned,
        interval,
    ]
}

fn nested() -> Vec<XdbcTypeInfo> {
    let unsearchable = |name: &str| XdbcTypeInfo {
        searchable: Searchable::None,
        column_size: None,
        ..plain(name, X::XdbcUnknownType, 0)
    };
    ["ARRAY", "STRUCT", "MAP"].map(unsearchable).into()
}
