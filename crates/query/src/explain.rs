//! `EXPLAIN` and `EXPLAIN ANALYZE`: plans as text.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::physical_plan::{display::DisplayableExecutionPlan, displayable};
use lakebed_types::Result;

use crate::{
    error::from_engine,
    execute::Rows,
    pace::Stop,
    plan::{self, RowsPlan, Strategy},
    service::Engine,
    stats::StatsHandle,
    table_rows::Columns,
};

/// The plan of a query: what it means, and the operators that would run; `verbose` with every detail of these.
pub(crate) async fn explain(engine: &Engine, rows: &RowsPlan, verbose: bool) -> Result<RecordBatch> {
    let strategy = Strategy { partitions: engine.settings.threads, hash_joins: true };
    let (_, operators) = plan::physical(rows, strategy, &Stop::default()).await.map_err(from_engine)?;
    lines([
        ("logical_plan", rows.plan.display_indent().to_string()),
        ("physical_plan", displayable(operators.as_ref()).indent(verbose).to_string()),
    ])
}

/// Runs a query to its end and shows what each operator did.
pub(crate) async fn analyze(engine: Arc<Engine>, rows: RowsPlan, stats: StatsHandle) -> Result<RecordBatch> {
    let mut rows = Rows::open(engine, rows, stats).await?;
    while let Some(batch) = rows.next().await {
        batch?;
    }
    let text = DisplayableExecutionPlan::with_metrics(rows.operators().as_ref()).indent(false).to_string();
    lines([("plan_with_metrics", text)])
}

/// The schema of both.
pub(crate) fn schema() -> Result<SchemaRef> {
    Ok(lines([])?.schema())
}

fn lines<const N: usize>(plans: [(&str, String); N]) -> Result<RecordBatch> {
    let (types, texts): (Vec<String>, Vec<String>) =
        plans.into_iter().map(|(name, text)| (name.to_owned(), text.trim_end().to_owned())).unzip();
    Columns::default().text("plan_type", types.into_iter()).text("plan", texts.into_iter()).finish()
}
