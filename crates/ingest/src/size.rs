//! What rows count as.

use arrow::array::{Array, ArrayRef, RecordBatch};

/// Work on fewer bytes takes less than handing it to another thread.
pub(crate) const SMALL_BYTES: usize = 100_000;

/// Bytes of the values of a batch, whatever its buffers hold besides: columns that came as Arrow share the body's.
pub(crate) fn bytes_of(batch: &RecordBatch) -> u64 {
    let of = |column: &ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()) as u64
    };
    batch.columns().iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, sync::Arc};

    use arrow::array::{Int64Array, StringArray};
    use arrow_ipc::{reader::StreamReader, writer::StreamWriter};

    use super::*;

    #[test]
    fn columns_that_share_a_body_count_once() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..1000).map(|id| format!("{id:010}"))));
        let column = |place| (format!("c{place}"), if place % 2 == 0 { ids.clone() } else { texts.clone() });
        let batch = RecordBatch::try_from_iter((0..20).map(column)).unwrap();
        let mut body = Vec::new();
        let mut writer = StreamWriter::try_new(&mut body, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        drop(writer);
        let read = StreamReader::try_new(Cursor::new(&body), None).unwrap().next().unwrap().unwrap();
        let bytes = bytes_of(&read);
        // 8 bytes of a number; 4 of an offset and 10 of a text.
        assert!((220_000..300_000).contains(&bytes), "{bytes}");
        assert!((body.len() as u64) < 2 * bytes && bytes < 2 * body.len() as u64);
        assert!(bytes_of(&read.slice(0, 10)) < bytes / 50);
    }
}
