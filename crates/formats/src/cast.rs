//! Casts of whole columns, strict: a value that does not fit is an error, never NULL.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, GenericByteArray, GenericByteViewArray},
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    compute::{CastOptions, cast_with_options},
    datatypes::{BinaryType, BinaryViewType, ByteArrayType, ByteViewType, DataType, StringViewType, Utf8Type},
    error::ArrowError,
};

/// Bytes of a view that has its value within.
const INLINE_BYTES: usize = 12;

/// The column as values of `data_type`. Views become plain texts here in one pass: a result is full of them.
///
/// # Errors
/// What the kernel says of a value that `data_type` cannot hold.
pub fn cast_strictly(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let plain = match (column.data_type(), data_type) {
        (from, to) if from == to => Some(Arc::clone(column)),
        (DataType::Utf8View, DataType::Utf8) => {
            without_views::<StringViewType, Utf8Type>(column.as_string_view())?.map(|texts| Arc::new(texts) as ArrayRef)
        }
        (DataType::BinaryView, DataType::Binary) => {
            let bytes = without_views::<BinaryViewType, BinaryType>(column.as_binary_view())?;
            bytes.map(|bytes| Arc::new(bytes) as ArrayRef)
        }
        _ => None,
    };
    match plain {
        Some(plain) => Ok(plain),
        None => cast_with_options(column, data_type, &CastOptions { safe: false, ..CastOptions::default() }),
    }
}

/// None where the values are more than offsets of 32 bits can tell, or a NULL has a value: the kernel knows what to do.
fn without_views<V, T>(column: &GenericByteViewArray<V>) -> Result<Option<GenericByteArray<T>>, ArrowError>
where
    V: ByteViewType,
    T: ByteArrayType<Offset = i32>,
{
    let views = column.views();
    let length = |view: &u128| *view as u32 as usize;
    let total: usize = views.iter().map(length).sum();
    let has_value = |row: usize| column.is_null(row) && length(&views[row]) > 0;
    if i32::try_from(total).is_err() || (column.null_count() > 0 && (0..views.len()).any(has_value)) {
        return Ok(None);
    }
    // Short values are copied with all the room that they have in a view; the next one goes over what is too much.
    let mut values = vec![0; total + INLINE_BYTES];
    let mut offsets = Vec::with_capacity(views.len() + 1);
    offsets.push(0);
    let mut end = 0;
    for view in views {
        let length = length(view);
        if length <= INLINE_BYTES {
            values[end..end + INLINE_BYTES].copy_from_slice(&view.to_le_bytes()[4..]);
        } else {
            let (buffer, start) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
            values[end..end + length].copy_from_slice(&column.data_buffers()[buffer][start..start + length]);
        }
        end += length;
        offsets.push(end as i32);
    }
    values.truncate(end);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    GenericByteArray::try_new(offsets, Buffer::from_vec(values), column.nulls().cloned()).map(Some)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, BinaryViewArray, Int64Array, StringArray, StringViewArray};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_the_same_without_views(
            texts in prop::collection::vec(prop::option::of("\\PC{0,20}"), 0..50),
            from in 0usize..50,
        ) {
            let from = from.min(texts.len());
            let views: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>());
            let plain = cast_strictly(&views.slice(from, texts.len() - from), &DataType::Utf8).unwrap();
            let expected: StringArray = texts[from..].iter().map(Option::as_deref).collect();
            prop_assert_eq!(plain.as_string::<i32>(), &expected);
        }
    }

    #[test]
    fn bytes_are_the_same_without_views() {
        let bytes: [Option<&[u8]>; 4] = [Some(&[0xff; 13]), None, Some(&[]), Some(&[1, 2])];
        let views: ArrayRef = Arc::new(bytes.into_iter().collect::<BinaryViewArray>());
        let plain = cast_strictly(&views, &DataType::Binary).unwrap();
        assert_eq!(plain.as_binary::<i32>(), &bytes.into_iter().collect::<BinaryArray>());
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 300]));
        assert!(cast_strictly(&numbers, &DataType::Int8).is_err());
        assert!(cast_strictly(&numbers.slice(0, 1), &DataType::Int8).is_ok());
    }
}
