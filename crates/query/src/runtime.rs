//! The runtime that plans and executes, apart from the one that talks to networks.

use std::{any::Any, future::Future, time::Duration};

use lakebed_types::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// Planning recurses with the depth of a statement; a thread that runs out of stack would take the process along.
const STACK_BYTES: usize = 32 << 20;

/// Threads beyond those that queries are divided over: an operator that computes for long without a pause holds its thread,
/// and others must still answer.
const SPARE_THREADS: usize = 2;

/// Statements that are planned at the same time, spool files that are written or read, and joins that have made room for
/// others (some for each thread).
const MAX_BLOCKING_THREADS: usize = 256;
const JOINS_OF_A_THREAD: usize = 8;

/// Threads for planning and execution.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl CpuRuntime {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1) + SPARE_THREADS)
            .max_blocking_threads(MAX_BLOCKING_THREADS + JOINS_OF_A_THREAD * threads.max(1))
            .thread_stack_size(STACK_BYTES)
            .thread_name("lakebed-cpu")
            .enable_all()
            .build()
            .map_err(|e| Error::internal("the threads for queries cannot be started").with_source(e))?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a piece of planning on a thread of its own with a large stack. A panic is contained, and a caller waits no longer
    /// than `limit`; what was started then ends by itself.
    pub(crate) async fn plan<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match tokio::time::timeout(limit, self.handle.spawn_blocking(work)).await {
            Ok(Ok(result)) => result,
            Ok(Err(join)) => Err(panicked(join)),
            Err(_) => Err(Error::new(
                ErrorKind::DeadlineExceeded,
                format!("planning took longer than its {} s", limit.as_secs_f64()),
            )
            .with_hint("Split the statement into simpler ones.")),
        }
    }

    /// The same, for work that awaits.
    pub(crate) async fn plan_async<T, F>(&self, limit: Duration, work: impl FnOnce() -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let handle = self.handle.clone();
        self.plan(limit, move || handle.block_on(work())).await
    }
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // An orderly drop blocks, which is forbidden where the last owner is an async task.
            runtime.shutdown_background();
        }
    }
}

/// What a task's end without a result means.
pub(crate) fn panicked(join: tokio::task::JoinError) -> Error {
    if join.is_cancelled() {
        return Error::new(ErrorKind::Cancelled, "the query was stopped");
    }
    let text = panic_text(join.into_panic().as_ref()).to_owned();
    metrics::counter!("lakebed_query_panics_total").increment(1);
    Error::internal("the engine failed on this statement").with_source(text)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "panic without a message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_its_caller_and_ends_nothing_else() {
        let cpu = CpuRuntime::new(1).unwrap();
        let caller = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let limit = Duration::from_secs(60);
        for _ in 0..10 {
            let planned = caller.block_on(cpu.plan(limit, || -> Result<()> { panic!("a bug with a secret in it") }));
            let error = planned.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(!error.message().contains("secret"), "{error}");
            let executed = caller.block_on(cpu.handle().spawn(async { panic!("another") }));
            assert_eq!(panicked(executed.unwrap_err()).kind(), ErrorKind::Internal);
        }
        assert_eq!(caller.block_on(cpu.plan(limit, || Ok(7))).unwrap(), 7);
        assert_eq!(caller.block_on(cpu.handle().spawn(async { 8 })).unwrap(), 8);
    }

    #[test]
    fn who_plans_for_too_long_is_told_so_while_others_are_served() {
        let cpu = CpuRuntime::new(1).unwrap();
        let caller = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let endless = move || Ok(held.recv().is_ok());
        let error = caller.block_on(cpu.plan(Duration::from_millis(20), endless)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        assert_eq!(caller.block_on(cpu.plan(Duration::from_secs(60), || Ok(7))).unwrap(), 7);
        drop(release);
    }
}
