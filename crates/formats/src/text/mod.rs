//! Scalars as text: the part that JSON and CSV have in common.
//!
//! The text of these types holds no character that JSON or CSV would have to escape.

mod calendar;
mod decimal;
mod duration;
mod number;

use arrow::{
    array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray},
    datatypes::{self as t, DataType, IntervalUnit, TimeUnit},
};
use base64::{display::Base64Display, engine::general_purpose::STANDARD};

pub(crate) use decimal::is_exact_as_double;
use number::{float, integer};

/// Appends the value of a row that is not null.
pub(crate) type WriteValue<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// How the scalars of an array are written as text; None for strings, nested types and encodings of other types.
pub(crate) fn scalar(array: &dyn Array) -> Option<WriteValue<'_>> {
    Some(match array.data_type() {
        DataType::Null => Box::new(|_, _| ()),
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => each::<t::Int8Type>(array, integer),
        DataType::Int16 => each::<t::Int16Type>(array, integer),
        DataType::Int32 => each::<t::Int32Type>(array, integer),
        DataType::Int64 => each::<t::Int64Type>(array, integer),
        DataType::UInt8 => each::<t::UInt8Type>(array, integer),
        DataType::UInt16 => each::<t::UInt16Type>(array, integer),
        DataType::UInt32 => each::<t::UInt32Type>(array, integer),
        DataType::UInt64 => each::<t::UInt64Type>(array, integer),
        DataType::Float16 => each::<t::Float16Type>(array, |value, out| float(value.to_f32(), out)),
        DataType::Float32 => each::<t::Float32Type>(array, float),
        DataType::Float64 => each::<t::Float64Type>(array, float),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            return decimal::column(array);
        }
        DataType::Binary => bytes(move |row| array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(move |row| array.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(move |row| array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => bytes(move |row| array.as_fixed_size_binary().value(row)),
        _ => return temporal(array),
    })
}

fn temporal(array: &dyn Array) -> Option<WriteValue<'_>> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    use calendar::{date, time, timestamp};
    use duration::{days_and_time, duration, months};
    Some(match array.data_type() {
        DataType::Date32 => each::<t::Date32Type>(array, |days, out| date(i64::from(days), out)),
        DataType::Date64 => each::<t::Date64Type>(array, |ms, out| date(ms.div_euclid(86_400_000), out)),
        DataType::Time32(Second) => each::<t::Time32SecondType>(array, |s, out| time(i64::from(s), Second, out)),
        DataType::Time32(_) => each::<t::Time32MillisecondType>(array, |ms, out| time(i64::from(ms), Millisecond, out)),
        DataType::Time64(Nanosecond) => each::<t::Time64NanosecondType>(array, |ns, out| time(ns, Nanosecond, out)),
        DataType::Time64(_) => each::<t::Time64MicrosecondType>(array, |us, out| time(us, Microsecond, out)),
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            match unit {
                Second => each::<t::TimestampSecondType>(array, move |v, out| timestamp(v, Second, zoned, out)),
                Millisecond => {
                    each::<t::TimestampMillisecondType>(array, move |v, out| timestamp(v, Millisecond, zoned, out))
                }
                Microsecond => {
                    each::<t::TimestampMicrosecondType>(array, move |v, out| timestamp(v, Microsecond, zoned, out))
                }
                Nanosecond => {
                    each::<t::TimestampNanosecondType>(array, move |v, out| timestamp(v, Nanosecond, zoned, out))
                }
            }
        }
        DataType::Duration(Second) => each::<t::DurationSecondType>(array, |v, out| duration(v, Second, out)),
        DataType::Duration(Millisecond) => {
            each::<t::DurationMillisecondType>(array, |v, out| duration(v, Millisecond, out))
        }
        DataType::Duration(Microsecond) => {
            each::<t::DurationMicrosecondType>(array, |v, out| duration(v, Microsecond, out))
        }
        DataType::Duration(Nanosecond) => {
            each::<t::DurationNanosecondType>(array, |v, out| duration(v, Nanosecond, out))
        }
        DataType::Interval(IntervalUnit::YearMonth) => each::<t::IntervalYearMonthType>(array, months),
        DataType::Interval(IntervalUnit::DayTime) => each::<t::IntervalDayTimeType>(array, |v, out| {
            days_and_time(0, v.days, i64::from(v.milliseconds), Millisecond, out);
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => each::<t::IntervalMonthDayNanoType>(array, |v, out| {
            days_and_time(v.months, v.days, v.nanoseconds, Nanosecond, out);
        }),
        _ => return None,
    })
}

/// Writes each value of a primitive array in one way.
fn each<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut Vec<u8>) + 'a,
) -> WriteValue<'a> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row, out| write(array.value(row), out))
}

/// Base64 with padding (RFC 4648, section 4).
fn bytes<'a>(value: impl Fn(usize) -> &'a [u8] + 'a) -> WriteValue<'a> {
    Box::new(move |row, out| append(out, format_args!("{}", Base64Display::new(value(row), &STANDARD))))
}

/// Appends formatted text.
pub(crate) fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into a vector cannot fail.
    let _ = std::io::Write::write_fmt(out, text);
}
