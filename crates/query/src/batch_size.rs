//! How many rows make a batch: many of narrow rows, few of wide ones, so that a batch has about the same bytes always.

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    common::{
        DataFusionError,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan},
};

/// Bytes of a batch that operators still handle out of the processor's cache; of these, a stream holds a handful.
const BATCH_BYTES: usize = 3 << 20;
/// Fewer rows cost more in handing them on than in the work on them.
const FEWEST_ROWS: usize = 512;
/// What a value of no fixed width is taken for: its view or offsets, and some content.
const VARIABLE_WIDTH: usize = 32;

/// Rows of a batch for this plan: `most`, a power of two below for scans of wide rows and for constants that are large. A
/// constant that is selected, such as a folded `range(100000)`, is repeated for every row of a batch.
pub(crate) fn batch_rows(plan: &LogicalPlan, most: usize) -> Result<usize, DataFusionError> {
    let (mut widest, mut largest) = (1, 1);
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            widest = widest.max(row_bytes(scan.projected_schema.as_arrow()));
        }
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::Literal(constant, _) = part {
                    largest = largest.max(constant.size());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(rows_of(widest, most).min(fitting(largest)))
}

fn rows_of(row_bytes: usize, most: usize) -> usize {
    fitting(row_bytes).max(FEWEST_ROWS).min(most.max(1))
}

/// A power of two, at least one.
fn fitting(row_bytes: usize) -> usize {
    1 << (BATCH_BYTES / row_bytes.max(1)).max(1).ilog2()
}

fn row_bytes(schema: &Schema) -> usize {
    schema.fields().iter().map(|field| value_bytes(field.data_type())).sum()
}

fn value_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| value_bytes(field.data_type())).sum(),
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or_default(),
        DataType::FixedSizeList(item, length) => {
            value_bytes(item.data_type()) * usize::try_from(*length).unwrap_or_default()
        }
        fixed => fixed.primitive_width().unwrap_or(VARIABLE_WIDTH),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn wide_rows_make_batches_of_few_and_narrow_ones_of_the_most() {
        assert_eq!(rows_of(8, 16384), 16384);
        assert_eq!(rows_of(192, 16384), 16384);
        assert_eq!(rows_of(193, 16384), 8192);
        assert_eq!(rows_of(1 << 20, 16384), FEWEST_ROWS);
        assert_eq!(rows_of(usize::MAX, 100), 100);
        assert_eq!(rows_of(0, 0), 1);
    }

    #[test]
    fn a_large_constant_makes_batches_that_fit_below_the_fewest_rows_too() {
        assert_eq!(fitting(800_000), 2);
        assert_eq!(fitting(usize::MAX), 1);
    }

    #[test]
    fn nested_values_count_with_all_that_they_hold() {
        let pair = [("a", DataType::Int64), ("b", DataType::Utf8)].map(|(name, kind)| Field::new(name, kind, true));
        let schema = Schema::new(vec![
            Field::new("pair", DataType::Struct(pair.to_vec().into()), true),
            Field::new("three", DataType::new_fixed_size_list(DataType::Int32, 3, true), true),
            Field::new("price", DataType::Decimal128(15, 2), true),
        ]);
        assert_eq!(row_bytes(&schema), 8 + VARIABLE_WIDTH + 12 + 16);
    }
}
