//! Column types from values: what a column's texts have in common.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::{
    json,
    span::{Form, Malformed, Span},
    values::{self, Class},
};

/// Texts that mean NULL in a column whose other values are no text.
const NULL_TEXTS: [&str; 5] = ["NA", "N/A", "NULL", "null", "\\N"];
/// An object with more members than this has data for names: it is read as JSON text.
const MAX_NESTED_MEMBERS: usize = 200;
/// Values nested deeper than this are read as JSON text.
const MAX_DEPTH: usize = 8;
/// Columns of a table at most.
pub(super) const MAX_COLUMNS: usize = 10_000;

/// Everything that was seen in a column, as one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    seen: u16,
    /// One bit for each of [`NULL_TEXTS`].
    null_texts: u8,
}

const BOOLEAN: u16 = 1;
const INTEGER: u16 = 2;
const HUGE_INTEGER: u16 = 4;
const FLOAT: u16 = 8;
const DATE: u16 = 16;
const TIMESTAMP: u16 = 32;
const TEXT: u16 = 64;
/// Marks on timestamps.
const ZONED: u16 = 128;
const NANOSECONDS: u16 = 256;

impl Evidence {
    /// A value of a CSV file. Empty ones say nothing.
    pub fn add(&mut self, text: &[u8]) {
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            return;
        }
        match NULL_TEXTS.iter().position(|null| null.as_bytes() == trimmed) {
            Some(index) => self.null_texts |= 1 << index,
            None => self.add_class(values::classify(trimmed)),
        }
    }

    fn add_class(&mut self, class: Class) {
        self.seen |= match class {
            Class::Boolean => BOOLEAN,
            Class::Integer => INTEGER,
            Class::HugeInteger => HUGE_INTEGER,
            Class::Float => FLOAT,
            Class::Date => DATE,
            Class::Timestamp { zoned, nanoseconds } => {
                TIMESTAMP | if zoned { ZONED } else { 0 } | if nanoseconds { NANOSECONDS } else { 0 }
            }
            Class::Text => TEXT,
        };
    }

    /// Also what the other part of the column showed.
    pub fn merge(&mut self, other: Evidence) {
        self.seen |= other.seen;
        self.null_texts |= other.null_texts;
    }

    /// Whether no value was seen that is not a NULL text.
    pub fn is_empty(&self) -> bool {
        self.seen == 0
    }

    /// The narrowest type that every value fits; `Null` if there was none.
    pub fn data_type(&self) -> DataType {
        match self.seen & !(ZONED | NANOSECONDS) {
            0 => DataType::Null,
            BOOLEAN => DataType::Boolean,
            INTEGER => DataType::Int64,
            seen if seen & FLOAT != 0 && seen & !(FLOAT | INTEGER | HUGE_INTEGER) == 0 => DataType::Float64,
            DATE => DataType::Date32,
            seen if seen & TIMESTAMP != 0 && seen & !(TIMESTAMP | DATE) == 0 => {
                let unit = if self.seen & NANOSECONDS != 0 { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
                DataType::Timestamp(unit, (self.seen & ZONED != 0).then(|| "UTC".into()))
            }
            _ => DataType::Utf8,
        }
    }
}

/// The types of a CSV file's columns, and the texts that mean NULL in those that are not VARCHAR.
///
/// `NA` in a column of texts is a text (Namibia). A column of nothing but such texts has no type if other columns use the
/// same text for NULL, and is VARCHAR otherwise.
pub(super) fn csv_types(columns: &[Evidence]) -> (Vec<DataType>, Vec<String>) {
    let is_typed = |column: &&Evidence| !matches!(column.data_type(), DataType::Null | DataType::Utf8);
    let nulls = columns.iter().filter(is_typed).fold(0, |nulls, column| nulls | column.null_texts);
    let data_type = |column: &Evidence| match column.data_type() {
        DataType::Null if column.null_texts & !nulls != 0 => DataType::Utf8,
        other => other,
    };
    let types = columns.iter().map(data_type).collect();
    let texts = NULL_TEXTS.iter().enumerate().filter(|(index, _)| nulls & (1 << index) != 0);
    (types, texts.map(|(_, text)| (*text).to_owned()).collect())
}

/// Everything that was seen under one name of JSON objects, or in one JSON array.
#[derive(Debug, Clone, Default)]
struct JsonEvidence {
    plain: Evidence,
    quoted: Evidence,
    object: Option<JsonMembers>,
    array: Option<Box<JsonEvidence>>,
    too_deep: bool,
}

/// The members of JSON objects, in the order of their first appearance.
#[derive(Debug, Clone, Default)]
pub(super) struct JsonMembers {
    members: Vec<(String, JsonEvidence)>,
    places: HashMap<String, usize>,
}

impl JsonMembers {
    /// An object of the file.
    pub fn add(&mut self, data: &[u8], object: Span) -> Result<(), Malformed> {
        self.add_at(data, object, 0)
    }

    fn add_at(&mut self, data: &[u8], object: Span, depth: usize) -> Result<(), Malformed> {
        json::members(data, object, |key, value| {
            let evidence = self.member(key_text(data, key)?);
            evidence.map_or(Ok(()), |evidence| evidence.add(data, value, depth))
        })
    }

    /// None where there are too many already.
    fn member(&mut self, name: String) -> Option<&mut JsonEvidence> {
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None if self.members.len() > MAX_COLUMNS => return None,
            None => {
                self.places.insert(name.clone(), self.members.len());
                self.members.push((name, JsonEvidence::default()));
                self.members.len() - 1
            }
        };
        self.members.get_mut(place).map(|(_, evidence)| evidence)
    }

    /// The columns of a table of such objects. All may be NULL.
    pub fn fields(&self) -> Vec<Field> {
        self.members.iter().map(|(name, evidence)| Field::new(name, evidence.data_type(), true)).collect()
    }
}

fn key_text(data: &[u8], key: Span) -> Result<String, Malformed> {
    let text = std::str::from_utf8(key.of(data)).map_err(|_| Malformed("is not UTF-8 text"))?;
    if key.form != Form::Escaped {
        return Ok(text.to_owned());
    }
    let unescaped = json::unescape(text).ok_or(Malformed("has a name with an escape that JSON does not know"))?;
    Ok(unescaped.into_owned())
}

impl JsonEvidence {
    fn add(&mut self, data: &[u8], value: Span, depth: usize) -> Result<(), Malformed> {
        match value.form {
            Form::Missing => {}
            Form::Plain => self.plain.add_class(values::classify(value.of(data))),
            // Numbers in quotes were meant to be texts; times have no other way to be written.
            Form::Quoted | Form::Escaped => self.quoted.add_class(match values::classify(value.of(data)) {
                time @ (Class::Date | Class::Timestamp { .. }) => time,
                _ => Class::Text,
            }),
            Form::Object | Form::Array if depth >= MAX_DEPTH => self.too_deep = true,
            Form::Object => self.object.get_or_insert_default().add_at(data, value, depth + 1)?,
            Form::Array => {
                let elements = self.array.get_or_insert_default();
                json::elements(data, value, |element| elements.add(data, element, depth + 1))?;
            }
        }
        Ok(())
    }

    /// Values of several kinds in one place are read as VARCHAR, as they are written.
    fn data_type(&self) -> DataType {
        let scalars = [self.plain, self.quoted].into_iter().filter(|evidence| !evidence.is_empty());
        match (scalars.collect::<Vec<_>>().as_slice(), &self.object, &self.array) {
            _ if self.too_deep => DataType::Utf8,
            ([], None, None) => DataType::Null,
            ([only], None, None) => only.data_type(),
            ([], Some(object), None) => struct_type(object),
            ([], None, Some(elements)) => {
                DataType::List(Field::new_list_field(known(elements.data_type()), true).into())
            }
            _ => DataType::Utf8,
        }
    }
}

fn struct_type(object: &JsonMembers) -> DataType {
    if object.members.is_empty() || object.members.len() > MAX_NESTED_MEMBERS {
        return DataType::Utf8;
    }
    let field = |(name, evidence): &(String, JsonEvidence)| Field::new(name, known(evidence.data_type()), true);
    DataType::Struct(object.members.iter().map(field).collect::<Fields>())
}

/// Inside other values, what is always NULL is VARCHAR.
fn known(data_type: DataType) -> DataType {
    if data_type == DataType::Null { DataType::Utf8 } else { data_type }
}
