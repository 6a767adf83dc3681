//! Ruling out files by their partition values and statistics, on the snapshot alone.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array},
    compute::cast,
    datatypes::{DataType, Schema},
};
use datafusion::{
    common::{Column, ScalarValue},
    error::DataFusionError,
    logical_expr::Expr,
    physical_expr::{
        PhysicalExpr, conjunction,
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_optimizer::pruning::{PruningPredicateBuilder, PruningStatistics},
};

use crate::{Snapshot, layout::Known};

/// The longest `IN (…)` that is compared with the bounds of every file.
const MAX_IN_LIST: usize = 100;

/// Bounds and NULL counts of one table column, one row per file.
#[derive(Debug)]
pub(crate) struct ColumnArrays {
    min: ArrayRef,
    max: ArrayRef,
    nulls: ArrayRef,
}

/// The files, by their places in the snapshot, that may hold a row for which all `filters` are true. The filters are over
/// the table's columns. Those that touch partition columns only are decided for good.
pub(crate) fn surviving(snapshot: &Snapshot, filters: &[Arc<dyn PhysicalExpr>]) -> Result<Vec<usize>, DataFusionError> {
    let mut keep = vec![true; snapshot.files().len()];
    if filters.is_empty() || keep.is_empty() {
        return Ok((0..keep.len()).collect());
    }
    let partitions = partition_batch(snapshot)?;
    for filter in filters {
        if decided_by_partitions(snapshot, filter) {
            decide(filter, &partitions, &mut keep)?;
        }
    }
    let predicate = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(snapshot.shape().schema()))
        .with_max_in_list_size(MAX_IN_LIST)
        .build(conjunction(filters.iter().map(Arc::clone)));
    // A predicate that cannot be turned into one on statistics rules nothing out.
    if let Some(predicate) = predicate
        && let Ok(may_match) = predicate.prune(snapshot)
    {
        keep.iter_mut().zip(may_match).for_each(|(keep, may_match)| *keep &= may_match);
    }
    Ok(keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(file, _)| file).collect())
}

/// Whether the partition values of each file decide this filter, so that no row has to be looked at.
pub(crate) fn touches_partitions_only(snapshot: &Snapshot, filter: &Expr) -> bool {
    let partition = |column: &Column| {
        snapshot.shape().table_schema().table_partition_cols().iter().any(|field| field.name() == column.name())
    };
    let columns = filter.column_refs();
    !columns.is_empty()
        && columns.iter().all(|column| partition(column))
        && !filter.is_volatile()
        && !has_subquery(filter)
}

/// A subquery has no value before the run.
pub(crate) fn has_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let subquery = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)
        ))
    };
    filter.exists(subquery).unwrap_or(true)
}

fn decided_by_partitions(snapshot: &Snapshot, filter: &Arc<dyn PhysicalExpr>) -> bool {
    let columns = collect_columns(filter);
    !columns.is_empty() && columns.iter().all(|column| column.index() >= snapshot.shape().file_columns())
}

fn decide(filter: &Arc<dyn PhysicalExpr>, partitions: &RecordBatch, keep: &mut [bool]) -> Result<(), DataFusionError> {
    let filter = reassign_expr_columns(Arc::clone(filter), partitions.schema_ref())?;
    let truth = filter.evaluate(partitions)?.into_array(partitions.num_rows())?;
    let Some(truth) = truth.as_boolean_opt() else {
        return Ok(());
    };
    for (file, keep) in keep.iter_mut().enumerate() {
        *keep &= truth.is_valid(file) && truth.value(file);
    }
    Ok(())
}

/// One row per file, one column per partition column.
fn partition_batch(snapshot: &Snapshot) -> Result<RecordBatch, DataFusionError> {
    let fields = snapshot.shape().table_schema().table_partition_cols();
    let columns = (0..fields.len()).map(|place| partition_array(snapshot, place)).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(snapshot.files().len()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields.clone())), columns, &options)?)
}

fn partition_array(snapshot: &Snapshot, place: usize) -> Result<ArrayRef, DataFusionError> {
    let data_type = snapshot.shape().table_schema().table_partition_cols()[place].data_type().clone();
    let values = (0..snapshot.files().len()).map(|file| snapshot.partition_values(file)[place].clone());
    Ok(cast(&ScalarValue::iter_to_array(values)?, &data_type)?)
}

impl ColumnArrays {
    fn of(snapshot: &Snapshot, column: usize) -> Option<Self> {
        if snapshot.files().is_empty() {
            return None;
        }
        match column.checked_sub(snapshot.shape().file_columns()) {
            Some(place) => Self::of_partition(snapshot, place).ok(),
            None => Self::of_file_column(snapshot, column),
        }
    }

    fn of_partition(snapshot: &Snapshot, place: usize) -> Result<Self, DataFusionError> {
        let values = partition_array(snapshot, place)?;
        let files = snapshot.files().iter().enumerate();
        let nulls = files.map(|(file, known)| if values.is_null(file) { known.summary.rows() } else { Some(0) });
        let nulls: UInt64Array = nulls.collect();
        Ok(Self { min: Arc::clone(&values), max: values, nulls: Arc::new(nulls) })
    }

    fn of_file_column(snapshot: &Snapshot, column: usize) -> Option<Self> {
        let data_type = snapshot.shape().schema().field(column).data_type();
        if data_type.is_nested() {
            return None;
        }
        let none = ScalarValue::try_from(data_type).ok()?;
        let (mut mins, mut maxes, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
        for file in 0..snapshot.files().len() {
            let (min, max, null_count) = match snapshot.known(file, column) {
                Known::Missing => (None, None, snapshot.files()[file].summary.rows()),
                Known::Nothing => (None, None, None),
                Known::Summary(summary) => (
                    summary.min.as_ref().and_then(|value| widened(value, data_type)),
                    summary.max.as_ref().and_then(|value| widened(value, data_type)),
                    summary.null_count,
                ),
            };
            mins.push(min.unwrap_or_else(|| none.clone()));
            maxes.push(max.unwrap_or_else(|| none.clone()));
            nulls.push(null_count);
        }
        let min = ScalarValue::iter_to_array(mins).ok()?;
        let max = ScalarValue::iter_to_array(maxes).ok()?;
        Some(Self { min, max, nulls: Arc::new(UInt64Array::from(nulls)) })
    }
}

/// A bound of a file's column in the type of the table's; `None` where it does not fit.
pub(crate) fn widened(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    match (value, data_type) {
        (ScalarValue::Utf8(Some(text)), DataType::Utf8View) => Some(ScalarValue::Utf8View(Some(text.clone()))),
        _ if &value.data_type() == data_type => Some(value.clone()),
        _ => value.cast_to(data_type).ok().filter(|value| !value.is_null()),
    }
}

impl Snapshot {
    fn arrays_of(&self, column: &Column) -> Option<&ColumnArrays> {
        let index = self.shape().schema().index_of(column.name()).ok()?;
        self.arrays[index].get_or_init(|| ColumnArrays::of(self, index)).as_ref()
    }
}

impl PruningStatistics for Snapshot {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.arrays_of(column).map(|arrays| Arc::clone(&arrays.min))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.arrays_of(column).map(|arrays| Arc::clone(&arrays.max))
    }

    fn num_containers(&self) -> usize {
        self.files().len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.arrays_of(column).map(|arrays| Arc::clone(&arrays.nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files().iter().map(|file| file.summary.rows()).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
