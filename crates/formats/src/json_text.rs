//! The values of a column as JSON text: the rules that JSON documents, NDJSON and nested CSV cells share.

use arrow::{
    array::{Array, ArrayAccessor, AsArray, ListLikeArray, MapArray, StructArray, UnionArray},
    datatypes::DataType,
};
use lakebed_types::Result;

use crate::{
    Numbers,
    cells::{Cells, encoded, unsupported},
    text::{self, WriteValue, is_exact_as_double},
};

/// The rows of a batch or struct as JSON objects.
pub(crate) struct Objects<'a> {
    /// The member's name with its quotes and colon, from the second on with a comma before it.
    members: Vec<(Vec<u8>, Cells<'a>)>,
}

impl<'a> Objects<'a> {
    pub(crate) fn new<'n>(
        columns: impl IntoIterator<Item = (&'n str, &'a dyn Array)>,
        numbers: Numbers,
    ) -> Result<Self> {
        let mut members = Vec::new();
        for (name, array) in columns {
            let mut label = Vec::with_capacity(name.len() + 4);
            label.extend_from_slice(if members.is_empty() { b"{" } else { b"," });
            write_string(name, &mut label);
            label.push(b':');
            members.push((label, cells(array, numbers)?));
        }
        Ok(Self { members })
    }

    /// Appends the object of a row.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.members.is_empty() {
            out.push(b'{');
        }
        for (label, cells) in &self.members {
            out.extend_from_slice(label);
            cells.write_or(b"null", row, out);
        }
        out.push(b'}');
    }
}

/// How the values of an array are written as JSON.
pub(crate) fn cells(array: &dyn Array, numbers: Numbers) -> Result<Cells<'_>> {
    if let Some(cells) = encoded(array, |values| self::cells(values, numbers)) {
        return cells;
    }
    let write = match array.data_type() {
        DataType::Utf8 => strings(array.as_string::<i32>()),
        DataType::LargeUtf8 => strings(array.as_string::<i64>()),
        DataType::Utf8View => strings(array.as_string_view()),
        DataType::Struct(_) => object(array.as_struct(), numbers)?,
        DataType::List(_) => list(array.as_list::<i32>(), numbers)?,
        DataType::LargeList(_) => list(array.as_list::<i64>(), numbers)?,
        DataType::ListView(_) => list(array.as_list_view::<i32>(), numbers)?,
        DataType::LargeListView(_) => list(array.as_list_view::<i64>(), numbers)?,
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list(), numbers)?,
        DataType::Map(..) => map(array.as_map(), numbers)?,
        DataType::Union(..) => union(array.as_union(), numbers)?,
        _ => scalar(array, numbers)?,
    };
    Ok(Cells::new(array, write))
}

fn scalar(array: &dyn Array, numbers: Numbers) -> Result<WriteValue<'_>> {
    let data_type = array.data_type();
    let write = text::scalar(array).ok_or_else(|| unsupported(data_type, "JSON"))?;
    Ok(match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => quoted_unless(write, is_finite),
        DataType::Int64 | DataType::UInt64 => exact(write, numbers),
        other if other.is_decimal() => exact(write, numbers),
        other if other.is_integer() || *other == DataType::Boolean => write,
        _ => quoted(write),
    })
}

fn exact(write: WriteValue<'_>, numbers: Numbers) -> WriteValue<'_> {
    match numbers {
        Numbers::Auto => quoted_unless(write, is_exact_as_double),
        Numbers::String => quoted(write),
    }
}

/// Tells the text of a finite number from `NaN` and `Infinity`, for which JSON has only strings.
fn is_finite(text: &[u8]) -> bool {
    text.last().is_some_and(u8::is_ascii_digit)
}

fn quoted(write: WriteValue<'_>) -> WriteValue<'_> {
    Box::new(move |row, out| {
        out.push(b'"');
        write(row, out);
        out.push(b'"');
    })
}

fn quoted_unless<'a>(write: WriteValue<'a>, is_number: fn(&[u8]) -> bool) -> WriteValue<'a> {
    Box::new(move |row, out| {
        let start = out.len();
        write(row, out);
        if !is_number(&out[start..]) {
            out.insert(start, b'"');
            out.push(b'"');
        }
    })
}

fn strings<'a>(array: impl ArrayAccessor<Item = &'a str> + 'a) -> WriteValue<'a> {
    Box::new(move |row, out| write_string(array.value(row), out))
}

fn object(array: &StructArray, numbers: Numbers) -> Result<WriteValue<'_>> {
    let columns = array.fields().iter().zip(array.columns());
    let objects = Objects::new(columns.map(|(field, column)| (field.name().as_str(), column.as_ref())), numbers)?;
    Ok(Box::new(move |row, out| objects.write(row, out)))
}

fn list(array: &impl ListLikeArray, numbers: Numbers) -> Result<WriteValue<'_>> {
    let items = cells(array.values(), numbers)?;
    Ok(Box::new(move |row, out| {
        out.push(b'[');
        for (place, item) in array.element_range(row).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            items.write_or(b"null", item, out);
        }
        out.push(b']');
    }))
}

/// An object where the keys are strings, else an array of `{"key": …, "value": …}`.
fn map(array: &MapArray, numbers: Numbers) -> Result<WriteValue<'_>> {
    let named = is_string(array.keys().data_type());
    let keys = cells(array.keys(), numbers)?;
    let values = cells(array.values(), numbers)?;
    let (open, close) = if named { (b'{', b'}') } else { (b'[', b']') };
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, out| {
        out.push(open);
        for entry in offsets[row]..offsets[row + 1] {
            if entry > offsets[row] {
                out.push(b',');
            }
            let entry = entry as usize;
            if !named {
                out.extend_from_slice(b"{\"key\":");
            }
            keys.write_or(b"null", entry, out);
            out.extend_from_slice(if named { b":" } else { b",\"value\":" });
            values.write_or(b"null", entry, out);
            if !named {
                out.push(b'}');
            }
        }
        out.push(close);
    }))
}

fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_string(values),
        DataType::RunEndEncoded(_, values) => is_string(values.data_type()),
        other => other.is_string(),
    }
}

/// The value of whichever member a row has.
fn union(array: &UnionArray, numbers: Numbers) -> Result<WriteValue<'_>> {
    let DataType::Union(fields, _) = array.data_type() else { return Err(unsupported(array.data_type(), "JSON")) };
    let mut by_type_id: Vec<Option<Cells<'_>>> = Vec::new();
    for (type_id, _) in fields.iter() {
        let place = usize::try_from(type_id).unwrap_or_default();
        by_type_id.resize_with(by_type_id.len().max(place + 1), || None);
        by_type_id[place] = Some(cells(array.child(type_id), numbers)?);
    }
    Ok(Box::new(move |row, out| {
        let place = usize::try_from(array.type_id(row)).unwrap_or_default();
        match by_type_id.get(place).and_then(Option::as_ref) {
            Some(cells) => cells.write_or(b"null", array.value_offset(row), out),
            None => out.extend_from_slice(b"null"),
        }
    }))
}

/// Appends a string with its quotes. Copies in runs between the bytes that must be escaped: `"`, `\` and those
/// below 0x20 (RFC 8259, section 7).
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(place) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\') {
        out.extend_from_slice(&rest[..place]);
        write_escape(rest[place], out);
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        b'"' | b'\\' => byte,
        other => return text::append(out, format_args!("\\u{other:04x}")),
    };
    out.extend_from_slice(&[b'\\', letter]);
}
