//! What each operator of a query did: one event each, below the query's span.

use datafusion::physical_plan::ExecutionPlan;

use crate::stats::millis;

/// The events' target, for log levels and collectors.
const TARGET: &str = "lakebed::operator";

/// Tells of the operators of a plan that has run, the root first. Costs nothing where nobody listens.
pub(crate) fn tell(plan: &dyn ExecutionPlan) {
    if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        visit(plan, 0);
    }
}

fn visit(plan: &dyn ExecutionPlan, depth: usize) {
    let metrics = plan.metrics().unwrap_or_default();
    let compute = metrics.elapsed_compute().unwrap_or_default() as u64;
    tracing::debug!(
        target: TARGET,
        depth,
        name = plan.name(),
        rows = metrics.output_rows().unwrap_or_default(),
        compute_ms = millis(std::time::Duration::from_nanos(compute)),
        spilled_bytes = metrics.spilled_bytes().unwrap_or_default(),
        "operator"
    );
    for child in plan.children() {
        visit(child.as_ref(), depth + 1);
    }
}
