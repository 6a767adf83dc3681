//! The limits of the server, as plain data.

use std::time::Duration;

/// The limits of the server. Plain data; the defaults are documented in docs/reference/limits.md.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Queries that run at once. Default: twice the cores. At least 1 holds.
    pub running_queries: usize,
    /// Of these, queries of one principal. Default: as many. At least 1 holds.
    pub running_queries_per_principal: usize,
    /// Queries that wait for their turn. Default 100.
    pub queue_length: usize,
    /// How long one waits at most. Default 30 s.
    pub queue_wait: Duration,
    /// How long an interactive query runs at most. Default 60 s.
    pub run_time: Duration,
    /// How long a background query runs at most. Default 30 min.
    pub run_time_background: Duration,
    /// Rows of one result. None, the default: as many as there are, for results are streamed.
    pub result_rows: Option<u64>,
    /// After how long a client that reads nothing is given up. Default 60 s.
    pub idle_client: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            running_queries: 2 * cores,
            running_queries_per_principal: 2 * cores,
            queue_length: 100,
            queue_wait: Duration::from_secs(30),
            run_time: Duration::from_secs(60),
            run_time_background: Duration::from_secs(30 * 60),
            result_rows: None,
            idle_client: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The run time that holds for these options: the smaller of what is asked for and what is allowed.
    pub(crate) fn run_time_for(&self, options: &AdmitOptions) -> Duration {
        let limit = if options.background { self.run_time_background } else { self.run_time };
        options.timeout.map_or(limit, |asked| asked.min(limit))
    }
}

/// What a caller asks of its admission.
#[derive(Debug, Clone, Default)]
pub struct AdmitOptions {
    /// Asked for by the caller; the smaller of this and the limit holds.
    pub timeout: Option<Duration>,
    /// Background query: the longer limit.
    pub background: bool,
}
