//! One JSON row, looked at closely: what is wrong with it, which of its fields are no columns, and how it is written for
//! the decoder, which wants each field under the column's own name and a single value where the column has one.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use serde_json::Value;

use super::{UnknownFields, Wanted, json_text};

/// Bytes that a value takes while a row is looked at, about.
const VALUE_BYTES: u64 = 64;
/// Bytes of a value that a reason shows.
const SHOWN: usize = 64;

/// What there is to a row that is a good one so far.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The fields that are no columns.
    pub(super) unknown: Option<UnknownFields>,
    /// The row for the decoder, where that is not what was sent.
    pub(super) line: Option<String>,
}

/// The field that is to blame, where one is, and the reason.
type Wrong = (Option<String>, String);

/// Looks at one row.
pub(super) fn look(line: &[u8], wanted: &Wanted) -> Result<Looked, Wrong> {
    let value: Value = serde_json::from_slice(line).map_err(|error| (None, syntax(line, &error)))?;
    let Value::Object(fields) = value else {
        return Err((None, format!("{} is not a JSON object", kind(&value))));
    };
    let (mut as_sent, mut brought): (bool, HashMap<usize, &str>) = (true, HashMap::new());
    for (name, value) in &fields {
        let Some(place) = wanted.find(name) else {
            if wanted.strict {
                return Err((Some(name.clone()), "the table has no such column".to_owned()));
            }
            as_sent = false;
            continue;
        };
        let column = wanted.schema.field(place).name();
        as_sent &= name == column;
        if value.is_null() {
            continue;
        }
        if let Some(other) = brought.insert(place, name) {
            return Err((Some(name.clone()), two_fields(column, other)));
        }
        as_sent &= check(name, &wanted.types[place], value)?;
    }
    match (as_sent, std::str::from_utf8(line)) {
        (false, Ok(line)) => Ok(rewritten(line, wanted)),
        _ => Ok(Looked::default()),
    }
}

/// Bytes that the values of JSON text take while they are looked at, about and without their letters. Signs inside of
/// strings count too.
pub(super) fn value_bytes(text: &[u8]) -> u64 {
    let signs = text.iter().filter(|byte| matches!(**byte, b',' | b':' | b'[' | b'{')).count();
    VALUE_BYTES.saturating_mul(signs as u64)
}

/// What is said of a field whose column has a value by another one.
pub(crate) fn two_fields(column: &str, other: &str) -> String {
    format!("is the column `{}`, which the field `{}` is too", shown(column), shown(other))
}

/// serde says "line 1" of every row: only the column tells something.
fn syntax(line: &[u8], error: &serde_json::Error) -> String {
    if std::str::from_utf8(line).is_err() {
        return "is not UTF-8".to_owned();
    }
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("is not JSON: {what} at byte {}", error.column())
}

/// Whether the decoder can take the value as it is.
fn check(name: &str, column: &DataType, value: &Value) -> Result<bool, Wrong> {
    let wrong = |what: &str| Err((Some(name.to_owned()), format!("{} is not {what}", kind(value))));
    match (column, value) {
        (_, Value::Null) => Ok(true),
        (DataType::List(item), Value::Array(values)) => {
            all(values.iter().map(|value| check(name, item.data_type(), value)))
        }
        (DataType::List(_), _) => wrong("an array"),
        (DataType::Struct(fields), Value::Object(values)) => all(values.iter().map(|(inner, value)| {
            let path = format!("{name}.{inner}");
            match fields.find(inner) {
                Some((_, field)) => check(&path, field.data_type(), value),
                None => Err((Some(path), "the table has no such column".to_owned())),
            }
        })),
        (DataType::Map(..), Value::Object(values)) => match value_of_map(column) {
            Some(inner) => all(values.values().map(|value| check(name, inner, value))),
            None => Ok(true),
        },
        (DataType::Struct(_) | DataType::Map(..), _) => wrong("an object"),
        // It is kept as JSON text.
        (DataType::Utf8, Value::Array(_) | Value::Object(_)) => Ok(false),
        (_, Value::Array(_) | Value::Object(_)) => wrong("a single value"),
        _ => Ok(true),
    }
}

fn all(values: impl Iterator<Item = Result<bool, Wrong>>) -> Result<bool, Wrong> {
    let mut as_sent = true;
    for value in values {
        as_sent &= value?;
    }
    Ok(as_sent)
}

fn value_of_map(column: &DataType) -> Option<&DataType> {
    let DataType::Map(entries, _) = column else { return None };
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Some(fields[1].data_type()),
        _ => None,
    }
}

/// The row with its fields under their columns' names, and those that are no columns by themselves.
fn rewritten(line: &str, wanted: &Wanted) -> Looked {
    let (mut row, mut unknown) = (Vec::new(), UnknownFields::default());
    for (name, value) in json_text::fields(line) {
        match wanted.find(&name) {
            None => unknown.0.push((name, json_text::compact(value))),
            // Another field of this column may have a value.
            Some(_) if value == "null" => {}
            Some(place) => row.push((wanted.schema.field(place).name().clone(), written(value, &wanted.types[place]))),
        }
    }
    Looked { unknown: (!unknown.0.is_empty()).then_some(unknown), line: Some(object(&row)) }
}

/// A value for the decoder: JSON text stands where the column has a single value.
fn written(value: &str, column: &DataType) -> String {
    let of_map = value_of_map(column);
    match column {
        DataType::List(item) if value.starts_with('[') => {
            let items: Vec<_> = json_text::items(value).iter().map(|value| written(value, item.data_type())).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Struct(_) | DataType::Map(..) if value.starts_with('{') => {
            let member = |(name, value): (String, &str)| {
                let inner = match column {
                    DataType::Struct(fields) => fields.find(&name).map(|(_, field)| field.data_type()),
                    _ => of_map,
                };
                let value = inner.map_or_else(|| value.to_owned(), |inner| written(value, inner));
                (name, value)
            };
            object(&json_text::fields(value).into_iter().map(member).collect::<Vec<_>>())
        }
        _ if value.starts_with(['[', '{']) => Value::String(json_text::compact(value)).to_string(),
        _ => value.to_owned(),
    }
}

/// An object of names and values that are JSON.
pub(super) fn object(fields: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (place, (name, value)) in fields.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        text.push_str(&format!("{comma}{}:{value}", Value::from(name.as_str())));
    }
    text.push('}');
    text
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) => format!("`{}`", shown(text)),
    }
}

/// The beginning of a text, for a message.
pub(crate) fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN.min(text.len()));
    let dots = if end < text.len() { "…" } else { "" };
    format!("{}{dots}", text[..end].escape_debug())
}
