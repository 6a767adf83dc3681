//! What may stand in a plan. Whatever is not named here is refused.

use datafusion::{common::tree_node::TreeNodeRecursion, logical_expr::LogicalPlan};
use lakebed_types::{Error, ErrorKind, Result};

use crate::error::from_engine;

/// Fails unless the plan, subqueries included, only reads.
pub(crate) fn check_reads_only(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        if reads_only(node) {
            return Ok(TreeNodeRecursion::Continue);
        }
        refused = Some(node.display().to_string());
        Ok(TreeNodeRecursion::Stop)
    })
    .map_err(from_engine)?;
    match refused {
        None => Ok(()),
        Some(node) => {
            let name = node.split([':', ' ']).next().unwrap_or_default();
            Err(Error::new(ErrorKind::Unsupported, format!("`{name}` is not offered inside a query")))
        }
    }
}

fn reads_only(node: &LogicalPlan) -> bool {
    use LogicalPlan as P;
    match node {
        P::Projection(_)
        | P::Filter(_)
        | P::Window(_)
        | P::Aggregate(_)
        | P::Sort(_)
        | P::Join(_)
        | P::Repartition(_)
        | P::Union(_)
        | P::TableScan(_)
        | P::EmptyRelation(_)
        | P::Subquery(_)
        | P::SubqueryAlias(_)
        | P::Limit(_)
        | P::Values(_)
        | P::Distinct(_)
        | P::Unnest(_)
        | P::RecursiveQuery(_) => true,
        P::Statement(_)
        | P::Explain(_)
        | P::Analyze(_)
        | P::Extension(_)
        | P::Dml(_)
        | P::Ddl(_)
        | P::Copy(_)
        | P::DescribeTable(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::logical_expr::{DdlStatement, DropTable, LogicalPlanBuilder, lit};

    use super::*;

    #[test]
    fn only_reading_nodes_pass() {
        let select = LogicalPlanBuilder::values(vec![vec![lit(1)]]).unwrap().build().unwrap();
        check_reads_only(&select).unwrap();
        let drop = LogicalPlan::Ddl(DdlStatement::DropTable(DropTable {
            name: "t".into(),
            if_exists: true,
            schema: Arc::clone(select.schema()),
        }));
        assert_eq!(check_reads_only(&drop).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
