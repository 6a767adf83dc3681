//! From a checked syntax tree to a plan, and from there to operators. Everything here runs on the threads for queries.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::{
        Column, DataFusionError,
        config::ConfigNonZeroUsize,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    execution::SessionState,
    logical_expr::{Expr, Filter, LogicalPlan, Volatility},
    physical_plan::ExecutionPlan,
    sql::parser::Statement as EngineStatement,
};
use lakebed_types::{Error, ErrorKind, Result};

use crate::{
    batch_size::batch_rows,
    error::from_engine,
    guard,
    pace::Stop,
    result_cache::StatementDigest,
    sql::{self, Ast, Statement},
    tame::tame,
};

/// Row filters pay where this many result columns stand against each filtered one.
const WIDE_RESULT_PER_FILTER_COLUMN: usize = 4;
/// Above this many rows wanted, a scan is not the kind that reads a few rows of many columns.
const FEW_ROWS: usize = 10_000;

/// A query that is ready to run.
#[derive(Debug, Clone)]
pub(crate) struct RowsPlan {
    pub(crate) state: SessionState,
    /// Analyzed and optimized.
    pub(crate) plan: LogicalPlan,
    /// With the names that were promised.
    pub(crate) schema: SchemaRef,
    /// None where the answer may be another one next time though the data is the same.
    pub(crate) digest: Option<StatementDigest>,
    /// The parameters of the statement, in order.
    pub(crate) parameters: SchemaRef,
}

/// The plan that a syntax tree means, not yet optimized.
pub(crate) async fn logical(state: &SessionState, statement: EngineStatement) -> Result<LogicalPlan> {
    let plan = state.statement_to_plan(statement).await.map_err(from_engine)?;
    guard::check_reads_only(&plan)?;
    Ok(plan)
}

/// The planner's form of a query.
pub(crate) fn engine_statement(query: &Statement) -> Result<EngineStatement> {
    match &query.ast {
        Ast::Query(ast) => Ok(EngineStatement::Statement(ast.clone())),
        _ => Err(Error::internal("a statement that is no query was planned as one")),
    }
}

/// The names of a plan's columns, as people shall see them.
pub(crate) fn output_names(query: &Statement, plan: &LogicalPlan, spelling: &HashMap<String, String>) -> Vec<String> {
    let fields = plan.schema().fields();
    sql::output_names(query, fields.iter().map(|field| field.name().as_str()), spelling)
}

/// Optimizes. `names`: one for each column of the result.
pub(crate) fn finish(state: SessionState, plan: &LogicalPlan, names: &[String], columns: usize) -> Result<RowsPlan> {
    let plan = state.optimize(plan).map_err(from_engine)?;
    with_names(state, plan, names, columns)
}

/// A plan whose parameters have no values yet: its columns and their types, and nothing that could run.
pub(crate) fn described(state: SessionState, plan: LogicalPlan, names: &[String], columns: usize) -> Result<RowsPlan> {
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(from_engine)?;
    with_names(state, plan, names, columns)
}

fn with_names(state: SessionState, plan: LogicalPlan, names: &[String], columns: usize) -> Result<RowsPlan> {
    let fields = plan.schema().fields();
    if fields.len() > columns {
        let text = format!("the result has {} columns; at most {columns} are allowed", fields.len());
        return Err(Error::new(ErrorKind::QueryTooComplex, text));
    }
    let renamed = |(i, field): (usize, &Arc<Field>)| match names.get(i) {
        Some(name) => field.as_ref().clone().with_name(name),
        None => field.as_ref().clone(),
    };
    let schema = Arc::new(Schema::new(fields.iter().enumerate().map(renamed).collect::<Vec<_>>()));
    Ok(RowsPlan { state, plan, schema, digest: None, parameters: Arc::new(Schema::empty()) })
}

/// Whether a function in it may answer otherwise the next time: at another time (`now`), or always (`random`). Asked of a
/// plan that is not optimized yet; afterwards some of these are constants.
pub(crate) fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            found |= expression.exists(|part| Ok(volatility(part) != Volatility::Immutable))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    walked.map_err(from_engine)?;
    Ok(found)
}

fn volatility(expression: &Expr) -> Volatility {
    match expression {
        Expr::ScalarFunction(function) => function.func.signature().volatility,
        Expr::AggregateFunction(function) => function.func.signature().volatility,
        Expr::WindowFunction(function) => function.fun.signature().volatility,
        Expr::HigherOrderFunction(function) => function.func.signature().volatility,
        Expr::ScalarVariable(..) => Volatility::Stable,
        _ => Volatility::Immutable,
    }
}

/// How the operators of one attempt are chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strategy {
    pub(crate) partitions: usize,
    /// False: join by sorting, which can spill.
    pub(crate) hash_joins: bool,
}

/// The operators for a plan, until they are told to stop.
pub(crate) async fn physical(
    rows: &RowsPlan,
    strategy: Strategy,
    stop: &Stop,
) -> Result<(SessionState, Arc<dyn ExecutionPlan>), DataFusionError> {
    let mut state = rows.state.clone();
    let options = state.config_mut().options_mut();
    let rows_of_a_batch = batch_rows(&rows.plan, options.execution.batch_size.get())?;
    options.execution.batch_size = ConfigNonZeroUsize::try_new(rows_of_a_batch)?;
    options.execution.target_partitions = strategy.partitions.max(1);
    options.optimizer.prefer_hash_join = strategy.hash_joins;
    options.execution.parquet.pushdown_filters = filters_while_decoding(&rows.plan)?;
    let plan = state.query_planner().create_physical_plan(&rows.plan, &state).await?;
    Ok((state, tame(plan, stop)?))
}

/// Whether the scan shall filter row by row while it decodes: many columns, few of them filtered, few rows wanted. Then
/// most pages are never decoded. Elsewhere it costs more than it saves, above all where joins push filters of their own.
fn filters_while_decoding(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut shape = Shape::default();
    plan.apply_with_subqueries(|node| {
        shape.look_at(node);
        Ok(TreeNodeRecursion::Continue)
    })?;
    let narrow = !shape.combines && shape.scans == 1 && shape.few_rows;
    Ok(narrow && shape.filtered > 0 && shape.projected >= shape.filtered * WIDE_RESULT_PER_FILTER_COLUMN)
}

#[derive(Debug, Default)]
struct Shape {
    scans: usize,
    projected: usize,
    filtered: usize,
    few_rows: bool,
    combines: bool,
}

impl Shape {
    fn look_at(&mut self, node: &LogicalPlan) {
        match node {
            LogicalPlan::TableScan(scan) => {
                self.scans += 1;
                self.projected += scan.projected_schema.fields().len();
                self.add_filters(scan.filters.iter());
                self.few_rows |= scan.fetch.is_some_and(|rows| rows <= FEW_ROWS);
            }
            LogicalPlan::Filter(Filter { predicate, .. }) => self.add_filters(std::iter::once(predicate)),
            LogicalPlan::Sort(sort) => self.few_rows |= sort.fetch.is_some_and(|rows| rows <= FEW_ROWS),
            LogicalPlan::Limit(_) => self.few_rows = true,
            LogicalPlan::Join(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::RecursiveQuery(_) => self.combines = true,
            _ => {}
        }
    }

    fn add_filters<'a>(&mut self, filters: impl Iterator<Item = &'a Expr>) {
        let columns: HashSet<&Column> = filters.flat_map(Expr::column_refs).collect();
        self.filtered = self.filtered.max(columns.len());
    }
}

/// Partitions for a query that is one of so many: all threads for one alone, its share of them where others run.
pub(crate) fn partitions(threads: usize, running: usize) -> usize {
    threads.div_ceil(running.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_gets_all_threads_and_many_share() {
        assert_eq!(partitions(8, 1), 8);
        assert_eq!(partitions(8, 2), 4);
        assert_eq!(partitions(8, 3), 3);
        assert_eq!(partitions(8, 100), 1);
        assert_eq!(partitions(0, 0), 1);
    }
}
