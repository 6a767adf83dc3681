//! The limits that hold for a query, as plain data.

use std::time::Duration;

/// The limits that hold for one workgroup's queries. Those of the settings file are the server's, and the workgroup
/// `default`'s. Plain data; None stands for no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Queries that the server runs at once, whoever they belong to. Default: twice the cores. At least 1 holds.
    pub running_queries: usize,
    /// Of these, queries of one principal. Default: as many. At least 1 holds.
    pub running_queries_per_principal: usize,
    /// Of these, queries of one workgroup. None, the default: as many as the server runs.
    pub concurrent_queries: Option<usize>,
    /// Queries of one workgroup that wait for their turn. Default 100.
    pub queue_length: usize,
    /// How long one waits at most. Default 30 s.
    pub queue_wait: Duration,
    /// Requests that one workgroup may send in a second.
    pub requests_per_second: Option<u64>,
    /// How long an interactive query runs at most. Default 60 s.
    pub run_time: Duration,
    /// How long a background query runs at most. Default 30 min.
    pub run_time_background: Duration,
    /// Rows of one result. None, the default: as many as there are, for results are streamed.
    pub result_rows: Option<u64>,
    /// Bytes of one result in memory, before it is encoded.
    pub result_bytes: Option<u64>,
    /// Bytes that one query may scan.
    pub scan_bytes: Option<u64>,
    /// Bytes that one workgroup may scan from midnight to midnight in UTC.
    pub scan_bytes_per_day: Option<u64>,
    /// Bytes that one workgroup may scan in a calendar month in UTC.
    pub scan_bytes_per_month: Option<u64>,
    /// Memory that one query may reserve, in bytes. None: the server's share for one query.
    pub memory_bytes: Option<u64>,
    /// Bytes that one query may have in spill files at once. None: what the server has for all.
    pub spill_bytes: Option<u64>,
    /// Whether rows may be sent to a table that is not there yet and is made of them. Default true.
    pub create_tables: bool,
    /// After how long a client that reads nothing is given up. Default 60 s. The same for all workgroups.
    pub idle_client: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            running_queries: 2 * cores,
            running_queries_per_principal: 2 * cores,
            concurrent_queries: None,
            queue_length: 100,
            queue_wait: Duration::from_secs(30),
            requests_per_second: None,
            run_time: Duration::from_secs(60),
            run_time_background: Duration::from_secs(30 * 60),
            result_rows: None,
            result_bytes: None,
            scan_bytes: None,
            scan_bytes_per_day: None,
            scan_bytes_per_month: None,
            memory_bytes: None,
            spill_bytes: None,
            create_tables: true,
            idle_client: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The run time that holds for these options: the smaller of what is asked for and what is allowed. With it, whose
    /// limit it is; None where the caller asked for less.
    pub(crate) fn run_time_for(&self, options: &AdmitOptions) -> (Duration, Option<Limit>) {
        let (limit, which) = match options.background {
            true => (self.run_time_background, Limit::RunTimeBackground),
            false => (self.run_time, Limit::RunTime),
        };
        match options.timeout {
            // Where someone waits for a page of a background query, the shorter limit was asked for.
            Some(asked) if asked < limit => (asked, (asked == self.run_time).then_some(Limit::RunTime)),
            _ => (limit, Some(which)),
        }
    }
}

/// A limit of a workgroup, for messages and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::run_time`]
    RunTime,
    /// [`Limits::run_time_background`]
    RunTimeBackground,
    /// [`Limits::result_rows`]
    ResultRows,
    /// [`Limits::result_bytes`]
    ResultBytes,
    /// [`Limits::scan_bytes`]
    ScanBytes,
    /// [`Limits::scan_bytes_per_day`]
    ScanBytesPerDay,
    /// [`Limits::scan_bytes_per_month`]
    ScanBytesPerMonth,
    /// [`Limits::queue_length`]
    QueueLength,
    /// [`Limits::queue_wait`]
    QueueWait,
    /// [`Limits::requests_per_second`]
    RequestsPerSecond,
    /// [`Limits::memory_bytes`]
    Memory,
    /// [`Limits::spill_bytes`]
    Spill,
}

impl Limit {
    /// The name of its setting, without the section and the unit.
    pub fn name(self) -> &'static str {
        match self {
            Limit::RunTime => "run_time",
            Limit::RunTimeBackground => "run_time_background",
            Limit::ResultRows => "result_rows",
            Limit::ResultBytes => "result_bytes",
            Limit::ScanBytes => "scan_bytes",
            Limit::ScanBytesPerDay => "scan_bytes_per_day",
            Limit::ScanBytesPerMonth => "scan_bytes_per_month",
            Limit::QueueLength => "queue_length",
            Limit::QueueWait => "queue_wait",
            Limit::RequestsPerSecond => "requests_per_second",
            Limit::Memory => "memory",
            Limit::Spill => "spill",
        }
    }
}

/// What a caller asks of its admission.
#[derive(Debug, Clone, Default)]
pub struct AdmitOptions {
    /// Asked for by the caller; the smaller of this and the limit holds.
    pub timeout: Option<Duration>,
    /// Background query: the longer limit.
    pub background: bool,
    /// To look up the place in the queue while it waits: [`Access::ticket`](crate::Access::ticket).
    pub ticket: Option<QueueTicket>,
}

/// Who waits, for [`Access::queue_positions`](crate::Access::queue_positions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueueTicket(pub(crate) u64);
