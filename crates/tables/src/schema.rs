//! Bringing the schemas of many files together.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use chrono::NaiveDate;

use crate::FileKind;

#[cfg(test)]
mod tests;
mod widen;

pub(crate) use widen::plain_type;
use widen::widen;

/// A column type that two files disagree on and that cannot be widened safely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaConflict {
    /// The column, in its first spelling.
    pub column: String,
    /// Its type so far.
    pub left: DataType,
    /// Its type in the new file.
    pub right: DataType,
}

/// The schema that both fit into: the union of their columns (names match without regard to case, the first spelling
/// wins), each as wide as both need. Columns are nullable and without metadata.
///
/// Widened are: integers to the next that holds both; integers to decimals with room for them; integers and floats to
/// DOUBLE (as DuckDB does; above 2^53 an integer then loses its last digits, which the common case, a column of integers
/// that another file holds as floats because of its NULLs, never meets); decimals to more digits; dates to timestamps;
/// timestamps to the finer unit and, where one has a zone, to UTC; NULL to anything; lists and structs by their
/// elements. In text files all else becomes VARCHAR.
pub fn merge_schemas(left: &SchemaRef, right: &SchemaRef, kind: FileKind) -> Result<SchemaRef, SchemaConflict> {
    if Arc::ptr_eq(left, right) || left == right {
        return Ok(Arc::clone(left));
    }
    let places = places(left);
    let mut columns: Vec<FieldRef> = left.fields().to_vec();
    let mut changed = false;
    for (index, field) in right.fields().iter().enumerate() {
        match place(left, &places, index, field.name()) {
            Some(place) => changed |= merge_column(&mut columns[place], field, kind)?,
            None => {
                columns.push(nullable(field.name(), field.data_type().clone()));
                changed = true;
            }
        }
    }
    // A column that `right` lacks is NULL there.
    if left.fields().iter().all(|field| field.is_nullable() && field.metadata().is_empty()) && !changed {
        return Ok(Arc::clone(left));
    }
    let columns = columns.iter().map(|field| nullable(field.name(), field.data_type().clone()));
    Ok(Arc::new(Schema::new(columns.collect::<Vec<_>>())))
}

/// Widens one column in place; whether that changed it.
fn merge_column(column: &mut FieldRef, other: &FieldRef, kind: FileKind) -> Result<bool, SchemaConflict> {
    let conflict = || SchemaConflict {
        column: column.name().clone(),
        left: column.data_type().clone(),
        right: other.data_type().clone(),
    };
    let wide = widen(column.data_type(), other.data_type(), kind.is_text()).ok_or_else(conflict)?;
    if &wide == column.data_type() {
        return Ok(false);
    }
    *column = nullable(column.name(), wide);
    Ok(true)
}

fn nullable(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

/// Columns by lower-case name; `None` where case alone tells two apart.
fn places(schema: &Schema) -> HashMap<String, Option<usize>> {
    let mut places = HashMap::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        places.entry(field.name().to_lowercase()).and_modify(|place| *place = None).or_insert(Some(index));
    }
    places
}

fn place(left: &Schema, places: &HashMap<String, Option<usize>>, hint: usize, name: &str) -> Option<usize> {
    if left.fields().get(hint).is_some_and(|field| field.name() == name) {
        return Some(hint);
    }
    match places.get(&name.to_lowercase()) {
        Some(Some(place)) => Some(*place),
        Some(None) => left.index_of(name).ok(),
        None => None,
    }
}

/// The type of a partition column, from all its values: BIGINT, DATE or VARCHAR. `__HIVE_DEFAULT_PARTITION__` is NULL (None).
pub fn partition_type<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> DataType {
    let (mut any, mut integers, mut dates) = (false, true, true);
    for value in values.into_iter().flatten() {
        any = true;
        integers = integers && is_integer(value);
        dates = dates && is_date(value);
        if !integers && !dates {
            break;
        }
    }
    match (any, integers, dates) {
        (true, true, _) => DataType::Int64,
        (true, _, true) => DataType::Date32,
        _ => DataType::Utf8,
    }
}

fn is_integer(value: &str) -> bool {
    !value.starts_with('+') && value.parse::<i64>().is_ok()
}

fn is_date(value: &str) -> bool {
    value.len() == 10 && NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok()
}
