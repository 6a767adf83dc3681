//! Arrow types and their SQL names, one table for every API.

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

use crate::Error;

/// The SQL name of an Arrow type: `BIGINT`, `VARCHAR`, `DECIMAL(12,2)`, `TIMESTAMP WITH TIME ZONE`,
/// `ARRAY<BIGINT>`, `STRUCT<a BIGINT, b VARCHAR>`, `MAP<VARCHAR, BIGINT>`.
pub fn sql_type_name(data_type: &DataType) -> String {
    use DataType as D;
    match data_type {
        D::Null => "NULL".into(),
        D::Boolean => "BOOLEAN".into(),
        D::Int8 => "TINYINT".into(),
        D::Int16 => "SMALLINT".into(),
        D::Int32 => "INTEGER".into(),
        D::Int64 => "BIGINT".into(),
        D::UInt8 => "UTINYINT".into(),
        D::UInt16 => "USMALLINT".into(),
        D::UInt32 => "UINTEGER".into(),
        D::UInt64 => "UBIGINT".into(),
        D::Float16 | D::Float32 => "REAL".into(),
        D::Float64 => "DOUBLE".into(),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => "VARCHAR".into(),
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => "VARBINARY".into(),
        D::Date32 | D::Date64 => "DATE".into(),
        D::Time32(_) | D::Time64(_) => "TIME".into(),
        D::Timestamp(_, None) => "TIMESTAMP".into(),
        D::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        D::Duration(_) => "DURATION".into(),
        D::Interval(_) => "INTERVAL".into(),
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            format!("DECIMAL({p},{s})")
        }
        D::List(item) | D::LargeList(item) | D::ListView(item) | D::LargeListView(item) | D::FixedSizeList(item, _) => {
            format!("ARRAY<{}>", sql_type_name(item.data_type()))
        }
        D::Struct(fields) => format!("STRUCT<{}>", field_list(fields)),
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", sql_type_name(fields[0].data_type()), sql_type_name(fields[1].data_type()))
            }
            other => format!("MAP<{}>", sql_type_name(other)),
        },
        D::Dictionary(_, values) => sql_type_name(values),
        D::RunEndEncoded(_, values) => sql_type_name(values.data_type()),
        D::Union(_, _) => "UNION".into(),
    }
}

fn field_list(fields: &Fields) -> String {
    let one = |field: &std::sync::Arc<Field>| format!("{} {}", field.name(), sql_type_name(field.data_type()));
    fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Reads a scalar SQL type name, with the synonyms of Athena, DuckDB and Hive: `bigint`, `string`,
/// `varchar(10)`, `decimal(12,2)`, `timestamp with time zone`.
///
/// # Errors
/// `invalid_request` if the name is not known, or a precision is out of range.
pub fn parse_sql_type(name: &str) -> Result<DataType, Error> {
    let lower = name.trim().to_ascii_lowercase();
    let (base, arguments) = match lower.split_once('(') {
        Some((base, rest)) => (base.trim(), rest.trim_end().trim_end_matches(')').to_owned()),
        None => (lower.as_str(), String::new()),
    };
    Ok(match base {
        "boolean" | "bool" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "integer" | "int" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "utinyint" => DataType::UInt8,
        "usmallint" => DataType::UInt16,
        "uinteger" => DataType::UInt32,
        "ubigint" => DataType::UInt64,
        "real" | "float" => DataType::Float32,
        "double" | "double precision" => DataType::Float64,
        "varchar" | "string" | "text" | "char" => DataType::Utf8,
        "varbinary" | "binary" | "blob" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp with time zone" | "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "decimal" | "numeric" => return parse_decimal(name, &arguments),
        _ => return Err(unknown(name)),
    })
}

fn parse_decimal(name: &str, arguments: &str) -> Result<DataType, Error> {
    let mut numbers = arguments.split(',').map(str::trim).filter(|part| !part.is_empty());
    let precision = numbers.next().map_or(Ok(38), str::parse::<u8>).map_err(|_| unknown(name))?;
    let scale = numbers.next().map_or(Ok(0), str::parse::<i8>).map_err(|_| unknown(name))?;
    if !(1..=38).contains(&precision) || scale < 0 || scale as u8 > precision {
        return Err(unknown(name));
    }
    Ok(DataType::Decimal128(precision, scale))
}

fn unknown(name: &str) -> Error {
    Error::invalid_request(format!("`{}` is not a known type", name.escape_debug()))
        .with_hint("Use a SQL type such as BIGINT, DOUBLE, DECIMAL(12,2), VARCHAR, DATE or TIMESTAMP.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_names_read_back() {
        for name in [
            "BOOLEAN",
            "TINYINT",
            "BIGINT",
            "UBIGINT",
            "REAL",
            "DOUBLE",
            "VARCHAR",
            "VARBINARY",
            "DATE",
            "TIME",
            "TIMESTAMP",
            "TIMESTAMP WITH TIME ZONE",
            "DECIMAL(12,2)",
            "INTERVAL",
        ] {
            assert_eq!(sql_type_name(&parse_sql_type(name).unwrap()), name);
        }
        assert!(parse_sql_type("decimal(99,2)").is_err());
        assert!(parse_sql_type("geometry").is_err());
    }
}
