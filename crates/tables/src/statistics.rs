//! A snapshot's statistics in the engine's form: per file, and for the whole of some files.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics, stats::Precision};

use crate::{Snapshot, layout::Known, prune::widened, summary::ColumnSummary};

/// More cells (files × columns) than this are not kept as statistics per file: each takes some 300 bytes.
const MAX_CELLS: usize = 100_000;

impl Snapshot {
    /// Statistics of each file over the table's columns; none where they would take too much memory.
    pub(crate) fn file_statistics(&self) -> &[Arc<Statistics>] {
        self.file_statistics.get_or_init(|| {
            if self.kind().is_text() || self.files().len().saturating_mul(self.schema().fields().len()) > MAX_CELLS {
                return Vec::new();
            }
            let all = vec![true; self.schema().fields().len()];
            (0..self.files().len()).map(|file| Arc::new(self.statistics_of(&[file], &all))).collect()
        })
    }

    /// Statistics of all files.
    pub(crate) fn whole_statistics(&self) -> &Statistics {
        self.table_statistics.get_or_init(|| {
            let files: Vec<usize> = (0..self.files().len()).collect();
            self.statistics_of(&files, &vec![true; self.schema().fields().len()])
        })
    }

    /// Statistics of these files together, for the marked columns of the table.
    pub(crate) fn statistics_of(&self, files: &[usize], columns: &[bool]) -> Statistics {
        let rows: Option<u64> = files.iter().map(|file| self.files()[*file].summary.rows()).sum();
        let bytes: u64 = files.iter().map(|file| self.files()[*file].meta.size).sum();
        let column_statistics = columns.iter().enumerate().map(|(column, wanted)| {
            if *wanted { self.column_of(files, column) } else { ColumnStatistics::new_unknown() }
        });
        Statistics {
            num_rows: rows.map_or(Precision::Absent, |rows| Precision::Exact(rows as usize)),
            total_byte_size: Precision::Inexact(bytes as usize),
            column_statistics: column_statistics.collect(),
        }
    }

    fn column_of(&self, files: &[usize], column: usize) -> ColumnStatistics {
        let data_type = self.shape().schema().field(column).data_type();
        let mut whole = Whole::new(data_type);
        for file in files {
            let rows = self.files()[*file].summary.rows();
            match column.checked_sub(self.shape().file_columns()) {
                Some(place) => whole.add_constant(&self.partition_values(*file)[place], rows),
                None => match self.known(*file, column) {
                    Known::Missing => whole.add_nulls(rows),
                    Known::Nothing => whole.add_unknown(),
                    Known::Summary(summary) => whole.add(summary, rows),
                },
            }
        }
        whole.finish()
    }
}

/// A column over several files, in the making.
struct Whole<'a> {
    data_type: &'a DataType,
    nulls: Option<u64>,
    min: Bound<'a>,
    max: Bound<'a>,
}

impl<'a> Whole<'a> {
    fn new(data_type: &'a DataType) -> Self {
        Self { data_type, nulls: Some(0), min: Bound::none(Ordering::Less), max: Bound::none(Ordering::Greater) }
    }

    fn add(&mut self, summary: &'a ColumnSummary, rows: Option<u64>) {
        self.nulls = self.nulls.zip(summary.null_count).map(|(left, right)| left + right);
        if rows.is_some() && rows == summary.null_count {
            return;
        }
        self.min.add(summary.min.as_ref(), summary.min_exact, self.data_type);
        self.max.add(summary.max.as_ref(), summary.max_exact, self.data_type);
    }

    fn add_constant(&mut self, value: &'a ScalarValue, rows: Option<u64>) {
        if value.is_null() {
            return self.add_nulls(rows);
        }
        if rows == Some(0) {
            return;
        }
        self.min.add(Some(value), rows.is_some(), self.data_type);
        self.max.add(Some(value), rows.is_some(), self.data_type);
    }

    fn add_nulls(&mut self, rows: Option<u64>) {
        self.nulls = self.nulls.zip(rows).map(|(left, right)| left + right);
    }

    fn add_unknown(&mut self) {
        self.nulls = None;
        self.min.known = false;
        self.max.known = false;
    }

    fn finish(self) -> ColumnStatistics {
        ColumnStatistics {
            null_count: self.nulls.map_or(Precision::Absent, |nulls| Precision::Exact(nulls as usize)),
            min_value: self.min.finish(self.data_type),
            max_value: self.max.finish(self.data_type),
            ..ColumnStatistics::new_unknown()
        }
    }
}

/// The smallest or the greatest value so far.
struct Bound<'a> {
    best: Option<Cow<'a, ScalarValue>>,
    exact: bool,
    known: bool,
    /// How a better value compares with the best so far.
    better: Ordering,
}

impl<'a> Bound<'a> {
    fn none(better: Ordering) -> Self {
        Self { best: None, exact: true, known: true, better }
    }

    fn add(&mut self, value: Option<&'a ScalarValue>, exact: bool, data_type: &DataType) {
        if !self.known {
            return;
        }
        let Some(value) = value.and_then(|value| comparable(value, data_type)) else {
            self.known = false;
            return;
        };
        let order = self.best.as_ref().map(|best| value.partial_cmp(best));
        match order {
            None => (self.best, self.exact) = (Some(value), exact),
            Some(Some(order)) if order == self.better => (self.best, self.exact) = (Some(value), exact),
            Some(Some(Ordering::Equal)) => self.exact |= exact,
            // Beyond a worse bound, exact or not, nothing is better than the best.
            Some(Some(_)) => {}
            Some(None) => self.known = false,
        }
    }

    fn finish(self, data_type: &DataType) -> Precision<ScalarValue> {
        match self.best.filter(|_| self.known).and_then(|value| widened(&value, data_type)) {
            Some(value) if self.exact => Precision::Exact(value),
            Some(value) => Precision::Inexact(value),
            None => Precision::Absent,
        }
    }
}

/// The value in a type that all files share: as it is where only the encoding of strings differs.
fn comparable<'a>(value: &'a ScalarValue, data_type: &DataType) -> Option<Cow<'a, ScalarValue>> {
    let plain = matches!(
        (value, data_type),
        (ScalarValue::Utf8(_), DataType::Utf8View) | (ScalarValue::Binary(_), DataType::BinaryView)
    );
    if plain || &value.data_type() == data_type {
        return Some(Cow::Borrowed(value));
    }
    widened(value, data_type).map(Cow::Owned)
}

impl Snapshot {
    /// Statistics of one file, made for its opening where they are not kept.
    pub(crate) fn one_file_statistics(&self, file: usize) -> Statistics {
        self.statistics_of(&[file], &vec![true; self.schema().fields().len()])
    }
}
