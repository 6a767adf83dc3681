//! The type that two types fit into.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Fields, TimeUnit};

/// The narrowest type that holds both, or `None`. `text`: the files are text, where VARCHAR holds everything.
pub(super) fn widen(left: &DataType, right: &DataType, text: bool) -> Option<DataType> {
    if left == right {
        return Some(left.clone());
    }
    let wide = match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        _ => numbers(left, right)
            .or_else(|| moments(left, right))
            .or_else(|| bytes(left, right))
            .or_else(|| nested(left, right, text)),
    };
    wide.or_else(|| text.then_some(DataType::Utf8))
}

fn numbers(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Decimal256, Float16, Float32, Float64};
    match (left, right) {
        (l, r) if l.is_integer() && r.is_integer() => integers(l, r),
        (Float64, r) if r.is_numeric() && !is_decimal(r) => Some(Float64),
        (l, Float64) if l.is_numeric() && !is_decimal(l) => Some(Float64),
        (Float16, Float32) | (Float32, Float16) => Some(Float32),
        (float, int) | (int, float) if float.is_floating() && int.is_integer() => Some(Float64),
        (Decimal128(..) | Decimal256(..), r) => decimals(left, digits(r)?),
        (l, Decimal128(..) | Decimal256(..)) => decimals(right, digits(l)?),
        _ => None,
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..))
}

fn integers(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    let wider =
        |a: &DataType, b: &DataType| if a.primitive_width() >= b.primitive_width() { a.clone() } else { b.clone() };
    if left.is_signed_integer() == right.is_signed_integer() {
        return Some(wider(left, right));
    }
    let (signed, unsigned) = if left.is_signed_integer() { (left, right) } else { (right, left) };
    Some(match unsigned {
        UInt8 => wider(signed, &Int16),
        UInt16 => wider(signed, &Int32),
        UInt32 => wider(signed, &Int64),
        UInt64 => Decimal128(20, 0),
        _ => return None,
    })
}

/// Digits before and after the point that a type needs.
fn digits(data_type: &DataType) -> Option<(i16, i16)> {
    use DataType::{Decimal128, Decimal256, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    Some(match data_type {
        Int8 | UInt8 => (3, 0),
        Int16 | UInt16 => (5, 0),
        Int32 | UInt32 => (10, 0),
        Int64 => (19, 0),
        UInt64 => (20, 0),
        Decimal128(precision, scale) | Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), i16::from(*scale))
        }
        _ => return None,
    })
}

fn decimals(decimal: &DataType, other: (i16, i16)) -> Option<DataType> {
    let (before, after) = digits(decimal)?;
    let (before, after) = (before.max(other.0), after.max(other.1));
    let precision = u8::try_from(before + after).ok()?;
    let scale = i8::try_from(after).ok()?;
    match precision {
        0..=DECIMAL128_MAX_PRECISION if matches!(decimal, DataType::Decimal128(..)) => {
            Some(DataType::Decimal128(precision, scale))
        }
        0..=DECIMAL256_MAX_PRECISION => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

fn moments(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp};
    Some(match (left, right) {
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Date32 | Date64, Timestamp(unit, None)) | (Timestamp(unit, None), Date32 | Date64) => Timestamp(*unit, None),
        (Time32(_), Time64(unit)) | (Time64(unit), Time32(_)) => Time64(*unit),
        (Time32(l), Time32(r)) => Time32(finer(*l, *r)),
        (Time64(l), Time64(r)) => Time64(finer(*l, *r)),
        (Timestamp(l, left_zone), Timestamp(r, right_zone)) => {
            let zone = if left_zone == right_zone { left_zone.clone() } else { Some(Arc::from("UTC")) };
            Timestamp(finer(*l, *r), zone)
        }
        _ => return None,
    })
}

fn finer(left: TimeUnit, right: TimeUnit) -> TimeUnit {
    let rank = |unit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(left) >= rank(right) { left } else { right }
}

fn bytes(left: &DataType, right: &DataType) -> Option<DataType> {
    let text = |t: &DataType| matches!(plain_type(t), DataType::Utf8);
    let blob = |t: &DataType| matches!(plain_type(t), DataType::Binary | DataType::FixedSizeBinary(_));
    match (left, right) {
        (l, r) if text(l) && text(r) => Some(DataType::Utf8),
        (l, r) if blob(l) && blob(r) => Some(DataType::Binary),
        _ => None,
    }
}

fn nested(left: &DataType, right: &DataType, text: bool) -> Option<DataType> {
    use DataType::{FixedSizeList, LargeList, List, Struct};
    match (left, right) {
        (List(l) | LargeList(l) | FixedSizeList(l, _), List(r) | LargeList(r) | FixedSizeList(r, _)) => {
            let item = widen(l.data_type(), r.data_type(), text)?;
            Some(List(Arc::new(Field::new(l.name(), item, true))))
        }
        (Struct(l), Struct(r)) => Some(Struct(fields(l, r, text)?)),
        _ => None,
    }
}

/// The members of both, by their exact names.
fn fields(left: &Fields, right: &Fields, text: bool) -> Option<Fields> {
    let mut members = Vec::with_capacity(left.len().max(right.len()));
    for field in left {
        let wide = match right.find(field.name()) {
            Some((_, other)) => widen(field.data_type(), other.data_type(), text)?,
            None => field.data_type().clone(),
        };
        members.push(Field::new(field.name(), wide, true));
    }
    let new = right.iter().filter(|field| left.find(field.name()).is_none());
    members.extend(new.map(|field| Field::new(field.name(), field.data_type().clone(), true)));
    Some(members.into())
}

/// The type without its in-memory encoding and without metadata: dictionaries by their values, one kind of string and of
/// bytes, also inside of nested types.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    let plain =
        |field: &Arc<Field>| Arc::new(Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()));
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::List(item) | DataType::LargeList(item) => DataType::List(plain(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(plain(item), *length),
        DataType::Struct(members) => DataType::Struct(members.iter().map(plain).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain(entries), *sorted),
        other => other.clone(),
    }
}
