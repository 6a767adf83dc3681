//! Text as values. The same for every format whose fields are text, and for columns of text in the others.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringArray,
        StringBuilder,
    },
    compute::kernels::cast_utils::string_to_datetime,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use chrono::{LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use lakebed_types::{Error, ErrorKind, Result, sql_type_name};

use super::{
    Faulty, cast,
    column::ColumnPlan,
    number::{Factor, scaled},
};
use crate::{
    decode::shown,
    rules::{Case, EpochUnit},
};

/// Text → values of the column's type. Values that are none are named.
pub(super) fn parse(values: &ArrayRef, column: &ColumnPlan, faulty: &mut Faulty) -> Result<ArrayRef> {
    let Some(texts) = values.as_string_opt::<i32>() else { return Err(Error::internal("text is not text")) };
    let factor = column.scale;
    Ok(match column.field.data_type() {
        DataType::Utf8 => strings(texts, column),
        DataType::Boolean => booleans(texts, column, faulty),
        DataType::Int8 => numbers::<Int8Type>(texts, column, faulty, |text| integer(text, factor)),
        DataType::Int16 => numbers::<Int16Type>(texts, column, faulty, |text| integer(text, factor)),
        DataType::Int32 => numbers::<Int32Type>(texts, column, faulty, |text| integer(text, factor)),
        DataType::Int64 => numbers::<Int64Type>(texts, column, faulty, |text| integer(text, factor)),
        DataType::Float32 => numbers::<Float32Type>(texts, column, faulty, |text| single(text, factor)),
        DataType::Float64 => numbers::<Float64Type>(texts, column, faulty, |text| double(text, factor)),
        DataType::Date32 => numbers::<Date32Type>(texts, column, faulty, date),
        DataType::Timestamp(..) => {
            numbers::<TimestampMicrosecondType>(texts, column, faulty, |text| time(text, column))
        }
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            numbers::<Decimal128Type>(texts, column, faulty, |text| decimal(text, precision, scale, factor))
        }
        DataType::Binary => bytes(texts, column, faulty),
        other => {
            let message = format!("column `{}`: text cannot become {}", column.field.name(), sql_type_name(other));
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    })
}

fn numbers<T: ArrowPrimitiveType>(
    texts: &StringArray,
    column: &ColumnPlan,
    faulty: &mut Faulty,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> ArrayRef {
    let mut builder =
        PrimitiveBuilder::<T>::with_capacity(texts.len()).with_data_type(column.field.data_type().clone());
    for (row, text) in texts.iter().enumerate() {
        let value = text.and_then(|text| {
            let value = parse(text.trim_ascii());
            if value.is_none() {
                named(row, text, column, faulty);
            }
            value
        });
        builder.append_option(value);
    }
    Arc::new(builder.finish())
}

fn named(row: usize, text: &str, column: &ColumnPlan, faulty: &mut Faulty) {
    faulty.add(row, column.field.name(), || {
        of_clock(text, column).unwrap_or_else(|| not_a(&shown(text), column.field.data_type()))
    });
}

/// What is said of a text that is a time, but for the column's zone.
fn of_clock(text: &str, column: &ColumnPlan) -> Option<String> {
    let DataType::Timestamp(..) = column.field.data_type() else { return None };
    let time = string_to_datetime(&Utc, text.trim_ascii()).ok()?.naive_utc();
    not_once(&shown(text), &time, column)
}

/// What is said of a time that clocks in the column's zone show twice, or never.
pub(super) fn not_once(value: &str, time: &NaiveDateTime, column: &ColumnPlan) -> Option<String> {
    let what = match column.zone.offset_from_local_datetime(time) {
        LocalResult::Single(_) => return None,
        LocalResult::Ambiguous(..) => "stands twice",
        LocalResult::None => "is left out",
    };
    Some(format!("`{value}` {what} in {}: send it with an offset", column.zone_name))
}

/// What is said of a value that is none of this type.
pub(super) fn not_a(value: &str, data_type: &DataType) -> String {
    format!("`{value}` is not a value of the type {}", sql_type_name(data_type))
}

/// `42`, and `42.0` or `4.2e1`, which are the same number.
fn integer<N: std::str::FromStr + TryFrom<i128>>(text: &str, factor: Option<Factor>) -> Option<N> {
    if factor.is_none()
        && let Ok(number) = text.parse::<N>()
    {
        return Some(number);
    }
    N::try_from(scaled(text, factor)?.whole(0)?).ok()
}

/// A number beyond the type's range is not infinity; `inf` is. A whole number has to come back with its digits.
fn double(text: &str, factor: Option<Factor>) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    if number.is_infinite() && !text.contains(['i', 'I']) {
        return None;
    }
    match factor {
        Some(factor) => cast::product(number, factor.real),
        None => keeps_digits(text, number, 15, |number| number as i128).then_some(number),
    }
}

fn single(text: &str, factor: Option<Factor>) -> Option<f32> {
    if factor.is_some() {
        let number = double(text, factor)?;
        let single = number as f32;
        return (single.is_finite() || !number.is_finite()).then_some(single);
    }
    let number: f32 = text.parse().ok()?;
    let endless = number.is_infinite() && !text.contains(['i', 'I']);
    (!endless && keeps_digits(text, number, 6, |number| number as i128)).then_some(number)
}

/// Whether a text that is written as an integer is the number, or its shortest digits: `9007199254740993` is no DOUBLE.
fn keeps_digits<N: ToString>(text: &str, number: N, always: usize, whole: impl Fn(N) -> i128) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    if digits.len() <= always || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    let shortest = number.to_string();
    shortest.trim_start_matches('-') == digits.trim_start_matches('0') || text.parse() == Ok(whole(number))
}

fn decimal(text: &str, precision: u8, scale: i8, factor: Option<Factor>) -> Option<i128> {
    let number = scaled(text, factor)?.whole(scale.into())?;
    (number.unsigned_abs() < 10_u128.checked_pow(precision.into())?).then_some(number)
}

fn date(text: &str) -> Option<i32> {
    let day: NaiveDate = text.parse().ok()?;
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn time(text: &str, column: &ColumnPlan) -> Option<i64> {
    let whole =
        text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && text.rfind('-').is_none_or(|at| at == 0);
    if whole && column.scale.is_none() {
        return epoch(text.parse().ok()?, column.unit);
    }
    // Without a unit a number with a point is more likely to be a mistake.
    let unit = column.unit.or_else(|| whole.then_some(EpochUnit::Microseconds));
    if let Some(unit) = unit
        && let Some(number) = scaled(text, column.scale)
    {
        let number = number.near(places_of(unit), unit != EpochUnit::Nanoseconds)?;
        return i64::try_from(number).ok();
    }
    string_to_datetime(&column.zone, text).ok().map(|time| time.timestamp_micros())
}

/// Microseconds from 1970 on.
pub(super) fn epoch(number: i64, unit: Option<EpochUnit>) -> Option<i64> {
    match unit.unwrap_or(EpochUnit::Microseconds) {
        EpochUnit::Seconds => number.checked_mul(1_000_000),
        EpochUnit::Milliseconds => number.checked_mul(1_000),
        EpochUnit::Microseconds => Some(number),
        EpochUnit::Nanoseconds => Some(number.div_euclid(1_000)),
    }
}

/// Places by which the point moves, from this unit to microseconds.
fn places_of(unit: EpochUnit) -> i32 {
    match unit {
        EpochUnit::Seconds => 6,
        EpochUnit::Milliseconds => 3,
        EpochUnit::Microseconds => 0,
        EpochUnit::Nanoseconds => -3,
    }
}

fn booleans(texts: &StringArray, column: &ColumnPlan, faulty: &mut Faulty) -> ArrayRef {
    const WORDS: [(&str, bool); 10] = [
        ("true", true),
        ("false", false),
        ("t", true),
        ("f", false),
        ("yes", true),
        ("no", false),
        ("y", true),
        ("n", false),
        ("1", true),
        ("0", false),
    ];
    let mut builder = BooleanBuilder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let word = text.map(str::trim_ascii);
        let value = word.and_then(|word| WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)));
        if let (Some(text), None) = (text, value) {
            named(row, text, column, faulty);
        }
        builder.append_option(value.map(|(_, value)| *value));
    }
    Arc::new(builder.finish())
}

/// Text, trimmed and cased as the column wants it.
pub(super) fn strings(texts: &StringArray, column: &ColumnPlan) -> ArrayRef {
    if !column.trim && column.case.is_none() {
        return Arc::new(texts.clone());
    }
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for text in texts {
        let text = text.map(|text| if column.trim { text.trim() } else { text });
        match column.case {
            None => builder.append_option(text),
            Some(Case::Lower) => builder.append_option(text.map(str::to_lowercase)),
            Some(Case::Upper) => builder.append_option(text.map(str::to_uppercase)),
        }
    }
    Arc::new(builder.finish())
}

/// Bytes come as base64, as they go out.
fn bytes(texts: &StringArray, column: &ColumnPlan, faulty: &mut Faulty) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(texts.len(), texts.value_data().len());
    for (row, text) in texts.iter().enumerate() {
        let value = text.and_then(base64);
        if let (Some(text), None) = (text, &value) {
            faulty.add(row, column.field.name(), || format!("`{}` is not base64", shown(text)));
        }
        builder.append_option(value);
    }
    Arc::new(builder.finish())
}

/// Reads base64 (RFC 4648, section 4), with padding or without.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_ascii().trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut number = 0_u32;
        for digit in group {
            number = number << 6 | u32::from(base64_digit(*digit)?);
        }
        number <<= 6 * (4 - group.len());
        let [_, first, second, third] = number.to_be_bytes();
        bytes.extend_from_slice(&[first, second, third][..group.len() - 1]);
    }
    Some(bytes)
}

fn base64_digit(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
