//! How much data columns hold, by what their rows refer to and not by what their buffers reserve.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        datatypes::{BinaryViewType, DataType, StringViewType},
    },
    common::ScalarValue,
    logical_expr::ColumnarValue,
};

/// Bytes per row, for a value with as many rows as the batch.
pub(super) fn row_bytes(value: &ColumnarValue, rows: usize) -> Vec<u64> {
    match value {
        ColumnarValue::Scalar(scalar) => vec![scalar_bytes(scalar); rows],
        ColumnarValue::Array(array) => (0..array.len()).map(|row| bytes_at(array, row)).collect(),
    }
}

fn scalar_bytes(scalar: &ScalarValue) -> u64 {
    match scalar.to_array() {
        Ok(array) if !array.is_empty() => bytes_at(&array, 0),
        _ => 0,
    }
}

/// Bytes of one row's value; an upper bound for fixed widths, exact for text and lists.
pub(super) fn bytes_at(array: &ArrayRef, row: usize) -> u64 {
    if array.is_null(row) {
        return 1;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value_length(row) as u64,
        DataType::LargeUtf8 => array.as_string::<i64>().value_length(row) as u64,
        DataType::Binary => array.as_binary::<i32>().value_length(row) as u64,
        DataType::LargeBinary => array.as_binary::<i64>().value_length(row) as u64,
        DataType::Utf8View => view_bytes(array.as_byte_view::<StringViewType>().views(), row),
        DataType::BinaryView => view_bytes(array.as_byte_view::<BinaryViewType>().views(), row),
        DataType::List(_) => list_bytes(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list_bytes(&array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list_bytes(&array.as_fixed_size_list().value(row)),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| bytes_at(column, row)).sum(),
        other => other.primitive_width().unwrap_or(16) as u64,
    }
}

/// A view's low 32 bits are its length.
fn view_bytes(views: &[u128], row: usize) -> u64 {
    u64::from(views.get(row).map_or(0, |view| *view as u32))
}

fn list_bytes(items: &ArrayRef) -> u64 {
    if let Some(width) = items.data_type().primitive_width() {
        return (items.len() * width) as u64;
    }
    (0..items.len()).map(|row| bytes_at(items, row)).sum()
}
