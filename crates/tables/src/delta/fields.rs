//! Columns as Delta knows them: which Arrow types a table can hold, and its schema as JSON.

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use lakebed_types::{Error, ErrorKind, Result};
use serde_json::{Value, json};

/// Characters that Delta keeps out of column names, and the comma that we list names with.
const FORBIDDEN: [char; 11] = [' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=', '\r'];
const UTC: &str = "UTC";

/// Columns of a table, at most: they stay for good, and each file and each plan has all of them.
const MAX_COLUMNS: usize = 10_000;

/// Whether a table may have so many columns.
///
/// # Errors
/// `invalid_request` where it may not.
pub(super) fn check_count(columns: usize) -> Result<()> {
    match columns <= MAX_COLUMNS {
        true => Ok(()),
        false => {
            let message = format!("the table would have {columns} columns; at most {MAX_COLUMNS} are allowed");
            Err(Error::invalid_request(message)
                .with_hint("Are names of fields values? Keep such fields in one JSON column."))
        }
    }
}

/// The columns as a Delta table holds them: unsigned integers one width up, times of day refused, timestamps in
/// microseconds (in UTC where they have a zone), strings and lists in their plain form, everything nullable.
///
/// # Errors
/// `unsupported` for a type that Delta does not have, `invalid_request` for a name, at any depth, that it does not take or
/// that is there twice, whatever its case.
pub fn lake_schema(schema: &Schema) -> Result<SchemaRef> {
    check_count(schema.fields().len())?;
    check_names(schema.fields())?;
    let field = |field: &Arc<Field>| {
        let data_type =
            lake_type(field.data_type()).map_err(|error| error.context(format!("column `{}`", field.name())))?;
        Ok(Field::new(field.name(), data_type, true))
    };
    Ok(Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Result<Vec<_>>>()?)))
}

fn check_names(fields: &Fields) -> Result<()> {
    let mut names = HashSet::new();
    for field in fields {
        check_name(field.name())?;
        if !names.insert(field.name().to_lowercase()) {
            return Err(Error::invalid_request(format!("there are two columns `{}`", field.name())));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if !name.is_empty() && !name.contains(FORBIDDEN) {
        return Ok(());
    }
    Err(Error::invalid_request(format!("`{}` is no name for a column", name.escape_debug()))
        .with_hint("Spaces, line ends and any of `,;{}()=` cannot be in a column's name."))
}

fn lake_type(data_type: &DataType) -> Result<DataType> {
    use DataType as D;
    Ok(match data_type {
        D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 => D::Int64,
        D::UInt64 => D::Decimal128(20, 0),
        D::Float16 => D::Float32,
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Null => D::Utf8,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        D::Date32 | D::Date64 => D::Date32,
        D::Timestamp(_, None) => D::Timestamp(TimeUnit::Microsecond, None),
        D::Timestamp(_, Some(_)) => D::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        D::Decimal32(precision, scale) | D::Decimal64(precision, scale) => D::Decimal128(*precision, *scale),
        D::Decimal256(precision, scale) if *precision <= 38 => D::Decimal128(*precision, *scale),
        D::List(item) | D::LargeList(item) | D::ListView(item) | D::LargeListView(item) | D::FixedSizeList(item, _) => {
            D::List(Arc::new(Field::new("element", lake_type(item.data_type())?, true)))
        }
        D::Struct(fields) => D::Struct(lake_fields(fields)?),
        D::Map(entries, _) => map_type(entries)?,
        D::Dictionary(_, values) => lake_type(values)?,
        D::RunEndEncoded(_, values) => lake_type(values.data_type())?,
        D::Boolean | D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 | D::Decimal128(..) => {
            data_type.clone()
        }
        other => {
            return Err(Error::new(ErrorKind::Unsupported, format!("a Delta table cannot hold the type {other}"))
                .with_hint("Keep it as a text or a number."));
        }
    })
}

fn lake_fields(fields: &Fields) -> Result<Fields> {
    check_names(fields)?;
    let field = |field: &Arc<Field>| Ok(Field::new(field.name(), lake_type(field.data_type())?, true));
    fields.iter().map(field).collect::<Result<Vec<_>>>().map(Fields::from)
}

fn map_type(entries: &Field) -> Result<DataType> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::new(ErrorKind::Unsupported, "a map without keys and values"));
    };
    let [key, value] = fields.as_ref() else {
        return Err(Error::new(ErrorKind::Unsupported, "a map without keys and values"));
    };
    Ok(map_of(lake_type(key.data_type())?, lake_type(value.data_type())?))
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let pair = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair), false)), false)
}

/// Delta's `schemaString`.
pub(super) fn to_json(schema: &Schema) -> Result<String> {
    Ok(struct_json(schema.fields())?.to_string())
}

fn struct_json(fields: &Fields) -> Result<Value> {
    let fields = fields.iter().map(|field| field_json(field)).collect::<Result<Vec<Value>>>()?;
    Ok(json!({"type": "struct", "fields": fields}))
}

fn field_json(field: &Field) -> Result<Value> {
    let data_type = type_json(field.data_type())?;
    Ok(json!({"name": field.name(), "type": data_type, "nullable": field.is_nullable(), "metadata": {}}))
}

/// A `schemaString` with more columns at its end. Those that are there stay as they were written, with all that other
/// programs have noted of them.
pub(super) fn with_columns(text: &str, new: &[Field]) -> Result<String> {
    let mut schema = parse(text)?;
    let new = new.iter().map(field_json).collect::<Result<Vec<Value>>>()?;
    match schema.get_mut("fields").and_then(Value::as_array_mut) {
        Some(fields) => fields.extend(new),
        None => return Err(unknown(&schema)),
    }
    Ok(schema.to_string())
}

fn type_json(data_type: &DataType) -> Result<Value> {
    use DataType as D;
    let word = match data_type {
        D::Boolean => "boolean",
        D::Int8 => "byte",
        D::Int16 => "short",
        D::Int32 => "integer",
        D::Int64 => "long",
        D::Float32 => "float",
        D::Float64 => "double",
        D::Utf8 => "string",
        D::Binary => "binary",
        D::Date32 => "date",
        D::Timestamp(TimeUnit::Microsecond, None) => "timestamp_ntz",
        D::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp",
        D::Decimal128(precision, scale) => return Ok(json!(format!("decimal({precision},{scale})"))),
        D::Struct(fields) => return struct_json(fields),
        D::List(item) => {
            let element = type_json(item.data_type())?;
            return Ok(json!({"type": "array", "elementType": element, "containsNull": true}));
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(pair) if pair.len() == 2 => {
                let (key, value) = (type_json(pair[0].data_type())?, type_json(pair[1].data_type())?);
                return Ok(json!({"type": "map", "keyType": key, "valueType": value, "valueContainsNull": true}));
            }
            _ => return Err(not_in_delta(data_type)),
        },
        _ => return Err(not_in_delta(data_type)),
    };
    Ok(json!(word))
}

fn not_in_delta(data_type: &DataType) -> Error {
    Error::internal(format!("{data_type} was not brought into a type of Delta"))
}

/// Delta's `schemaString` as JSON.
pub(super) fn parse(text: &str) -> Result<Value> {
    let unreadable =
        |source| Error::new(ErrorKind::CorruptFile, "the columns of the Delta log cannot be read").with_source(source);
    serde_json::from_str(text).map_err(unreadable)
}

/// The columns of a `schemaString`, in its order.
pub(super) fn from_value(schema: &Value) -> Result<Schema> {
    Ok(Schema::new(struct_fields(schema)?))
}

fn struct_fields(value: &Value) -> Result<Fields> {
    let fields = value.get("fields").and_then(Value::as_array).ok_or_else(|| unknown(value))?;
    let field = |field: &Value| {
        let name = field.get("name").and_then(Value::as_str).ok_or_else(|| unknown(field))?;
        let data_type = from_type(field.get("type").ok_or_else(|| unknown(field))?)?;
        Ok(Field::new(name, data_type, true))
    };
    fields.iter().map(field).collect::<Result<Vec<_>>>().map(Fields::from)
}

fn from_type(value: &Value) -> Result<DataType> {
    use DataType as D;
    let part = |name: &str| from_type(value.get(name).ok_or_else(|| unknown(value))?);
    if let Some(word) = value.as_str() {
        return from_word(word).ok_or_else(|| unknown(value));
    }
    match value.get("type").and_then(Value::as_str) {
        Some("struct") => Ok(D::Struct(struct_fields(value)?)),
        Some("array") => Ok(D::List(Arc::new(Field::new("element", part("elementType")?, true)))),
        Some("map") => Ok(map_of(part("keyType")?, part("valueType")?)),
        _ => Err(unknown(value)),
    }
}

fn from_word(word: &str) -> Option<DataType> {
    use DataType as D;
    Some(match word {
        "boolean" => D::Boolean,
        "byte" => D::Int8,
        "short" => D::Int16,
        "integer" => D::Int32,
        "long" => D::Int64,
        "float" => D::Float32,
        "double" => D::Float64,
        "string" => D::Utf8,
        "binary" => D::Binary,
        "date" => D::Date32,
        "timestamp" => D::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        "timestamp_ntz" => D::Timestamp(TimeUnit::Microsecond, None),
        other => {
            let (precision, scale) = other.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            D::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
        }
    })
}

fn unknown(value: &Value) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the Delta log has a column type that is not known: {value}"))
}

/// Whether a column needs the table feature `timestampNtz`.
pub(super) fn needs_ntz(fields: &Fields) -> bool {
    fields.iter().any(|field| is_ntz(field.data_type()))
}

fn is_ntz(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, None) => true,
        DataType::Struct(fields) => needs_ntz(fields),
        DataType::List(item) => is_ntz(item.data_type()),
        DataType::Map(entries, _) => is_ntz(entries.data_type()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_reads_back() {
        let given = Schema::new(vec![
            Field::new("a", DataType::UInt32, false),
            Field::new("b", DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())), true),
            Field::new("c", DataType::Timestamp(TimeUnit::Second, None), true),
            Field::new("d", DataType::Decimal128(12, 2), true),
            Field::new("e", DataType::new_list(DataType::Utf8View, true), true),
            Field::new("f", DataType::Struct(vec![Field::new("x", DataType::Date64, true)].into()), true),
            Field::new("g", map_of(DataType::Utf8, DataType::Int8), true),
        ]);
        let lake = lake_schema(&given).unwrap();
        assert_eq!(lake.field(0).data_type(), &DataType::Int64);
        assert_eq!(from_value(&parse(&to_json(&lake).unwrap()).unwrap()).unwrap(), *lake);
        assert!(needs_ntz(lake.fields()));
    }

    #[test]
    fn names_and_types_that_delta_does_not_have_are_refused() {
        let one = |name: &str, data_type| Schema::new(vec![Field::new(name, data_type, true)]);
        assert!(lake_schema(&one("a b", DataType::Int8)).is_err());
        assert!(lake_schema(&one("t", DataType::Time64(TimeUnit::Microsecond))).is_err());
        let twice = Schema::new(vec![Field::new("a", DataType::Int8, true), Field::new("A", DataType::Int8, true)]);
        assert!(lake_schema(&twice).is_err());
        let inside = |names: [&str; 2]| {
            let fields = names.map(|name| Field::new(name, DataType::Int8, true));
            one("s", DataType::new_list(DataType::Struct(fields.to_vec().into()), true))
        };
        assert!(lake_schema(&inside(["a", "b"])).is_ok());
        assert!(lake_schema(&inside(["a", "b c"])).is_err());
        assert!(lake_schema(&inside(["a", "A"])).is_err());
    }

    #[test]
    fn a_table_has_no_columns_without_end() {
        let many = |count| {
            Schema::new((0..count).map(|n| Field::new(format!("c{n}"), DataType::Int8, true)).collect::<Vec<_>>())
        };
        assert!(lake_schema(&many(MAX_COLUMNS)).is_ok());
        let error = lake_schema(&many(MAX_COLUMNS + 1)).unwrap_err();
        assert_eq!(error.message(), "the table would have 10001 columns; at most 10000 are allowed");
    }

    #[test]
    fn columns_of_other_programs_stay_as_they_wrote_them() {
        let theirs = json!({"type": "struct", "fields": [{
            "name": "tags",
            "type": {"type": "array", "elementType": "string", "containsNull": false},
            "nullable": true,
            "metadata": {"comment": "theirs", "unit": 3},
        }]});
        let more = with_columns(&theirs.to_string(), &[Field::new("n", DataType::Int64, true)]).unwrap();
        let more = parse(&more).unwrap();
        assert_eq!(more["fields"][0], theirs["fields"][0]);
        assert_eq!(from_value(&more).unwrap().field(1), &Field::new("n", DataType::Int64, true));
    }
}
