//! A table's rules, checked against its columns and made ready for use.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::timezone::Tz,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use lakebed_types::{Error, Result};
use regex::Regex;

use super::{
    column::ColumnPlan,
    constant::{self, Constant},
    number::Factor,
    types,
};
use crate::{
    decode::{Names, Wanted},
    rules::{ColumnRules, TableRules, Unknown},
};

/// How rows become a table's rows.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The table's columns.
    pub(crate) schema: SchemaRef,
    /// The rules that it was made of.
    pub(crate) rules: TableRules,
    /// What a body may have.
    pub(crate) wanted: Wanted,
    /// One for each column.
    pub(super) columns: Vec<ColumnPlan>,
    /// For each field of `wanted` the place of its column.
    owners: Vec<usize>,
    pub(super) day: Option<DayPlan>,
    pub(super) unknown: UnknownPlan,
}

/// Places of the columns of a day rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayPlan {
    pub(super) from: usize,
    pub(super) column: usize,
}

/// What becomes of fields that are no columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownPlan {
    Reject,
    Add,
    Column(usize),
}

impl Plan {
    /// Checks the rules against the table's columns.
    ///
    /// # Errors
    /// `invalid_request` that names the column and the rule.
    pub(crate) fn new(schema: SchemaRef, rules: &TableRules, max_rows: usize) -> Result<Self> {
        if let Some(name) = rules.columns.keys().find(|name| schema.index_of(name).is_err()) {
            return Err(wrong(name, "the table has no such column"));
        }
        if let Some(name) = rules.sort.iter().find(|name| schema.index_of(name).is_err()) {
            return Err(wrong(name, "the table has no such column to sort by"));
        }
        let day = rules.day.as_ref().map(|day| day_plan(&schema, &day.from, &day.column)).transpose()?;
        let unknown = match &rules.unknown {
            Unknown::Reject => UnknownPlan::Reject,
            Unknown::Add => UnknownPlan::Add,
            Unknown::Column(name) => UnknownPlan::Column(text_column(&schema, name)?),
        };
        let none = ColumnRules::default();
        let columns = schema.fields().iter().enumerate().map(|(index, field)| {
            let derived = day.is_some_and(|day| day.column == index) || unknown == UnknownPlan::Column(index);
            column_plan(field, rules.columns.get(field.name()).unwrap_or(&none), derived)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let (wanted, owners) = wanted(&columns, unknown, max_rows)?;
        Ok(Self { schema, rules: rules.clone(), wanted, columns, owners, day, unknown })
    }

    /// The place of the column that a field is.
    pub(crate) fn column_of(&self, field: &str) -> Option<usize> {
        self.wanted.find(field).map(|place| self.owners[place])
    }

    /// Bytes that so many rows take at least, whatever is in them.
    pub(crate) fn bare_bytes(&self, rows: usize) -> u64 {
        // Text and nested values have offsets, whose items count where they are decoded.
        let width = |field: &Arc<Field>| field.data_type().primitive_width().unwrap_or(4) as u64;
        (rows as u64).saturating_mul(self.schema.fields().iter().map(width).sum())
    }

    /// Whether fields that are no columns become columns.
    pub(crate) fn adds_columns(&self) -> bool {
        self.unknown == UnknownPlan::Add
    }
}

/// What the decoder is told: each column under each of its names, as text; and the places of these columns.
fn wanted(columns: &[ColumnPlan], unknown: UnknownPlan, max_rows: usize) -> Result<(Wanted, Vec<usize>)> {
    let (mut fields, mut types, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for (index, column) in columns.iter().enumerate() {
        if unknown == UnknownPlan::Column(index) {
            continue;
        }
        // A day that is sent is let in, and made anew.
        let data_type = types::as_text_type(column.field.data_type());
        for name in &column.names {
            if let Some(owner) = owners.insert(name, column.field.name()) {
                return Err(wrong(column.field.name(), &format!("`{name}` is a name of `{owner}` already")));
            }
            fields.push(Field::new(name, data_type.clone(), true));
            types.push(column.field.data_type().clone());
            places.push(index);
        }
    }
    let names = Names::new(fields.iter().map(|field| field.name().as_str()));
    let wanted = Wanted {
        schema: Arc::new(Schema::new(fields)),
        types,
        names,
        strict: unknown == UnknownPlan::Reject,
        max_rows,
    };
    Ok((wanted, places))
}

fn day_plan(schema: &SchemaRef, from: &str, column: &str) -> Result<DayPlan> {
    let find = |name: &str| schema.index_of(name).map_err(|_| wrong(name, "the day rule's column is not there"));
    let (from_index, column_index) = (find(from)?, find(column)?);
    if !matches!(schema.field(from_index).data_type(), DataType::Timestamp(..) | DataType::Date32) {
        return Err(wrong(from, "a day is made of a column of times or dates"));
    }
    if schema.field(column_index).data_type() != &DataType::Date32 || from_index == column_index {
        return Err(wrong(column, "the day is a column of its own, of the type DATE"));
    }
    Ok(DayPlan { from: from_index, column: column_index })
}

fn text_column(schema: &SchemaRef, name: &str) -> Result<usize> {
    let index = schema.index_of(name).map_err(|_| wrong(name, "there is no such column for unknown fields"))?;
    match schema.field(index).data_type() {
        DataType::Utf8 => Ok(index),
        _ => Err(wrong(name, "unknown fields are kept in a column of the type VARCHAR")),
    }
}

fn column_plan(field: &Arc<Field>, rules: &ColumnRules, derived: bool) -> Result<ColumnPlan> {
    let name = field.name();
    let is_text = field.data_type() == &DataType::Utf8;
    if !is_text && (rules.trim || rules.case.is_some() || rules.pattern.is_some()) {
        return Err(wrong(name, "`trim`, `case` and `pattern` are for columns of the type VARCHAR"));
    }
    let is_number = field.data_type().is_numeric() || matches!(field.data_type(), DataType::Timestamp(..));
    if rules.scale.is_some() && !is_number {
        return Err(wrong(name, "`scale` is for columns of numbers"));
    }
    let zone = rules.time_zone.as_deref().unwrap_or("+00:00").parse::<Tz>();
    let zone = zone.map_err(|_| wrong(name, "`time_zone` is not a zone such as Europe/Berlin or +02:00"))?;
    let mut plan = ColumnPlan {
        field: field.clone(),
        names: std::iter::once(name).chain(&rules.aliases).cloned().collect(),
        derived,
        required: rules.required,
        default: None,
        allowed: Vec::new(),
        min: None,
        max: None,
        pattern: rules.pattern.as_deref().map(|pattern| whole(name, pattern)).transpose()?,
        trim: rules.trim,
        case: rules.case,
        zone,
        zone_name: rules.time_zone.clone().unwrap_or_else(|| "+00:00".to_owned()),
        unit: rules.unit,
        scale: rules.scale.map(|scale| Factor::new(name, scale)).transpose()?,
    };
    let constants = |rule: &str, values: &[serde_json::Value]| -> Result<Vec<Constant>> {
        values.iter().map(|value| constant::read(&plan, rule, value)).collect()
    };
    let allowed = constants("enum", &rules.allowed)?;
    let min = constants("min", rules.min.as_slice())?.pop();
    let max = constants("max", rules.max.as_slice())?.pop();
    let default = constants("default", rules.default.as_slice())?.pop();
    (plan.allowed, plan.min, plan.max, plan.default) = (allowed, min, max, default);
    Ok(plan)
}

fn whole(column: &str, pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| wrong(column, "`pattern` is not a regular expression").with_source(error))
}

/// An error in a column's rules.
pub(super) fn wrong(column: &str, what: &str) -> Error {
    Error::invalid_request(format!("rules of column `{}`: {what}", column.escape_debug()))
}
