//! How many items `generate_series` and `range` would make.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray},
        compute::cast,
        datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit},
    },
    common::{Result, ScalarValue},
    logical_expr::ColumnarValue,
};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
/// The shortest month, so that the count is never too small.
const DAYS_PER_MONTH: i128 = 28;

/// Items per row, never too few.
pub(super) fn series_items(args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
    let is_null = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(ScalarValue::Null));
    if args.is_empty() || args.iter().any(is_null) {
        return Ok(vec![0; rows]);
    }
    let bounds = if args.len() == 1 { [None, Some(&args[0])] } else { [Some(&args[0]), Some(&args[1])] };
    let start = bounds[0].map_or_else(|| Ok(vec![Some(0); rows]), |value| points(value, rows))?;
    let stop = bounds[1].map_or_else(|| Ok(vec![Some(0); rows]), |value| points(value, rows))?;
    let step = args.get(2).map_or_else(|| Ok(vec![Some(1); rows]), |value| steps(value, rows))?;
    let spans = start.into_iter().zip(stop).zip(step);
    Ok(spans
        .map(|((start, stop), step)| match (start, stop, step) {
            (Some(start), Some(stop), Some(step)) => items_between(start, stop, step),
            _ => 0,
        })
        .collect())
}

fn items_between(start: i128, stop: i128, step: i128) -> u64 {
    let span = if step < 0 { start - stop } else { stop - start };
    if step == 0 || span < 0 {
        return 0;
    }
    u64::try_from(span / step.abs() + 1).unwrap_or(u64::MAX)
}

fn array_of(value: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    match value {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(rows),
    }
}

/// Integers as they are; dates and timestamps as nanoseconds.
fn points(value: &ColumnarValue, rows: usize) -> Result<Vec<Option<i128>>> {
    let array = array_of(value, rows)?;
    let factor = match array.data_type() {
        DataType::Date32 | DataType::Date64 => NANOS_PER_DAY,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    let array = match array.data_type() {
        DataType::Date64 => cast(&cast(&array, &DataType::Date32)?, &DataType::Int32)?,
        DataType::Date32 => cast(&array, &DataType::Int32)?,
        _ => array,
    };
    let array = cast(&array, &DataType::Int64)?;
    Ok(array.as_primitive::<Int64Type>().iter().map(|point| point.map(|point| i128::from(point) * factor)).collect())
}

/// Integers as they are; intervals as nanoseconds.
fn steps(value: &ColumnarValue, rows: usize) -> Result<Vec<Option<i128>>> {
    let array = array_of(value, rows)?;
    if !matches!(array.data_type(), DataType::Interval(_)) {
        return points(value, rows);
    }
    let array = cast(&array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let steps = array.as_primitive::<IntervalMonthDayNanoType>().iter();
    Ok(steps
        .map(|step| {
            step.map(|step| {
                let days = i128::from(step.months) * DAYS_PER_MONTH + i128::from(step.days);
                days * NANOS_PER_DAY + i128::from(step.nanoseconds)
            })
        })
        .collect())
}
