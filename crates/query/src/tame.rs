//! Operators that could run for ever are refused where that is known, and made to pause and to end where it is not.

use std::sync::Arc;

use datafusion::{
    common::{
        DataFusionError, JoinType,
        stats::Precision,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_plan::{
        ExecutionPlan,
        coop::CooperativeExec,
        joins::{
            CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
            utils::JoinFilter,
        },
        recursive_query::RecursiveQueryExec,
        statistics::{StatisticsArgs, StatisticsContext},
        unnest::UnnestExec,
    },
};
use lakebed_types::{Error, ErrorKind, format_count};

use crate::pace::{Stop, paced, paced_only};

/// Pairs of rows that a join without an equality may compare: minutes of work for one core.
const MAX_PAIRS: u64 = 1_000_000_000_000;

/// Puts a pause after every operator that makes many batches of one, and into the conditions of joins, so that a query ends
/// that is to `stop`; refuses joins that would compare more pairs of rows than can be compared in any run time.
pub(crate) fn tame(plan: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    plan.transform_up(|node| {
        if compares_all_pairs(node.as_ref()) {
            check_pairs(node.as_ref())?;
        }
        let node = with_paced_condition(node, stop)?;
        Ok(match multiplies(node.as_ref()) {
            true => Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(node),
        })
    })
    .data()
}

fn with_paced_condition(node: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let condition = |filter: Option<&JoinFilter>, join: &JoinType| match (filter, join) {
        (Some(filter), _) => Some(paced(filter, stop)),
        (None, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) => None,
        // Of all pairs that it makes it keeps at most one for each row.
        (None, _) => Some(paced_only(stop)),
    };
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(condition) = condition(join.filter(), join.join_type())
    {
        return Ok(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(Some(condition)).build()?));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(condition) = condition(join.filter(), join.join_type())
    {
        return join.builder().with_filter(Some(condition)).build_exec();
    }
    // Without a condition it makes no pairs.
    if let Some(join) = node.downcast_ref::<SortMergeJoinExec>()
        && let Some(filter) = &join.filter
    {
        let mut join = join.clone();
        join.filter = Some(paced(filter, stop));
        return Ok(Arc::new(join));
    }
    Ok(node)
}

fn compares_all_pairs(node: &dyn ExecutionPlan) -> bool {
    node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>()
}

fn multiplies(node: &dyn ExecutionPlan) -> bool {
    compares_all_pairs(node)
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<RecursiveQueryExec>()
        || node.is::<UnnestExec>()
}

fn check_pairs(node: &dyn ExecutionPlan) -> Result<(), DataFusionError> {
    let mut pairs: u64 = 1;
    for child in node.children() {
        let statistics = StatisticsContext::new().compute(child.as_ref(), &StatisticsArgs::new())?;
        // Only what is known: an estimate behind a filter may be far too high, and then the query would have been fine.
        let Precision::Exact(rows) = statistics.num_rows else { return Ok(()) };
        pairs = pairs.saturating_mul(rows as u64);
    }
    if pairs <= MAX_PAIRS {
        return Ok(());
    }
    let text = format!(
        "a join without an equality would compare {} pairs of rows; at most {} are allowed",
        format_count(pairs),
        format_count(MAX_PAIRS)
    );
    let error = Error::new(ErrorKind::QueryTooComplex, text)
        .with_hint("Join the tables on equal columns, or filter them first.");
    Err(DataFusionError::External(Box::new(error)))
}
