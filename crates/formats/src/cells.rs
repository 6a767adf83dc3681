//! The values of one column, ready to be written row by row, whatever their encoding.

use arrow::{
    array::{Array, downcast_dictionary_array, downcast_run_array},
    buffer::NullBuffer,
    datatypes::{ArrowNativeType, DataType},
};
use lakebed_types::{Error, ErrorKind, Result, sql_type_name};

use crate::text::WriteValue;

/// The writer of one column's values, with the rows that are null.
pub(crate) struct Cells<'a> {
    nulls: Option<NullBuffer>,
    write: WriteValue<'a>,
}

impl<'a> Cells<'a> {
    /// Values of `array` as `write` puts them; `write` is not asked for rows that are null.
    pub(crate) fn new(array: &dyn Array, write: WriteValue<'a>) -> Self {
        // A bitmap without a null in it would only cost a look-up per value.
        Self { nulls: array.logical_nulls().filter(|nulls| nulls.null_count() > 0), write }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value of a row, or `null`.
    pub(crate) fn write_or(&self, null: &[u8], row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(null);
        } else {
            (self.write)(row, out);
        }
    }
}

/// The cells of an encoded array (dictionary, run-end) by way of the cells of its values; None for others.
pub(crate) fn encoded<'a>(
    array: &'a dyn Array,
    of_values: impl FnOnce(&'a dyn Array) -> Result<Cells<'a>>,
) -> Option<Result<Cells<'a>>> {
    let whole = array;
    match array.data_type() {
        DataType::Dictionary(..) => downcast_dictionary_array!(
            array => Some(of_values(array.values()).map(|values| {
                let keys = array.keys().values();
                Cells::new(whole, Box::new(move |row, out| (values.write)(keys[row].as_usize(), out)))
            })),
            _ => None
        ),
        DataType::RunEndEncoded(..) => downcast_run_array!(
            array => Some(of_values(array.values()).map(|values| {
                Cells::new(whole, Box::new(move |row, out| (values.write)(array.get_physical_index(row), out)))
            })),
            _ => None
        ),
        _ => None,
    }
}

/// An error for a type that a format has no place for.
pub(crate) fn unsupported(data_type: &DataType, format: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{format} has no place for the type {}", sql_type_name(data_type)))
        .with_hint("Cast the column to VARCHAR, or ask for another format.")
}
