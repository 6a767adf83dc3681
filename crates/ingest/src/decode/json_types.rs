//! The types of JSON fields whose values differ from row to row: what fits all of them, or text.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value};

/// What the values of a field are so far.
#[derive(Debug, Clone, Default, PartialEq)]
enum Kind {
    #[default]
    Nothing,
    Boolean,
    Integer,
    Real,
    /// Also what is kept as JSON text: values that do not go together, and objects without any field, which no file
    /// has a place for.
    Text,
    List(Box<Kind>),
    Struct(Fields),
}

/// Fields in the order in which they come first.
#[derive(Debug, Clone, Default, PartialEq)]
struct Fields {
    kinds: Vec<(String, Kind)>,
    places: HashMap<String, usize>,
}

/// The types of the fields of rows. Fields without any value have the type NULL.
#[derive(Debug, Default)]
pub(crate) struct JsonTypes(Fields);

impl JsonTypes {
    /// Looks at a row.
    pub(crate) fn see(&mut self, row: &Map<String, Value>) {
        row.iter().for_each(|(name, value)| self.see_field(name, value));
    }

    /// Looks at one field of a row.
    pub(crate) fn see_field(&mut self, name: &str, value: &Value) {
        self.0.see(name, Kind::of(value));
    }

    /// The fields as columns. Names that differ in case only are one.
    pub(crate) fn schema(self) -> Schema {
        let fields = self.0.kinds.into_iter().map(|(name, kind)| Field::new(name, kind.data_type(), true));
        Schema::new(fields.collect::<Vec<_>>())
    }
}

impl Fields {
    fn see(&mut self, name: &str, kind: Kind) {
        let place = *self.places.entry(name.to_lowercase()).or_insert(self.kinds.len());
        match self.kinds.get_mut(place) {
            Some((_, known)) => *known = std::mem::take(known).with(kind),
            None => self.kinds.push((name.to_owned(), kind)),
        }
    }
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Kind::Nothing,
            Value::Bool(_) => Kind::Boolean,
            Value::Number(number) if number.is_i64() => Kind::Integer,
            Value::Number(_) => Kind::Real,
            Value::String(_) => Kind::Text,
            Value::Array(items) => Kind::List(Box::new(items.iter().map(Kind::of).fold(Kind::Nothing, Kind::with))),
            Value::Object(members) => {
                let mut fields = Fields::default();
                members.iter().for_each(|(name, value)| fields.see(name, Kind::of(value)));
                // Members are found by their names to the letter.
                if members.len() > fields.kinds.len() { Kind::Text } else { Kind::Struct(fields) }
            }
        }
    }

    /// What fits both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Kind::Nothing, kind) | (kind, Kind::Nothing) => kind,
            (Kind::Integer | Kind::Real, Kind::Integer | Kind::Real) => Kind::Real,
            (Kind::List(one), Kind::List(other)) => Kind::List(Box::new(one.with(*other))),
            (Kind::Struct(mut one), Kind::Struct(other)) => {
                let all = one.kinds.iter().chain(&other.kinds).map(|(name, _)| name.clone());
                let names: std::collections::HashSet<String> = all.collect();
                other.kinds.into_iter().for_each(|(name, kind)| one.see(&name, kind));
                if names.len() > one.kinds.len() { Kind::Text } else { Kind::Struct(one) }
            }
            _ => Kind::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Kind::Nothing => DataType::Null,
            Kind::Boolean => DataType::Boolean,
            Kind::Integer => DataType::Int64,
            Kind::Real => DataType::Float64,
            Kind::Text => DataType::Utf8,
            Kind::List(item) => DataType::new_list(item.data_type(), true),
            Kind::Struct(fields) if fields.kinds.is_empty() => DataType::Utf8,
            Kind::Struct(fields) => {
                let members = fields.kinds.into_iter().map(|(name, kind)| Field::new(name, kind.data_type(), true));
                DataType::Struct(members.collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn types_of(rows: &[Value]) -> Vec<(String, DataType)> {
        let mut types = JsonTypes::default();
        rows.iter().for_each(|row| types.see(row.as_object().unwrap()));
        types.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    }

    #[test]
    fn what_does_not_go_together_is_text() {
        let rows = [json!({"a": 1, "b": 1, "c": [1], "d": true}), json!({"a": 1.5, "b": {"x": 1}, "c": [[1]], "d": 1})];
        let list = DataType::new_list(DataType::Utf8, true);
        let expected = [("a", DataType::Float64), ("b", DataType::Utf8), ("c", list), ("d", DataType::Utf8)];
        assert_eq!(types_of(&rows), expected.map(|(name, data_type)| (name.to_owned(), data_type)));
        assert_eq!(types_of(&[json!({"a": 1, "A": 2}), json!({"A": 0.5})]), [("a".to_owned(), DataType::Float64)]);
        assert_eq!(types_of(&[json!({"s": {"a": 1}}), json!({"s": {"A": 1}})]), [("s".to_owned(), DataType::Utf8)]);
    }

    #[test]
    fn objects_without_fields_are_text_however_deep() {
        let types = types_of(&[json!({"x": {}, "y": {"in": {}, "n": 1}, "z": [{}, null]})]);
        assert_eq!(types[0].1, DataType::Utf8);
        let members = [Field::new("in", DataType::Utf8, true), Field::new("n", DataType::Int64, true)];
        assert_eq!(types[1].1, DataType::Struct(members.into_iter().collect()));
        assert_eq!(types[2].1, DataType::new_list(DataType::Utf8, true));
        let later = types_of(&[json!({"x": {}}), json!({"x": {"a": true}})]);
        assert_eq!(later[0].1, DataType::Struct([Field::new("a", DataType::Boolean, true)].into_iter().collect()));
    }
}
