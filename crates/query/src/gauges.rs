//! What is so at this moment, for metrics: what runs, what waits, what memory is reserved.

use metrics::gauge;

use crate::service::Engine;

/// Sets the gauges that nobody counts along the way.
pub(crate) fn set(engine: &Engine) {
    let access = &engine.access;
    gauge!("lakebed_queries_running").set(access.running() as f64);
    gauge!("lakebed_queries_queued").set(access.queued() as f64);
    for group in access.workgroups().list() {
        let (running, queued) = access.counts(&group.name);
        gauge!("lakebed_workgroup_queries_running", "workgroup" => group.name.clone()).set(running as f64);
        gauge!("lakebed_workgroup_queries_queued", "workgroup" => group.name).set(queued as f64);
    }
    gauge!("lakebed_memory_reserved_bytes").set(engine.sessions.memory_reserved() as f64);
}
