//! NaN in columns of files. Bounds leave it out, and for a filter it is greater than every number: a column that may hold one
//! gets none, in Parquet as in the log, so that no reader rules its rows out.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{Float32Type, Float64Type, SchemaRef},
};

use super::{encode::place_of, streams::Run};

/// Whether a value is NaN.
pub(super) fn is_nan(column: &ArrayRef, row: usize) -> bool {
    if column.is_null(row) {
        return false;
    }
    if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        return values.value(row).is_nan();
    }
    column.as_primitive_opt::<Float32Type>().is_some_and(|values| values.value(row).is_nan())
}

/// Whether any value is.
pub(super) fn has_nan(column: &ArrayRef) -> bool {
    if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        return values.iter().flatten().any(f64::is_nan);
    }
    column.as_primitive_opt::<Float32Type>().is_some_and(|values| values.iter().flatten().any(f32::is_nan))
}

/// The columns of a batch that hold NaN, by their places.
pub(super) fn columns_of(batch: &RecordBatch) -> impl Iterator<Item = usize> {
    let columns = batch.columns().iter().enumerate();
    columns.filter(|(_, column)| has_nan(column)).map(|(place, _)| place)
}

/// Which columns of `schema` may hold NaN in these files: those of which a file has values and no bounds.
pub(super) fn suspects(schema: &SchemaRef, runs: &[Run]) -> Vec<bool> {
    let may = |name: &str| {
        runs.iter().flatten().any(|file| {
            let known = &file.data.summary;
            let column = place_of(&file.data.schema, name).map(|place| known.columns().get(place));
            let is_free = |rows: Option<u64>, nulls: Option<u64>| rows.is_some() && rows == nulls;
            match column {
                None => false,
                Some(None) => true,
                Some(Some(column)) => column.min.is_none() && !is_free(known.rows(), column.null_count),
            }
        })
    };
    schema.fields().iter().map(|field| field.data_type().is_floating() && may(field.name())).collect()
}
