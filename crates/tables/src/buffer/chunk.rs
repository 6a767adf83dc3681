//! A batch of buffered rows, with the log position of each of its parts.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::DataType,
    error::ArrowError,
};
use datafusion::{
    common::ScalarValue,
    functions_aggregate::min_max::{MaxAccumulator, MinAccumulator},
    logical_expr::Accumulator,
};

/// Rows with ascending log positions.
#[derive(Debug)]
pub(super) struct Chunk {
    batch: RecordBatch,
    /// Each log position, and the row after its last.
    ends: Vec<(u64, usize)>,
    pub(super) bytes: u64,
    /// When the first of them came.
    pub(super) received: Instant,
    /// The columns in the engine's types, made when first read.
    engine: Vec<OnceLock<ArrayRef>>,
    bounds: Vec<OnceLock<Option<Bounds>>>,
}

/// What is known of a column's values.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) min: ScalarValue,
    pub(super) max: ScalarValue,
}

impl Chunk {
    pub(super) fn new(batch: RecordBatch, ends: Vec<(u64, usize)>, bytes: u64, received: Instant) -> Self {
        let columns = batch.num_columns();
        Self {
            batch,
            ends,
            bytes,
            received,
            engine: (0..columns).map(|_| OnceLock::new()).collect(),
            bounds: (0..columns).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub(super) fn first(&self) -> u64 {
        self.ends.first().map_or(0, |(lsn, _)| *lsn)
    }

    pub(super) fn last(&self) -> u64 {
        self.ends.last().map_or(0, |(lsn, _)| *lsn)
    }

    /// The first row with a position above this one.
    pub(super) fn start_after(&self, lsn: u64) -> usize {
        match self.ends.partition_point(|(known, _)| *known <= lsn) {
            0 => 0,
            after => self.ends[after - 1].1,
        }
    }

    /// The rows of each position above this one.
    pub(super) fn parts_after(&self, lsn: u64) -> impl Iterator<Item = (u64, RecordBatch)> {
        let first = self.ends.partition_point(|(known, _)| *known <= lsn);
        (first..self.ends.len()).map(move |place| {
            let start = if place == 0 { 0 } else { self.ends[place - 1].1 };
            let (lsn, end) = self.ends[place];
            (lsn, self.batch.slice(start, end - start))
        })
    }

    /// The rows up to a position and those above it, where there are both.
    pub(super) fn split(&self, lsn: u64) -> Option<(Self, Self)> {
        let place = self.ends.partition_point(|(known, _)| *known <= lsn);
        let row = self.start_after(lsn);
        if place == 0 || place == self.ends.len() {
            return None;
        }
        let bytes = (u128::from(self.bytes) * row as u128 / (self.rows().max(1) as u128)) as u64;
        let above = self.ends[place..].iter().map(|(lsn, end)| (*lsn, end - row)).collect();
        Some((
            Self::new(self.batch.slice(0, row), self.ends[..place].to_vec(), bytes, self.received),
            Self::new(self.batch.slice(row, self.rows() - row), above, self.bytes - bytes, self.received),
        ))
    }

    /// Chunks of the same columns as one, in their order; for small ones, which cost every reader. None of none.
    pub(super) fn joined(chunks: &[Arc<Self>]) -> Result<Option<Self>, ArrowError> {
        let Some(first) = chunks.first() else { return Ok(None) };
        let batch = concat_batches(first.batch.schema_ref(), chunks.iter().map(|chunk| &chunk.batch))?;
        let (mut ends, mut before) = (Vec::with_capacity(chunks.iter().map(|chunk| chunk.ends.len()).sum()), 0);
        for chunk in chunks {
            ends.extend(chunk.ends.iter().map(|(lsn, end)| (*lsn, before + end)));
            before += chunk.rows();
        }
        let bytes = chunks.iter().map(|chunk| chunk.bytes).sum();
        Ok(Some(Self::new(batch, ends, bytes, first.received)))
    }

    /// A column in the engine's type.
    pub(super) fn column(&self, place: usize) -> Result<ArrayRef, ArrowError> {
        if let Some(column) = self.engine[place].get() {
            return Ok(Arc::clone(column));
        }
        let column = self.batch.column(place);
        let column = match engine_type(column.data_type()) {
            Some(wanted) => cast(column, &wanted)?,
            None => Arc::clone(column),
        };
        Ok(Arc::clone(self.engine[place].get_or_init(|| column)))
    }

    /// The smallest and the greatest value of a column, in the engine's type; None where they are not known.
    pub(super) fn bounds(&self, place: usize) -> Option<&Bounds> {
        self.bounds[place].get_or_init(|| self.find_bounds(place)).as_ref()
    }

    fn find_bounds(&self, place: usize) -> Option<Bounds> {
        let column = self.column(place).ok()?;
        let data_type = column.data_type();
        // NaN is neither, and nested values are not compared.
        if data_type.is_nested() || data_type.is_floating() || column.null_count() == column.len() {
            return None;
        }
        let values = std::slice::from_ref(&column);
        let mut min = MinAccumulator::try_new(data_type).ok()?;
        let mut max = MaxAccumulator::try_new(data_type).ok()?;
        min.update_batch(values).ok()?;
        max.update_batch(values).ok()?;
        Some(Bounds { min: min.evaluate().ok()?, max: max.evaluate().ok()? })
    }
}

/// As files are read: strings as views.
fn engine_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => Some(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary => Some(DataType::BinaryView),
        _ => None,
    }
}
