//! Values for the placeholders of a planned query. Never by text substitution.

use std::collections::BTreeMap;

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch},
        datatypes::{DataType, Field, FieldRef},
    },
    common::{ParamValues, ScalarValue, tree_node::TreeNodeRecursion},
    logical_expr::{Expr, LogicalPlan, expr::Placeholder},
};
use lakebed_types::{Error, ErrorKind, Result, sql_type_name};
use serde_json::Value;

use crate::Parameters;

/// Values for the plan's placeholders, each of the type that the plan infers for it.
///
/// A value whose type the plan does not know is typed by its JSON. Integers and decimals may come as strings.
///
/// # Errors
/// `invalid_query` naming the parameter that is missing, extra, or of a type that does not fit.
pub(crate) fn bind(plan: &LogicalPlan, parameters: &Parameters) -> Result<ParamValues> {
    let wanted = placeholders(plan)?;
    match parameters {
        Parameters::None => match wanted.keys().next() {
            None => Ok(ParamValues::List(Vec::new())),
            Some(name) => Err(missing(name)),
        },
        Parameters::Positional(values) => bind_positions(&wanted, values),
        Parameters::Named(values) => bind_names(&wanted, values),
        Parameters::Row(row) => bind_row(&wanted, row),
    }
}

/// The plan's parameters in order: `$1` and on, or by name. Of the type `Null` where the plan knows none. `columns`: where
/// the rows go, if they go into a table: a parameter that is a whole value has its column's type.
///
/// # Errors
/// `internal`.
pub(crate) fn parameters(plan: &LogicalPlan, columns: &[FieldRef]) -> Result<Vec<Field>> {
    let mut known = placeholders(plan)?;
    let rows: Vec<&[Expr]> = match plan {
        LogicalPlan::Values(values) => values.values.iter().map(Vec::as_slice).collect(),
        LogicalPlan::Projection(projection) => vec![&projection.expr],
        _ => Vec::new(),
    };
    for (value, column) in rows.into_iter().flat_map(|row| row.iter().zip(columns)) {
        if let Expr::Placeholder(Placeholder { id, .. }) = value.clone().unalias()
            && let Some(unknown @ None) = known.get_mut(id.trim_start_matches('$'))
        {
            *unknown = Some(column.data_type().clone());
        }
    }
    let mut wanted: Vec<(String, Option<DataType>)> = known.into_iter().collect();
    wanted.sort_by_key(|(name, _)| name.parse::<usize>().unwrap_or(usize::MAX));
    let field = |(name, data_type): (String, Option<DataType>)| {
        Field::new(format!("${name}"), data_type.unwrap_or(DataType::Null), true)
    };
    Ok(wanted.into_iter().map(field).collect())
}

/// By position, or by name where the statement's parameters have names.
fn bind_row(wanted: &BTreeMap<String, Option<DataType>>, row: &RecordBatch) -> Result<ParamValues> {
    if row.num_rows() == 0 {
        return Err(Error::new(ErrorKind::InvalidQuery, "there is no row of parameters"));
    }
    let named = wanted.keys().any(|name| name.parse::<usize>().is_err());
    let count = row.num_columns();
    let mut scalars = Vec::with_capacity(count);
    for (at, (field, column)) in row.schema().fields().iter().zip(row.columns()).enumerate() {
        let name = match named {
            true => field.name().trim_start_matches(['$', ':']).to_lowercase(),
            false => (at + 1).to_string(),
        };
        let Some(data_type) = wanted.get(&name) else {
            let message = match named {
                true => format!("the statement has no parameter ${name}"),
                false => format!("{count} parameters are given, the statement has {}", wanted.len()),
            };
            return Err(Error::new(ErrorKind::InvalidQuery, message));
        };
        scalars.push((name.clone(), arrow_scalar(&name, column, data_type.as_ref())?));
    }
    match wanted.keys().find(|name| scalars.iter().all(|(given, _)| given != *name)) {
        Some(name) => Err(missing(name)),
        None if named => Ok(ParamValues::from(scalars)),
        None => Ok(ParamValues::from(scalars.into_iter().map(|(_, value)| value).collect::<Vec<_>>())),
    }
}

/// The first value of a column, in the type that the plan wants.
fn arrow_scalar(name: &str, column: &ArrayRef, wanted: Option<&DataType>) -> Result<ScalarValue> {
    let unfit = |wanted: &DataType| {
        let given = sql_type_name(column.data_type());
        let message = format!("parameter ${name}: this value of {given} is not {}", sql_type_name(wanted));
        Error::new(ErrorKind::InvalidQuery, message)
    };
    let value = ScalarValue::try_from_array(column, 0).map_err(|_| unfit(column.data_type()))?;
    match wanted {
        None | Some(DataType::Null) => Ok(value),
        // A fraction beside a column of integers stays one: `quantity > 1.5`.
        Some(wanted) if wanted.is_integer() && (value.data_type().is_floating() || value.data_type().is_decimal()) => {
            Ok(value)
        }
        Some(wanted) => value.cast_to(wanted).map_err(|_| unfit(wanted)),
    }
}

/// The plan's placeholders, without `$`, and their types where the plan knows one.
fn placeholders(plan: &LogicalPlan) -> Result<BTreeMap<String, Option<DataType>>> {
    let mut found: BTreeMap<String, Option<DataType>> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            datafusion::common::tree_node::TreeNode::apply(expr, |expr| {
                if let Expr::Placeholder(Placeholder { id, field }) = expr {
                    let known = found.entry(id.trim_start_matches('$').to_owned()).or_default();
                    if known.is_none() {
                        *known = field.as_ref().map(|field| field.data_type().clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(|error| Error::internal("the parameters of a plan cannot be listed").with_source(error))?;
    Ok(found)
}

fn bind_positions(wanted: &BTreeMap<String, Option<DataType>>, values: &[Value]) -> Result<ParamValues> {
    let mut last = 0;
    for name in wanted.keys() {
        match name.parse::<usize>() {
            Ok(position @ 1..) if position <= values.len() => last = last.max(position),
            _ => return Err(missing(name)),
        }
    }
    if values.len() > last {
        let message = format!("{} parameters are given, the statement has {last}", values.len());
        return Err(Error::new(ErrorKind::InvalidQuery, message));
    }
    let scalars = values.iter().enumerate().map(|(at, value)| {
        let name = (at + 1).to_string();
        scalar(&name, value, wanted.get(&name).and_then(Option::as_ref))
    });
    Ok(ParamValues::from(scalars.collect::<Result<Vec<_>>>()?))
}

fn bind_names(wanted: &BTreeMap<String, Option<DataType>>, values: &[(String, Value)]) -> Result<ParamValues> {
    let mut scalars: Vec<(String, ScalarValue)> = Vec::with_capacity(values.len());
    for (name, value) in values {
        let name = name.trim_start_matches(['$', ':']).to_lowercase();
        let Some(data_type) = wanted.get(&name) else {
            return Err(Error::new(ErrorKind::InvalidQuery, format!("the statement has no parameter ${name}")));
        };
        if scalars.iter().any(|(other, _)| *other == name) {
            return Err(Error::new(ErrorKind::InvalidQuery, format!("parameter ${name} is given twice")));
        }
        scalars.push((name.clone(), scalar(&name, value, data_type.as_ref())?));
    }
    match wanted.keys().find(|name| scalars.iter().all(|(given, _)| given != *name)) {
        Some(name) => Err(missing(name)),
        None => Ok(ParamValues::from(scalars)),
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::InvalidQuery, format!("parameter ${name} has no value"))
}

fn scalar(name: &str, value: &Value, data_type: Option<&DataType>) -> Result<ScalarValue> {
    let converted = match data_type {
        Some(data_type) => typed(value, data_type),
        None => untyped(value),
    };
    converted.ok_or_else(|| {
        let wanted = data_type.map_or_else(|| "a plain value".to_owned(), sql_type_name);
        let shown: String = value.to_string().chars().take(64).collect();
        Error::new(ErrorKind::InvalidQuery, format!("parameter ${name}: {shown} is not {wanted}"))
    })
}

/// A value by its JSON alone.
fn untyped(value: &Value) -> Option<ScalarValue> {
    match value {
        Value::Null => Some(ScalarValue::Null),
        Value::Bool(value) => Some(ScalarValue::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Some(ScalarValue::from(value)),
            (None, Some(value)) => Some(ScalarValue::from(value)),
            (None, None) => number.as_f64().map(ScalarValue::from),
        },
        Value::String(text) => Some(ScalarValue::from(text.as_str())),
        Value::Array(items) => {
            let items = items.iter().map(untyped).collect::<Option<Vec<_>>>()?;
            let item_type = items.iter().map(ScalarValue::data_type).find(|data_type| !data_type.is_null())?;
            let items = items.iter().map(|item| item.cast_to(&item_type).ok()).collect::<Option<Vec<_>>>()?;
            Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, &item_type)))
        }
        Value::Object(_) => None,
    }
}

fn typed(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    use DataType as D;
    match (value, data_type) {
        (Value::Null, _) => ScalarValue::try_from(data_type).ok(),
        (_, D::Null) => untyped(value),
        (_, D::Dictionary(_, values)) => typed(value, values),
        (Value::Bool(value), D::Boolean) => Some(ScalarValue::from(*value)),
        (Value::Array(items), D::List(item) | D::LargeList(item) | D::ListView(item)) => {
            let items = items.iter().map(|value| typed(value, item.data_type())).collect::<Option<Vec<_>>>()?;
            Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type())))
        }
        (Value::Number(number), _) if data_type.is_numeric() => {
            // A fraction beside a column of integers stays one: `quantity > 1.5`.
            ScalarValue::try_from_string(number.to_string(), data_type)
                .ok()
                .or_else(|| number.as_f64().map(ScalarValue::from))
        }
        (Value::String(text), D::Utf8 | D::LargeUtf8 | D::Utf8View) => {
            ScalarValue::try_from_string(text.clone(), data_type).ok()
        }
        (Value::String(text), _) if data_type.is_numeric() || data_type.is_temporal() => {
            ScalarValue::try_from_string(text.trim().to_owned(), data_type).ok()
        }
        _ => None,
    }
}
