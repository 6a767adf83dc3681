//! A workgroup as it is kept, and what its keeper must be able to do.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lakebed_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{Limits, Usage};

/// The workgroup whose limits are the settings file's, and whose are those of keys that name none.
pub const DEFAULT_WORKGROUP: &str = "default";

const MAX_NAME_CHARS: usize = 64;
/// Ten years: a deadline beyond cannot be told apart from none.
const MAX_MILLIS: u64 = 10 * 366 * 86_400_000;

/// The limits that a workgroup sets. What is None follows the workgroup `default`. Milliseconds, bytes, counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "documented at the members of `Limits`")]
pub struct GroupLimits {
    pub concurrent_queries: Option<u64>,
    pub queue_length: Option<u64>,
    pub queue_wait_ms: Option<u64>,
    pub requests_per_second: Option<u64>,
    pub run_time_ms: Option<u64>,
    pub run_time_background_ms: Option<u64>,
    pub result_rows: Option<u64>,
    pub result_bytes: Option<u64>,
    pub scan_bytes: Option<u64>,
    pub scan_bytes_per_day: Option<u64>,
    pub scan_bytes_per_month: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub spill_bytes: Option<u64>,
    pub create_tables: Option<bool>,
}

impl GroupLimits {
    /// What holds for the workgroup.
    pub(crate) fn over(&self, default: &Limits) -> Limits {
        let millis = |own: Option<u64>, default| own.map_or(default, Duration::from_millis);
        Limits {
            concurrent_queries: self.concurrent_queries.map(count).or(default.concurrent_queries),
            queue_length: self.queue_length.map_or(default.queue_length, count),
            queue_wait: millis(self.queue_wait_ms, default.queue_wait),
            requests_per_second: self.requests_per_second.or(default.requests_per_second),
            run_time: millis(self.run_time_ms, default.run_time),
            run_time_background: millis(self.run_time_background_ms, default.run_time_background),
            result_rows: self.result_rows.or(default.result_rows),
            result_bytes: self.result_bytes.or(default.result_bytes),
            scan_bytes: self.scan_bytes.or(default.scan_bytes),
            scan_bytes_per_day: self.scan_bytes_per_day.or(default.scan_bytes_per_day),
            scan_bytes_per_month: self.scan_bytes_per_month.or(default.scan_bytes_per_month),
            memory_bytes: self.memory_bytes.or(default.memory_bytes),
            spill_bytes: self.spill_bytes.or(default.spill_bytes),
            create_tables: self.create_tables.unwrap_or(default.create_tables),
            running_queries: default.running_queries,
            running_queries_per_principal: default.running_queries_per_principal,
            idle_client: default.idle_client,
        }
    }

    /// The same limits in this shape, to be shown. None stands for no limit then.
    pub fn shown(limits: &Limits) -> Self {
        let millis = |duration: Duration| Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        Self {
            concurrent_queries: limits.concurrent_queries.map(|count| count as u64),
            queue_length: Some(limits.queue_length as u64),
            queue_wait_ms: millis(limits.queue_wait),
            requests_per_second: limits.requests_per_second,
            run_time_ms: millis(limits.run_time),
            run_time_background_ms: millis(limits.run_time_background),
            result_rows: limits.result_rows,
            result_bytes: limits.result_bytes,
            scan_bytes: limits.scan_bytes,
            scan_bytes_per_day: limits.scan_bytes_per_day,
            scan_bytes_per_month: limits.scan_bytes_per_month,
            memory_bytes: limits.memory_bytes,
            spill_bytes: limits.spill_bytes,
            create_tables: Some(limits.create_tables),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let none_of_it = [
            ("concurrent_queries", self.concurrent_queries),
            ("requests_per_second", self.requests_per_second),
            ("run_time_ms", self.run_time_ms),
            ("run_time_background_ms", self.run_time_background_ms),
            ("result_bytes", self.result_bytes),
            ("memory_bytes", self.memory_bytes),
        ];
        if let Some((name, _)) = none_of_it.iter().find(|(_, value)| *value == Some(0)) {
            return Err(Error::invalid_request(format!("`{name}` is 0, and nothing could run"))
                .with_hint("Leave it out to follow the workgroup `default`, or revoke the keys of the workgroup."));
        }
        let times = [
            ("queue_wait_ms", self.queue_wait_ms),
            ("run_time_ms", self.run_time_ms),
            ("run_time_background_ms", self.run_time_background_ms),
        ];
        if let Some((name, _)) = times.iter().find(|(_, value)| value.is_some_and(|millis| millis > MAX_MILLIS)) {
            return Err(Error::invalid_request(format!("`{name}` is more than ten years")));
        }
        Ok(())
    }
}

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A workgroup as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workgroup {
    /// 1 to 64 letters, digits and `-_.`.
    pub name: String,
    /// What it sets.
    pub limits: GroupLimits,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was changed last.
    pub changed: DateTime<Utc>,
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid_request("this is not a name for a workgroup")
        .with_hint("Names have 1 to 64 letters, digits, `-`, `_` and `.`."))
}

/// Where workgroups are kept. What a call has said is durable when it returns, except for usage.
#[async_trait]
pub trait WorkgroupStore: Send + Sync + std::fmt::Debug {
    /// All workgroups but `default`.
    async fn load(&self) -> Result<Vec<Workgroup>>;
    /// What was scanned, by workgroup, `default` too.
    async fn load_usage(&self) -> Result<Vec<(String, Usage)>>;
    /// Adds a workgroup, or replaces it.
    async fn put(&self, workgroup: &Workgroup) -> Result<()>;
    /// Removes a workgroup and what it has scanned.
    async fn remove(&self, name: &str) -> Result<()>;
    /// Notes what was scanned: one record for each workgroup.
    async fn save_usage(&self, usage: &[(String, Usage)]) -> Result<()>;
}

/// Keeps nothing: the workgroups of a server that has no catalog file live as long as the server.
#[derive(Debug)]
pub(crate) struct NoGroupStore;

#[async_trait]
impl WorkgroupStore for NoGroupStore {
    async fn load(&self) -> Result<Vec<Workgroup>> {
        Ok(Vec::new())
    }

    async fn load_usage(&self) -> Result<Vec<(String, Usage)>> {
        Ok(Vec::new())
    }

    async fn put(&self, _: &Workgroup) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn save_usage(&self, _: &[(String, Usage)]) -> Result<()> {
        Ok(())
    }
}
