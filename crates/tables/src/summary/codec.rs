//! The catalog's form of a file summary: a version byte, then numbers as varints and bounds in their type's own width.

use arrow::datatypes::{DataType, SchemaRef, TimeUnit, i256};
use datafusion::common::ScalarValue;
use lakebed_types::{Error, ErrorKind, Result};

use super::{ColumnSummary, FileSummary};

const VERSION: u8 = 1;
/// A longer bound is left out: it would cost more than it prunes.
const MAX_BOUND_BYTES: usize = 512;

const NULL_COUNT: u8 = 1;
const MIN: u8 = 2;
const MAX: u8 = 4;
const MIN_EXACT: u8 = 8;
const MAX_EXACT: u8 = 16;

pub(super) fn encode(summary: &FileSummary) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + summary.columns.len() * 24);
    out.push(VERSION);
    put_option(&mut out, summary.rows);
    put_option(&mut out, summary.row_groups);
    put_option(&mut out, summary.tail_bytes);
    put_varint(&mut out, summary.columns.len() as u64);
    for column in &summary.columns {
        put_column(&mut out, column);
    }
    out
}

fn put_column(out: &mut Vec<u8>, column: &ColumnSummary) {
    let min = column.min.as_ref().and_then(bound_bytes);
    let max = column.max.as_ref().and_then(bound_bytes);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        flag(column.null_count.is_some(), NULL_COUNT)
            | flag(min.is_some(), MIN)
            | flag(max.is_some(), MAX)
            | flag(column.min_exact, MIN_EXACT)
            | flag(column.max_exact, MAX_EXACT),
    );
    put_varint(out, column.compressed_bytes);
    if let Some(nulls) = column.null_count {
        put_varint(out, nulls);
    }
    out.extend(min.into_iter().flatten());
    out.extend(max.into_iter().flatten());
}

/// The bytes of a bound: fixed width, or a varint length and the bytes. `None` for types without statistics.
fn bound_bytes(value: &ScalarValue) -> Option<Vec<u8>> {
    use ScalarValue as S;
    let text = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(bytes.len() + 2);
        put_varint(&mut out, bytes.len() as u64);
        out.extend_from_slice(bytes);
        (bytes.len() <= MAX_BOUND_BYTES).then_some(out)
    };
    Some(match value {
        S::Boolean(Some(v)) => vec![u8::from(*v)],
        S::Int8(Some(v)) => v.to_le_bytes().to_vec(),
        S::Int16(Some(v)) => v.to_le_bytes().to_vec(),
        S::Int32(Some(v)) | S::Date32(Some(v)) | S::Time32Second(Some(v)) | S::Time32Millisecond(Some(v)) => {
            v.to_le_bytes().to_vec()
        }
        S::Int64(Some(v))
        | S::Date64(Some(v))
        | S::Time64Microsecond(Some(v))
        | S::Time64Nanosecond(Some(v))
        | S::TimestampSecond(Some(v), _)
        | S::TimestampMillisecond(Some(v), _)
        | S::TimestampMicrosecond(Some(v), _)
        | S::TimestampNanosecond(Some(v), _) => v.to_le_bytes().to_vec(),
        S::UInt8(Some(v)) => v.to_le_bytes().to_vec(),
        S::UInt16(Some(v)) => v.to_le_bytes().to_vec(),
        S::UInt32(Some(v)) => v.to_le_bytes().to_vec(),
        S::UInt64(Some(v)) => v.to_le_bytes().to_vec(),
        S::Float32(Some(v)) => v.to_le_bytes().to_vec(),
        S::Float64(Some(v)) => v.to_le_bytes().to_vec(),
        S::Decimal128(Some(v), _, _) => v.to_le_bytes().to_vec(),
        S::Decimal256(Some(v), _, _) => v.to_le_bytes().to_vec(),
        S::Utf8(Some(v)) => return text(v.as_bytes()),
        S::Binary(Some(v)) | S::FixedSizeBinary(_, Some(v)) => return text(v),
        _ => return None,
    })
}

pub(super) fn decode(bytes: &[u8], schema: &SchemaRef) -> Result<FileSummary> {
    let mut input = Input { bytes };
    if input.byte()? != VERSION {
        return Err(damaged("an unknown version"));
    }
    let rows = input.option()?;
    let row_groups = input.option()?;
    let tail_bytes = input.option()?;
    let count = input.varint()? as usize;
    if count != 0 && count != schema.fields().len() {
        return Err(damaged("another number of columns than its schema"));
    }
    let columns = schema.fields().iter().take(count).map(|field| input.column(field.data_type()));
    Ok(FileSummary { rows, row_groups, tail_bytes, columns: columns.collect::<Result<_>>()? })
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::CorruptFile, format!("the stored file summary has {what}"))
        .with_hint("The file is read again at the next look.")
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Zero is "not known", all else is shifted by one.
fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    put_varint(out, value.map_or(0, |value| value.saturating_add(1)));
}

/// What is left to decode.
struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(count).ok_or_else(|| damaged("an early end"))?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged("an early end"))
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a number that does not end"))
    }

    fn option(&mut self) -> Result<Option<u64>> {
        Ok(self.varint()?.checked_sub(1))
    }

    fn column(&mut self, data_type: &DataType) -> Result<ColumnSummary> {
        let flags = self.byte()?;
        let compressed_bytes = self.varint()?;
        let null_count = (flags & NULL_COUNT != 0).then(|| self.varint()).transpose()?;
        let min = (flags & MIN != 0).then(|| self.bound(data_type)).transpose()?;
        let max = (flags & MAX != 0).then(|| self.bound(data_type)).transpose()?;
        let (min_exact, max_exact) = (flags & MIN_EXACT != 0, flags & MAX_EXACT != 0);
        Ok(ColumnSummary { null_count, min, max, min_exact, max_exact, compressed_bytes })
    }

    fn bound(&mut self, data_type: &DataType) -> Result<ScalarValue> {
        use ScalarValue as S;
        Ok(match data_type {
            DataType::Boolean => S::Boolean(Some(self.byte()? != 0)),
            DataType::Int8 => S::Int8(Some(i8::from_le_bytes(self.array()?))),
            DataType::Int16 => S::Int16(Some(i16::from_le_bytes(self.array()?))),
            DataType::Int32 => S::Int32(Some(i32::from_le_bytes(self.array()?))),
            DataType::Int64 => S::Int64(Some(i64::from_le_bytes(self.array()?))),
            DataType::UInt8 => S::UInt8(Some(self.byte()?)),
            DataType::UInt16 => S::UInt16(Some(u16::from_le_bytes(self.array()?))),
            DataType::UInt32 => S::UInt32(Some(u32::from_le_bytes(self.array()?))),
            DataType::UInt64 => S::UInt64(Some(u64::from_le_bytes(self.array()?))),
            DataType::Float32 => S::Float32(Some(f32::from_le_bytes(self.array()?))),
            DataType::Float64 => S::Float64(Some(f64::from_le_bytes(self.array()?))),
            DataType::Decimal128(precision, scale) => {
                S::Decimal128(Some(i128::from_le_bytes(self.array()?)), *precision, *scale)
            }
            DataType::Decimal256(precision, scale) => {
                S::Decimal256(Some(i256::from_le_bytes(self.array()?)), *precision, *scale)
            }
            DataType::Utf8 => S::Utf8(Some(self.text()?)),
            DataType::Binary => S::Binary(Some(self.blob()?)),
            DataType::FixedSizeBinary(width) => S::FixedSizeBinary(*width, Some(self.blob()?)),
            _ => self.moment(data_type)?,
        })
    }

    fn moment(&mut self, data_type: &DataType) -> Result<ScalarValue> {
        use ScalarValue as S;
        Ok(match data_type {
            DataType::Date32 => S::Date32(Some(i32::from_le_bytes(self.array()?))),
            DataType::Date64 => S::Date64(Some(i64::from_le_bytes(self.array()?))),
            DataType::Time32(TimeUnit::Second) => S::Time32Second(Some(i32::from_le_bytes(self.array()?))),
            DataType::Time32(_) => S::Time32Millisecond(Some(i32::from_le_bytes(self.array()?))),
            DataType::Time64(TimeUnit::Nanosecond) => S::Time64Nanosecond(Some(i64::from_le_bytes(self.array()?))),
            DataType::Time64(_) => S::Time64Microsecond(Some(i64::from_le_bytes(self.array()?))),
            DataType::Timestamp(unit, zone) => {
                let value = Some(i64::from_le_bytes(self.array()?));
                match unit {
                    TimeUnit::Second => S::TimestampSecond(value, zone.clone()),
                    TimeUnit::Millisecond => S::TimestampMillisecond(value, zone.clone()),
                    TimeUnit::Microsecond => S::TimestampMicrosecond(value, zone.clone()),
                    TimeUnit::Nanosecond => S::TimestampNanosecond(value, zone.clone()),
                }
            }
            _ => return Err(damaged("a bound for a type that has none")),
        })
    }

    fn blob(&mut self) -> Result<Vec<u8>> {
        let length = self.varint()? as usize;
        Ok(self.take(length)?.to_vec())
    }

    fn text(&mut self) -> Result<String> {
        String::from_utf8(self.blob()?).map_err(|_| damaged("a bound that is not UTF-8"))
    }
}
