//! A file summary from a Parquet footer.

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    datatypes::{DataType, Field, SchemaRef},
};
use datafusion::common::ScalarValue;
use lakebed_types::{Error, ErrorKind, Result};
use parquet::{
    arrow::arrow_reader::statistics::StatisticsConverter,
    basic::Type as PhysicalType,
    errors::ParquetError,
    file::{metadata::ParquetMetaData, metadata::RowGroupMetaData, statistics::Statistics},
};

use super::{ColumnSummary, FileSummary};

/// What a footer tells. `schema`: the file's columns, one per root of the Parquet schema. `tail_bytes`: from where the page
/// indexes (else the footer) begin to the end of the file, so that the next reader fetches them in one request.
pub(crate) fn summarize(metadata: &ParquetMetaData, schema: &SchemaRef, tail_bytes: u64) -> Result<FileSummary> {
    let roots = leaves_by_root(metadata, schema.fields().len());
    let columns = schema.fields().iter().zip(&roots).map(|(field, leaves)| column(metadata, field, leaves));
    Ok(FileSummary {
        rows: u64::try_from(metadata.file_metadata().num_rows()).ok(),
        row_groups: Some(metadata.num_row_groups() as u64),
        tail_bytes: Some(tail_bytes),
        columns: columns.collect::<Result<_>>()?,
    })
}

fn leaves_by_root(metadata: &ParquetMetaData, roots: usize) -> Vec<Vec<usize>> {
    let descriptor = metadata.file_metadata().schema_descr();
    let mut leaves = vec![Vec::new(); roots];
    for leaf in 0..descriptor.num_columns() {
        if let Some(root) = leaves.get_mut(descriptor.get_column_root_idx(leaf)) {
            root.push(leaf);
        }
    }
    leaves
}

fn column(metadata: &ParquetMetaData, field: &Field, leaves: &[usize]) -> Result<ColumnSummary> {
    let bytes = |group: &RowGroupMetaData| -> u64 {
        leaves.iter().map(|leaf| u64::try_from(group.column(*leaf).compressed_size()).unwrap_or(0)).sum()
    };
    let compressed_bytes = metadata.row_groups().iter().map(bytes).sum();
    let known = ColumnSummary { compressed_bytes, ..ColumnSummary::default() };
    match leaves {
        [leaf] if !field.data_type().is_nested() => bounds(metadata, field, *leaf, known),
        _ => Ok(known),
    }
}

fn bounds(metadata: &ParquetMetaData, field: &Field, leaf: usize, known: ColumnSummary) -> Result<ColumnSummary> {
    let groups = metadata.row_groups();
    let statistics: Vec<Option<&Statistics>> = groups.iter().map(|group| group.column(leaf).statistics()).collect();
    let null_count = statistics.iter().map(|stats| stats.and_then(Statistics::null_count_opt)).sum();
    let known = ColumnSummary { null_count, ..known };
    if !statistics.iter().flatten().all(|stats| ordered(stats)) {
        return Ok(known);
    }
    let descriptor = metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::from_column_index(leaf, field, descriptor).map_err(unreadable)?;
    let mins = converter.row_group_mins(groups).map_err(unreadable)?;
    let maxes = converter.row_group_maxes(groups).map_err(unreadable)?;
    let mins_exact = converter.row_group_is_min_value_exact(groups).map_err(unreadable)?;
    let maxes_exact = converter.row_group_is_max_value_exact(groups).map_err(unreadable)?;
    let empty: Vec<bool> = groups.iter().zip(&statistics).map(|(group, stats)| all_null(group, *stats)).collect();
    let exact = always_exact(field.data_type());
    let min = fold(&mins, &mins_exact, &empty, exact, |new, best| new < best)?;
    let max = fold(&maxes, &maxes_exact, &empty, exact, |new, best| new > best)?;
    let (min, min_exact) = min.map_or((None, false), |(value, exact)| (Some(value), exact));
    let (max, max_exact) = max.map_or((None, false), |(value, exact)| (Some(value), exact));
    Ok(ColumnSummary { min, max, min_exact, max_exact, ..known })
}

/// Whether the writer compared as we do: INT96 has no defined order, and old writers compared strings and decimals as
/// signed bytes.
fn ordered(statistics: &Statistics) -> bool {
    let bytes = matches!(statistics.physical_type(), PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY);
    statistics.physical_type() != PhysicalType::INT96
        && !(bytes && statistics.is_min_max_deprecated() && !statistics.is_min_max_backwards_compatible())
}

/// No value, so no bounds: says nothing about the other row groups.
fn all_null(group: &RowGroupMetaData, statistics: Option<&Statistics>) -> bool {
    let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
    rows == 0 || statistics.and_then(Statistics::null_count_opt) == Some(rows)
}

/// How exact a bound is when the writer does not say: values of fixed width are never cut. Floats never count as exact,
/// since NaN, the greatest of them, is left out of statistics. Byte strings may have been cut by an old writer.
fn always_exact(data_type: &DataType) -> Option<bool> {
    match data_type {
        DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_) => None,
        float if float.is_floating() => Some(false),
        _ => Some(true),
    }
}

/// The best bound over all row groups and whether it is exact; `None` where one row group does not say or says NaN.
fn fold(
    values: &ArrayRef,
    said_exact: &BooleanArray,
    empty: &[bool],
    exact: Option<bool>,
    better: impl Fn(&ScalarValue, &ScalarValue) -> bool,
) -> Result<Option<(ScalarValue, bool)>> {
    let mut best: Option<(ScalarValue, bool)> = None;
    for (index, empty) in empty.iter().enumerate() {
        if *empty {
            continue;
        }
        let value = ScalarValue::try_from_array(values, index)
            .map_err(|error| Error::internal("statistics cannot be read").with_source(error))?;
        if value.is_null() || is_nan(&value) {
            return Ok(None);
        }
        let value_exact = exact.unwrap_or(said_exact.is_valid(index) && said_exact.value(index));
        if best.as_ref().is_none_or(|(best, _)| better(&value, best)) {
            best = Some((value, value_exact));
        }
    }
    Ok(best)
}

fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float16(Some(value)) => value.is_nan(),
        ScalarValue::Float32(Some(value)) => value.is_nan(),
        ScalarValue::Float64(Some(value)) => value.is_nan(),
        _ => false,
    }
}

fn unreadable(error: ParquetError) -> Error {
    Error::new(ErrorKind::CorruptFile, "the statistics in the footer cannot be read").with_source(error)
}
