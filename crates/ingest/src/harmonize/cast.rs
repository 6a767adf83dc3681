//! Values with types of their own → the column's type, and never another value by the way.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, TimestampMicrosecondArray},
    compute::{CastOptions, can_cast_types, cast_with_options, kernels::cmp::distinct},
    datatypes::{DataType, Float16Type, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
    util::display::{ArrayFormatter, FormatOptions},
};
use lakebed_types::{Error, Result, sql_type_name};

use super::{
    Faulty,
    column::ColumnPlan,
    text::{self, epoch, not_a},
};
use crate::decode::shown;

const OPTIONS: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// Brings values to the column's type. Values that have no place in it are named.
pub(super) fn cast(values: &ArrayRef, column: &ColumnPlan, faulty: &mut Faulty) -> Result<ArrayRef> {
    let target = column.field.data_type();
    if is_for_text(values.data_type(), column) {
        return text::parse(&plain(values, &DataType::Utf8, column)?, column, faulty);
    }
    let sent = values;
    let values = &match column.scale {
        Some(factor) if values.data_type().is_numeric() => scaled(values, factor.real, column)?,
        _ => values.clone(),
    };
    let brought = match (values.data_type(), target) {
        (from, to) if from == to => values.clone(),
        (DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64, DataType::Timestamp(..)) => {
            zoned(values, column, faulty)?
        }
        (from, DataType::Timestamp(..)) if from.is_integer() => epochs(values, column)?,
        _ => plain(values, target, column)?,
    };
    name_lost(sent, values, &brought, column, faulty)?;
    // Text that came as such is trimmed and cased where it is read.
    Ok(match brought.as_string_opt::<i32>() {
        Some(texts) => text::strings(texts, column),
        None => brought,
    })
}

/// Days, and times without a zone, as times of the column's zone. Those that it has twice or not at all are named.
fn zoned(values: &ArrayRef, column: &ColumnPlan, faulty: &mut Faulty) -> Result<ArrayRef> {
    let local = |unit| DataType::Timestamp(unit, None);
    let values = match values.data_type() {
        // From there to microseconds at once, a number that is too large would become another one.
        DataType::Date64 => plain(values, &local(TimeUnit::Millisecond), column)?,
        _ => values.clone(),
    };
    let sent = plain(&values, &local(TimeUnit::Microsecond), column)?;
    let in_zone = DataType::Timestamp(TimeUnit::Microsecond, Some(column.zone_name.as_str().into()));
    let times = plain(&sent, &in_zone, column)?;
    let clock = sent.as_primitive::<TimestampMicrosecondType>();
    for row in (0..clock.len()).filter(|row| clock.is_valid(*row) && times.is_null(*row)) {
        let reason = clock.value_as_datetime(row).and_then(|time| text::not_once(&time.to_string(), &time, column));
        if let Some(reason) = reason {
            faulty.add(row, column.field.name(), || reason);
        }
    }
    plain(&times, column.field.data_type(), column)
}

/// Whether values are brought to the type by their digits, as they would be if they were sent as text.
fn is_for_text(from: &DataType, column: &ColumnPlan) -> bool {
    let to = column.field.data_type();
    let fraction = from.is_floating() || from.is_decimal();
    match to {
        DataType::Boolean => from.is_numeric(),
        DataType::Decimal128(..) if from.is_floating() => true,
        DataType::Timestamp(..) if fraction => true,
        _ => column.scale.is_some() && from.is_numeric() && !to.is_floating(),
    }
}

/// Brings values to a type; NULL where one has no place in it.
pub(super) fn plain(values: &ArrayRef, target: &DataType, column: &ColumnPlan) -> Result<ArrayRef> {
    if !can_cast_types(values.data_type(), target) {
        return Err(cannot(values.data_type(), column));
    }
    cast_with_options(values, target, &OPTIONS).map_err(|error| cannot(values.data_type(), column).with_source(error))
}

/// What is said of a column whose values are of a type that is of no use.
pub(super) fn cannot(from: &DataType, column: &ColumnPlan) -> Error {
    let (from, to) = (sql_type_name(from), sql_type_name(column.field.data_type()));
    Error::invalid_request(format!("column `{}` is {from} and cannot become {to}", column.field.name()))
}

fn scaled(values: &ArrayRef, scale: f64, column: &ColumnPlan) -> Result<ArrayRef> {
    let numbers = plain(values, &DataType::Float64, column)?;
    let scaled: Float64Array = numbers.as_primitive::<Float64Type>().unary_opt(|number| product(number, scale));
    Ok(Arc::new(scaled))
}

/// None where two numbers make one that is beyond all numbers.
pub(super) fn product(number: f64, scale: f64) -> Option<f64> {
    let product = number * scale;
    (product.is_finite() || !number.is_finite()).then_some(product)
}

fn epochs(values: &ArrayRef, column: &ColumnPlan) -> Result<ArrayRef> {
    let numbers = plain(values, &DataType::Int64, column)?;
    let times = numbers.as_primitive::<Int64Type>().iter().map(|number| epoch(number?, column.unit));
    let times: TimestampMicrosecondArray = times.collect();
    Ok(Arc::new(times.with_data_type(column.field.data_type().clone())))
}

/// Names values that are gone, and those that would come back as another one. `sent`: before they were scaled.
fn name_lost(
    sent: &ArrayRef,
    values: &ArrayRef,
    brought: &ArrayRef,
    column: &ColumnPlan,
    faulty: &mut Faulty,
) -> Result<()> {
    let lost = |row: usize| sent.is_valid(row) && brought.is_null(row);
    let mut rows: Vec<usize> = match brought.null_count() > sent.null_count() {
        true => (0..sent.len()).filter(|row| lost(*row)).collect(),
        false => Vec::new(),
    };
    rows.extend(endless(values, brought));
    if narrows(values.data_type(), brought.data_type()) {
        let back = plain(brought, values.data_type(), column)?;
        let other =
            distinct(values, &back).map_err(|error| Error::internal("values cannot be compared").with_source(error))?;
        // A zero comes back without its sign, and is the same number.
        rows.extend((0..values.len()).filter(|row| other.value(*row) && !is_zero(values, *row)));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let formatter = ArrayFormatter::try_new(sent.as_ref(), &OPTIONS.format_options)
        .map_err(|error| Error::internal("values cannot be shown").with_source(error))?;
    for row in rows {
        let reason = || not_a(&shown(&formatter.value(row).to_string()), column.field.data_type());
        faulty.add(row, column.field.name(), reason);
    }
    Ok(())
}

fn is_zero(values: &ArrayRef, row: usize) -> bool {
    let number = match values.data_type() {
        DataType::Float16 => values.as_primitive::<Float16Type>().value(row).to_f64(),
        DataType::Float32 => values.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => values.as_primitive::<Float64Type>().value(row),
        _ => return false,
    };
    number == 0.0
}

/// Rows whose number is beyond what the smaller type has, which makes an infinite one of it.
fn endless(values: &ArrayRef, brought: &ArrayRef) -> Vec<usize> {
    let numbers = (values.as_primitive_opt::<Float64Type>(), brought.as_primitive_opt::<Float32Type>());
    let (Some(from), Some(to)) = numbers else { return Vec::new() };
    let endless = |row: &usize| to.is_valid(*row) && to.value(*row).is_infinite() && from.value(*row).is_finite();
    (0..to.len()).filter(endless).collect()
}

/// Whether a cast may round. Decimals and doubles that become smaller doubles may: those are the nearest ones to all.
fn narrows(from: &DataType, to: &DataType) -> bool {
    let fraction = |data_type: &DataType| data_type.is_floating() || data_type.is_decimal();
    let whole_or_decimal = to.is_integer() || to.is_decimal();
    (fraction(from) && whole_or_decimal)
        || (from.is_integer() && to.is_floating())
        || (matches!(from, DataType::Timestamp(..) | DataType::Date64) && to == &DataType::Date32)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Date64Array, Float32Array, Int64Array},
        datatypes::{Field, Int32Type, Schema},
    };

    use super::*;
    use crate::{ColumnRules, TableRules, harmonize::Plan};

    fn brought(values: ArrayRef, to: DataType, rules: ColumnRules) -> (ArrayRef, Vec<(usize, String)>) {
        let rules = TableRules { columns: [("x".to_owned(), rules)].into_iter().collect(), ..TableRules::default() };
        let plan = Plan::new(Arc::new(Schema::new(vec![Field::new("x", to, true)])), &rules, 10).unwrap();
        let mut faulty = Faulty::default();
        let done = cast(&values, &plan.columns[0], &mut faulty).unwrap();
        (done, faulty.rows.into_iter().map(|(row, (_, reason))| (row, reason)).collect())
    }

    #[test]
    fn a_double_beyond_a_real_is_no_infinity() {
        let values = Float64Array::from(vec![Some(0.1), Some(1e39), None, Some(f64::INFINITY), Some(-1e300)]);
        let (done, bad) = brought(Arc::new(values), DataType::Float32, ColumnRules::default());
        assert_eq!(bad.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 4]);
        assert!(bad[0].1.contains("is not a value of the type REAL"), "{bad:?}");
        let done: &Float32Array = done.as_primitive();
        assert_eq!((done.value(0), done.is_null(2), done.value(3)), (0.1, true, f32::INFINITY));
    }

    #[test]
    fn a_zero_of_any_sign_is_a_whole_number() {
        let values = Float32Array::from(vec![-0.0, 0.0, -1.0, -0.5]);
        let (done, bad) = brought(Arc::new(values), DataType::Int32, ColumnRules::default());
        assert_eq!(bad.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3]);
        assert_eq!(done.as_primitive::<Int32Type>().values()[..3], [0, 0, -1]);
    }

    #[test]
    fn days_beyond_all_times_are_named() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let values = Date64Array::from(vec![i64::MAX, i64::MIN, 86_400_000]);
        let (done, bad) = brought(Arc::new(values), time, ColumnRules::default());
        assert_eq!(bad.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(done.as_primitive::<TimestampMicrosecondType>().value(2), 86_400_000_000);
    }

    #[test]
    fn a_factor_makes_no_infinity_either() {
        let rules = || ColumnRules { scale: Some(1e300), ..ColumnRules::default() };
        let (done, bad) = brought(Arc::new(Int64Array::from(vec![2, 1_000_000_000_000])), DataType::Float64, rules());
        assert_eq!(bad.len(), 1);
        assert!(bad[0].0 == 1 && bad[0].1.contains("1000000000000"), "{bad:?}");
        assert_eq!(done.as_primitive::<Float64Type>().value(0), 2e300);
    }
}
