//! A copy of an answer that is being made: given up as soon as it is too large.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array},
    compute::take_record_batch,
    datatypes::DataType,
    error::ArrowError,
};

use super::Key;

/// Below this a batch is kept as it is, whatever else its buffers hold.
const SMALL_BYTES: usize = 16 << 10;

/// Batches on their way into the cache. Dropping it gives its room back.
#[derive(Debug)]
pub(crate) struct AnswerCopy {
    key: Key,
    batches: Vec<RecordBatch>,
    bytes: u64,
    most: u64,
    /// Bytes of all copies that are being made, and how many these may be.
    under_way: Arc<AtomicU64>,
    under_way_most: u64,
    given_up: bool,
}

impl AnswerCopy {
    pub(super) fn new(under_way: Arc<AtomicU64>, under_way_most: u64, most: u64, key: Key) -> Self {
        Self { key, batches: Vec::new(), bytes: 0, most, under_way, under_way_most, given_up: false }
    }

    /// Takes a batch along.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        if self.given_up || batch.num_rows() == 0 {
            return;
        }
        match compacted(batch) {
            Ok(batch) if self.take_room(batch.get_array_memory_size() as u64) => self.batches.push(batch),
            _ => self.give_up(),
        }
    }

    fn take_room(&mut self, bytes: u64) -> bool {
        if self.bytes + bytes > self.most {
            return false;
        }
        self.bytes += bytes;
        // Its own bytes are taken even if that is too many: giving up gives them back.
        self.under_way.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.under_way_most
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.batches = Vec::new();
        self.under_way.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// All of it; None if it was given up.
    pub(super) fn finish(mut self) -> Option<(Key, Vec<RecordBatch>, u64)> {
        (!self.given_up).then(|| (self.key, std::mem::take(&mut self.batches), self.bytes))
    }
}

impl Drop for AnswerCopy {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// A few rows may hold on to the buffers of many, as after a LIMIT.
fn compacted(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let held = batch.get_array_memory_size();
    if held <= SMALL_BYTES || held <= 2 * needed(batch)? {
        return Ok(batch.clone());
    }
    let all = UInt64Array::from_iter_values(0..batch.num_rows() as u64);
    let taken = take_record_batch(batch, &all)?;
    let columns: Vec<ArrayRef> = taken.columns().iter().map(without_spare).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(taken.num_rows()));
    RecordBatch::try_new_with_options(taken.schema(), columns, &options)
}

fn needed(batch: &RecordBatch) -> Result<usize, ArrowError> {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size()).sum()
}

/// Views share the buffers of what they were taken from.
fn without_spare(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}
