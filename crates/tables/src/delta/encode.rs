//! Rows in memory to sorted Parquet, one file per partition value.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, SortOptions, cast_with_options, interleave_record_batch},
    datatypes::{DataType, Field, Schema, SchemaRef},
    row::{RowConverter, Rows, SortField},
};
use lakebed_types::{Error, ErrorKind, Result};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use super::{nan, partition, state::DeltaState};
use crate::{FileSummary, caches::index_start, summary::summarize};

/// Rows of a row group, at most. A merge holds one row group of each of its inputs, so they are small.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Encoded bytes after which a row group ends, whatever its rows.
pub(super) const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Rows that are gathered at once.
const GATHERED_ROWS: usize = 8192;
/// What they take in memory, at most, unless one row alone takes more. One array cannot hold texts of 2 GiB.
pub(super) const GATHERED_BYTES: usize = 32 * 1024 * 1024;
/// A value of a fixed width.
const FLAT_BYTES: usize = 16;

/// How all sort columns are ordered.
pub(super) const ORDER: SortOptions = SortOptions { descending: false, nulls_first: true };

/// How files of a table look.
#[derive(Debug, Clone)]
pub(super) struct FileLayout {
    pub(super) schema: SchemaRef,
    pub(super) file_schema: SchemaRef,
    /// The place of the partition column in `schema`.
    pub(super) partition: Option<usize>,
    /// Those sort columns that the table has.
    pub(super) sort: Vec<String>,
}

/// A file that is ready to be stored.
pub(super) struct Encoded {
    pub(super) value: Option<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) summary: FileSummary,
}

impl FileLayout {
    pub(super) fn of(state: &DeltaState) -> Self {
        let file_schema = Arc::clone(state.file_schema());
        let known = |name: &String| file_schema.column_with_name(name).is_some();
        let sort = state.sort_columns().into_iter().filter(known).collect();
        let partition = state.partition_column().and_then(|name| state.schema().index_of(name).ok());
        Self { schema: Arc::clone(state.schema()), file_schema, partition, sort }
    }

    /// How a file is written. `unbounded`: columns of the file, by their places, that get no statistics.
    pub(super) fn properties(&self, unbounded: &[usize]) -> WriterProperties {
        let place = |name: &String| self.file_schema.index_of(name).ok();
        let sorting = self.sort.iter().filter_map(place).map(|place| SortingColumn {
            column_idx: place as i32,
            descending: ORDER.descending,
            nulls_first: ORDER.nulls_first,
        });
        let sorting: Vec<SortingColumn> = sorting.collect();
        // Places count leaves: behind a nested column they are others, and the log's tags say it anyway.
        let flat = self.file_schema.fields().iter().all(|field| !field.data_type().is_nested());
        let properties = WriterProperties::builder()
            .set_created_by(concat!("lakebed ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_sorting_columns((flat && !sorting.is_empty()).then_some(sorting));
        let without =
            unbounded.iter().map(|place| ColumnPath::new(vec![self.file_schema.field(*place).name().clone()]));
        let without = without.fold(properties, |properties, column| {
            properties.set_column_statistics_enabled(column, EnabledStatistics::None)
        });
        without.build()
    }

    /// What the footer of a file of `bytes` tells.
    pub(super) fn summary(&self, footer: &ParquetMetaData, bytes: u64) -> Result<FileSummary> {
        let tail = index_start(footer).map_or(0, |start| bytes.saturating_sub(start));
        summarize(footer, &self.file_schema, tail)
    }
}

/// Rows in the order of their table, to be encoded part by part: one file per partition value.
pub(super) struct Sorted {
    layout: FileLayout,
    /// The columns that files hold.
    files: Vec<RecordBatch>,
    /// Batch and row of each row.
    order: Vec<(usize, usize)>,
    parts: Vec<Part>,
    /// Per batch what its rows take.
    widths: Vec<Width>,
    /// Columns in which some row is NaN, by their places.
    with_nan: Vec<usize>,
}

/// The rows of one file.
struct Part {
    value: Option<String>,
    rows: Range<usize>,
}

impl Sorted {
    /// Sorts the rows. Works on the processor for long, as encoding does: not for a thread that talks to clients.
    pub(super) fn new(layout: FileLayout, batches: &[RecordBatch]) -> Result<Self> {
        let fitted = batches.iter().filter(|batch| batch.num_rows() > 0).map(|batch| fit(batch, &layout.schema));
        let fitted: Vec<RecordBatch> = fitted.collect::<Result<_>>()?;
        let order = sorted(&layout, &fitted)?;
        let parts = parts(&layout, &fitted, &order)?;
        let files = fitted.iter().map(|batch| without_partition(&layout, batch)).collect::<Result<Vec<_>>>()?;
        let widths = files.iter().map(Width::of).collect();
        let with_nan: BTreeSet<usize> = files.iter().flat_map(nan::columns_of).collect();
        Ok(Self { layout, files, order, parts, widths, with_nan: with_nan.into_iter().collect() })
    }

    /// How many files they make.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The file of one part.
    pub(super) fn encode(&self, part: usize) -> Result<Encoded> {
        let broken = |error: ParquetError| Error::internal("rows cannot be written as Parquet").with_source(error);
        let Some(Part { value, rows }) = self.parts.get(part) else {
            return Err(Error::internal("a file of rows that are not there"));
        };
        let mut rest = self.order.get(rows.clone()).unwrap_or_default();
        let all: Vec<&RecordBatch> = self.files.iter().collect();
        let mut bytes = Vec::new();
        let schema = Arc::clone(&self.layout.file_schema);
        let properties = self.layout.properties(&self.nan_in(rest));
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).map_err(broken)?;
        while !rest.is_empty() {
            let (some, more) = rest.split_at(self.gathered(rest));
            let gathered = interleave_record_batch(&all, some)
                .map_err(|error| Error::internal("rows cannot be sorted").with_source(error))?;
            writer.write(&gathered).map_err(broken)?;
            if writer.in_progress_size() > ROW_GROUP_BYTES {
                writer.flush().map_err(broken)?;
            }
            rest = more;
        }
        let footer = writer.close().map_err(broken)?;
        let summary = self.layout.summary(&footer, bytes.len() as u64)?;
        Ok(Encoded { value: value.clone(), bytes, summary })
    }

    /// The columns that are NaN in one of these rows.
    fn nan_in(&self, rows: &[(usize, usize)]) -> Vec<usize> {
        let has =
            |column: &&usize| rows.iter().any(|(batch, row)| nan::is_nan(self.files[*batch].column(**column), *row));
        self.with_nan.iter().filter(has).copied().collect()
    }

    /// How many of these rows are gathered at once: one at least.
    fn gathered(&self, rows: &[(usize, usize)]) -> usize {
        let most = rows.len().min(GATHERED_ROWS);
        let mut bytes = 0usize;
        let is_too_much = |(batch, row): &(usize, usize)| {
            bytes = bytes.saturating_add(self.widths[*batch].of_row(&self.files[*batch], *row));
            bytes > GATHERED_BYTES
        };
        rows[..most].iter().position(is_too_much).unwrap_or(most).max(1)
    }
}

/// What a row of a batch takes, nearly.
struct Width {
    /// The places of texts and bytes, whose length is another in each row.
    lengths: Vec<usize>,
    /// All other columns, of a row like most.
    rest: usize,
}

impl Width {
    fn of(batch: &RecordBatch) -> Self {
        let has_length = |place: &usize| matches!(batch.column(*place).data_type(), DataType::Utf8 | DataType::Binary);
        let (lengths, rest): (Vec<usize>, Vec<usize>) = (0..batch.num_columns()).partition(has_length);
        let bytes = |place: usize| match batch.column(place).data_type() {
            nested if nested.is_nested() => batch.column(place).get_array_memory_size() / batch.num_rows().max(1),
            _ => FLAT_BYTES,
        };
        Self { lengths, rest: rest.into_iter().map(bytes).sum() }
    }

    fn of_row(&self, batch: &RecordBatch, row: usize) -> usize {
        let length = |place: &usize| {
            let column = batch.column(*place);
            let text = column.as_string_opt::<i32>().map(|texts| texts.value_length(row));
            let length = text.or_else(|| column.as_binary_opt::<i32>().map(|bytes| bytes.value_length(row)));
            length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0)
        };
        self.rest + self.lengths.iter().map(length).sum::<usize>()
    }
}

/// The sorted rows by partition value.
fn parts(layout: &FileLayout, batches: &[RecordBatch], order: &[(usize, usize)]) -> Result<Vec<Part>> {
    let Some(place) = layout.partition else {
        return Ok(Vec::from_iter((!order.is_empty()).then_some(Part { value: None, rows: 0..order.len() })));
    };
    let values = keys(batches, &[place])?;
    let same =
        |left: &(usize, usize), right: &(usize, usize)| values[left.0].row(left.1) == values[right.0].row(right.1);
    let mut parts: Vec<Part> = Vec::new();
    for rows in order.chunk_by(same) {
        let start = parts.last().map_or(0, |part| part.rows.end);
        let value = match rows.first() {
            Some((batch, row)) => partition::text_at(batches[*batch].column(place), *row)?,
            None => None,
        };
        parts.push(Part { value, rows: start..start + rows.len() });
    }
    Ok(parts)
}

/// The places of all rows, by partition and sort columns; rows that are alike stay in their order.
fn sorted(layout: &FileLayout, batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>> {
    let rows = |(number, batch): (usize, &RecordBatch)| (0..batch.num_rows()).map(move |row| (number, row));
    let order = batches.iter().enumerate().flat_map(rows);
    let columns = layout.sort.iter().filter_map(|name| layout.schema.index_of(name).ok());
    let columns: Vec<usize> = layout.partition.into_iter().chain(columns).collect();
    if columns.is_empty() {
        return Ok(order.collect());
    }
    let keys = keys(batches, &columns)?;
    // Most keys differ in their first bytes, which lie beside each other.
    let mut order: Vec<_> = order.map(|(batch, row)| (prefix(keys[batch].row(row).data()), (batch, row))).collect();
    let key = |place: &(usize, usize)| keys[place.0].row(place.1);
    order.sort_by(|(left, left_place), (right, right_place)| {
        left.cmp(right).then_with(|| key(left_place).cmp(&key(right_place)))
    });
    Ok(order.into_iter().map(|(_, place)| place).collect())
}

/// The first bytes of a key, which compare as it does where they differ. One that ends earlier is filled up with zeros.
fn prefix(key: &[u8]) -> [u64; 2] {
    let mut first = [0; 16];
    let length = key.len().min(first.len());
    first[..length].copy_from_slice(&key[..length]);
    let number = u128::from_be_bytes(first);
    [(number >> 64) as u64, number as u64]
}

/// Of each batch these columns in a form that compares as bytes.
fn keys(batches: &[RecordBatch], columns: &[usize]) -> Result<Vec<Rows>> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let failed = |error: arrow::error::ArrowError| Error::internal("rows cannot be compared").with_source(error);
    let field = |place: &usize| SortField::new_with_options(first.column(*place).data_type().clone(), ORDER);
    let converter = RowConverter::new(columns.iter().map(field).collect()).map_err(failed)?;
    let of = |batch: &RecordBatch| {
        let columns: Vec<ArrayRef> = columns.iter().map(|place| Arc::clone(batch.column(*place))).collect();
        converter.convert_columns(&columns).map_err(failed)
    };
    batches.iter().map(of).collect()
}

fn without_partition(layout: &FileLayout, batch: &RecordBatch) -> Result<RecordBatch> {
    let kept: Vec<usize> = (0..layout.file_schema.fields().len()).collect();
    batch.project(&kept).map_err(|error| Error::internal("a batch lacks columns of its table").with_source(error))
}

/// The columns of a schema from those of a batch, by name; NULL where it has none, cast where it has another type.
///
/// # Errors
/// `invalid_value` for a value that does not fit.
pub(crate) fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = schema.fields().iter().map(|field| fit_column(batch, field)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal("a batch does not fit its table").with_source(error))
}

fn fit_column(batch: &RecordBatch, field: &Arc<Field>) -> Result<ArrayRef> {
    let Some(column) = place_of(batch.schema_ref(), field.name()).map(|place| batch.column(place)) else {
        return Ok(new_null_array(field.data_type(), batch.num_rows()));
    };
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &options).map_err(|error| {
        Error::new(ErrorKind::InvalidValue, format!("column `{}`: {error}", field.name())).with_source(error)
    })
}

/// The place of a column: of its name, else of one that differs in case.
pub(super) fn place_of(schema: &Schema, name: &str) -> Option<usize> {
    let fields = schema.fields();
    let exact = fields.iter().position(|field| field.name() == name);
    exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn long_texts_are_gathered_few_at_a_time() {
        let (long, short) = ("x".repeat(GATHERED_BYTES / 4), "y".to_owned());
        let texts = (0..20).map(|row| if row < 10 { &long } else { &short });
        let columns: [(&str, ArrayRef); 2] = [
            ("n", Arc::new(Int64Array::from_iter_values(0..20))),
            ("text", Arc::new(StringArray::from_iter_values(texts))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = batch.schema();
        let layout = FileLayout {
            schema: Arc::clone(&schema),
            file_schema: schema,
            partition: None,
            sort: vec!["n".to_owned()],
        };
        let sorted = Sorted::new(layout, &[batch]).unwrap();
        let gathered = |from: usize| sorted.gathered(&sorted.order[from..]);
        assert_eq!((gathered(0), gathered(5), gathered(10)), (3, 3, 10));
        assert_eq!(sorted.encode(0).unwrap().summary.rows(), Some(20));
    }
}
