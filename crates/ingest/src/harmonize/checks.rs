//! What a column's values must be: there, among the allowed ones, within bounds, of a pattern.

use std::collections::HashSet;

use arrow::{
    array::{Array, ArrayRef, ArrowNumericType, AsArray, BooleanArray, Datum, PrimitiveArray},
    compute::{
        kernels::cmp::{eq, gt, lt},
        max, min, nullif, or,
    },
    datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use lakebed_types::{Error, Result};

use super::{Faulty, column::ColumnPlan, constant::Constant};
use crate::decode::shown;

/// 0001-01-01 and 9999-12-31, in days from 1970 on.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;
const DAY_MICROS: i64 = 86_400_000_000;

/// Names the rows whose values are not what the column wants; hands the values on.
pub(super) fn check(values: ArrayRef, column: &ColumnPlan, faulty: &mut Faulty) -> Result<ArrayRef> {
    let name = column.field.name();
    if column.required && values.null_count() > 0 {
        for row in (0..values.len()).filter(|row| values.is_null(*row)) {
            faulty.add(row, name, || "has no value, and needs one".to_owned());
        }
    }
    if !column.allowed.is_empty() {
        let allowed = among(&values, &column.allowed)?;
        report(&values, column, faulty, &allowed, false, "is not one of the allowed values")?;
    }
    if let Some(min) = &column.min {
        let below = compared(lt(&values, &min.value))?;
        report(&values, column, faulty, &below, true, &format!("is less than {}", min.shown))?;
    }
    if let Some(max) = &column.max {
        let above = compared(gt(&values, &max.value))?;
        report(&values, column, faulty, &above, true, &format!("is more than {}", max.shown))?;
    }
    if let (Some(pattern), Some(texts)) = (&column.pattern, values.as_string_opt::<i32>()) {
        let matches: BooleanArray = texts.iter().map(|text| text.map(|text| pattern.is_match(text))).collect();
        report(&values, column, faulty, &matches, false, "does not match the column's pattern")?;
    }
    Ok(values)
}

/// Days and times of the years 1 to 9999, which every reader of the table knows; names the rows with others.
pub(super) fn within_years(values: ArrayRef, name: &str, faulty: &mut Faulty) -> Result<ArrayRef> {
    let outside = match values.data_type() {
        DataType::Date32 => outside(values.as_primitive::<Date32Type>(), FIRST_DAY, LAST_DAY),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let (first, end) = (i64::from(FIRST_DAY) * DAY_MICROS, i64::from(LAST_DAY + 1) * DAY_MICROS);
            outside(values.as_primitive::<TimestampMicrosecondType>(), first, end - 1)
        }
        _ => None,
    };
    let Some(outside) = outside else { return Ok(values) };
    for row in (0..values.len()).filter(|row| outside.value(*row)) {
        faulty.add(row, name, || "is not in the years 1 to 9999".to_owned());
    }
    nullif(&values, &outside).map_err(|error| Error::internal("values cannot be taken out").with_source(error))
}

/// Which values are outside; None where none is.
fn outside<T>(values: &PrimitiveArray<T>, first: T::Native, last: T::Native) -> Option<BooleanArray>
where
    T: ArrowNumericType,
{
    let is_in = |value: T::Native| first <= value && value <= last;
    if min(values).is_none_or(is_in) && max(values).is_none_or(is_in) {
        return None;
    }
    Some(values.iter().map(|value| Some(value.is_some_and(|value| !is_in(value)))).collect())
}

fn among(values: &ArrayRef, allowed: &[Constant]) -> Result<BooleanArray> {
    if let Some(texts) = values.as_string_opt::<i32>() {
        let words: HashSet<&str> = allowed
            .iter()
            .filter_map(|one| one.value.get().0.as_string_opt::<i32>().map(|word| word.value(0)))
            .collect();
        return Ok(texts.iter().map(|text| text.map(|text| words.contains(text))).collect());
    }
    let mut any = BooleanArray::from(vec![false; values.len()]);
    for one in allowed {
        any = compared(eq(values, &one.value).and_then(|equal| or(&any, &equal)))?;
    }
    Ok(any)
}

fn compared(result: Result<BooleanArray, ArrowError>) -> Result<BooleanArray> {
    result.map_err(|error| Error::internal("values cannot be compared").with_source(error))
}

/// Names the rows with a value for which `said` is `bad`.
fn report(
    values: &ArrayRef,
    column: &ColumnPlan,
    faulty: &mut Faulty,
    said: &BooleanArray,
    bad: bool,
    what: &str,
) -> Result<()> {
    let is_bad = |row: &usize| values.is_valid(*row) && said.is_valid(*row) && said.value(*row) == bad;
    let mut rows = (0..values.len()).filter(is_bad).peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(values.as_ref(), &options)
        .map_err(|error| Error::internal("values cannot be shown").with_source(error))?;
    for row in rows {
        faulty.add(row, column.field.name(), || format!("`{}` {what}", shown(&formatter.value(row).to_string())));
    }
    Ok(())
}
