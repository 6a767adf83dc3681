//! How many bytes values take once they stand for themselves: what dictionaries, runs and views share is counted as
//! often as it is named, since a table's columns share nothing.

use arrow::{
    array::{Array, ArrayRef, AsArray, GenericByteViewArray, OffsetSizeTrait},
    datatypes::{ByteViewType, DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType},
};

/// The bytes of values, written out. Without end for types that no table has and that can name one value many times.
pub(super) fn plain_bytes(values: &dyn Array) -> u64 {
    let rows = values.len() as u64;
    match values.data_type() {
        DataType::Boolean => rows,
        DataType::Null => rows * 8,
        DataType::Utf8 => span(values.as_string::<i32>().value_offsets()) + rows * 4,
        DataType::LargeUtf8 => span(values.as_string::<i64>().value_offsets()) + rows * 4,
        DataType::Binary => span(values.as_binary::<i32>().value_offsets()) + rows * 4,
        DataType::LargeBinary => span(values.as_binary::<i64>().value_offsets()) + rows * 4,
        DataType::Utf8View => viewed(values.as_string_view()),
        DataType::BinaryView => viewed(values.as_binary_view()),
        DataType::FixedSizeBinary(width) => rows.saturating_mul((*width).unsigned_abs().into()),
        DataType::List(_) => items(values.as_list::<i32>().value_offsets(), values.as_list::<i32>().values(), rows),
        DataType::LargeList(_) => {
            items(values.as_list::<i64>().value_offsets(), values.as_list::<i64>().values(), rows)
        }
        DataType::FixedSizeList(..) => plain_bytes(values.as_fixed_size_list().values()),
        DataType::Map(..) => {
            let map = values.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            items(map.value_offsets(), &entries, rows)
        }
        DataType::Struct(_) => sum(values.as_struct().columns().iter().map(|member| plain_bytes(member))) + rows,
        DataType::Dictionary(..) => named(values),
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => runs::<Int16Type>(values),
            DataType::Int32 => runs::<Int32Type>(values),
            _ => runs::<Int64Type>(values),
        },
        other => match other.primitive_width() {
            Some(width) => rows.saturating_mul(width as u64),
            None => u64::MAX,
        },
    }
}

fn sum(all: impl Iterator<Item = u64>) -> u64 {
    // Room is left for what is added to a sum.
    all.fold(0, u64::saturating_add).min(u64::MAX / 2)
}

fn span<O: OffsetSizeTrait>(offsets: &[O]) -> u64 {
    match offsets {
        [first, .., last] => last.as_usize().saturating_sub(first.as_usize()) as u64,
        _ => 0,
    }
}

fn items<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef, rows: u64) -> u64 {
    let first = offsets.first().map_or(0, |first| first.as_usize());
    plain_bytes(&values.slice(first, span(offsets) as usize)).saturating_add(rows * 4)
}

/// A view has the length of its value in its lower half.
fn viewed<T: ByteViewType + ?Sized>(values: &GenericByteViewArray<T>) -> u64 {
    sum(values.views().iter().map(|view| u64::from(*view as u32) + 16))
}

fn named(values: &dyn Array) -> u64 {
    let dictionary = values.as_any_dictionary();
    let items = dictionary.values();
    match items.is_empty() {
        true => values.len() as u64 * 4,
        false => sum(dictionary.normalized_keys().into_iter().map(|key| one(items, key))),
    }
}

fn runs<T: RunEndIndexType>(values: &dyn Array) -> u64 {
    let Some(runs) = values.as_run_opt::<T>() else { return u64::MAX };
    let longest = (0..runs.values().len()).map(|place| one(runs.values(), place)).max().unwrap_or(0);
    longest.saturating_mul(values.len() as u64)
}

fn one(values: &ArrayRef, place: usize) -> u64 {
    match values.as_string_opt::<i32>() {
        Some(texts) => texts.value_length(place) as u64 + 4,
        None => plain_bytes(&values.slice(place, 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, FixedSizeListArray, Int32Array, NullArray, StringArray, StringViewArray};

    use super::*;

    #[test]
    fn what_is_shared_counts_as_often_as_it_is_named() {
        let long = "x".repeat(1000);
        let plain = StringArray::from(vec![long.as_str(); 50]);
        let keys = Int32Array::from(vec![0; 50]);
        let dictionary = DictionaryArray::new(keys, Arc::new(StringArray::from(vec![long.as_str(), "y"])));
        let mut views = StringViewArray::from(vec![long.as_str()]).views().to_vec();
        views.resize(50, views[0]);
        let buffers = StringViewArray::from(vec![long.as_str()]).data_buffers().to_vec();
        let views = StringViewArray::try_new(views.into(), buffers, None).unwrap();
        assert_eq!(plain_bytes(&plain), 50 * 1004);
        assert_eq!(plain_bytes(&dictionary), 50 * 1004);
        assert_eq!(plain_bytes(&views), 50 * 1016);
        assert_eq!(plain_bytes(&views.slice(10, 5)), 5 * 1016);
    }

    #[test]
    fn lists_of_nothing_count_their_items() {
        let item = Arc::new(arrow::datatypes::Field::new("item", DataType::Null, true));
        let lists = FixedSizeListArray::try_new(item, 8, Arc::new(NullArray::new(64)), None).unwrap();
        assert_eq!(plain_bytes(&lists), 8 * 64);
    }
}
