//! What a query scans while it runs: charged to its workgroup, and held against the workgroup's limits.

use std::sync::Arc;

use lakebed_access::{Limit, Limits, Workgroups, breach};
use lakebed_types::{ErrorKind, Result, format_bytes};

/// Charges one query's bytes.
#[derive(Debug)]
pub(crate) struct Metering {
    workgroups: Workgroups,
    workgroup: String,
    limits: Arc<Limits>,
    charged: u64,
}

impl Metering {
    pub(crate) fn new(workgroups: Workgroups, workgroup: &str, limits: Arc<Limits>) -> Self {
        Self { workgroups, workgroup: workgroup.to_owned(), limits, charged: 0 }
    }

    /// So much was scanned so far, by a query that goes on.
    pub(crate) fn goes_on(&mut self, scanned: u64) -> Result<()> {
        self.ended(scanned)?;
        if scanned == 0 {
            return Ok(());
        }
        self.workgroups.check_budget(&self.workgroup, &self.limits, 0)
    }

    /// So much was scanned by a query that has ended well. What it took of a budget it may keep: the next one is refused.
    pub(crate) fn ended(&mut self, scanned: u64) -> Result<()> {
        self.charge(scanned);
        let Some(limit) = self.limits.scan_bytes.filter(|limit| scanned > *limit) else { return Ok(()) };
        let what = format!("the query scanned {}", format_bytes(scanned));
        let error = breach(&self.workgroup, Limit::ScanBytes, format_bytes(limit), ErrorKind::ScanTooLarge, what);
        Err(error.with_hint("Select fewer columns, or filter by a partition."))
    }

    /// So much was scanned so far, by a query that ends or not.
    pub(crate) fn charge(&mut self, scanned: u64) {
        // A second attempt with other joins begins to count anew, and what it reads comes on top.
        let new = if scanned < self.charged { scanned } else { scanned - self.charged };
        self.workgroups.charge(&self.workgroup, new);
        self.charged = scanned;
    }
}

#[cfg(test)]
mod tests {
    use lakebed_types::SystemClock;

    use super::*;

    fn metering(limits: Limits) -> (Metering, Workgroups) {
        let workgroups = Workgroups::in_memory(Arc::new(SystemClock));
        (Metering::new(workgroups.clone(), "default", Arc::new(limits)), workgroups)
    }

    #[test]
    fn more_than_was_estimated_ends_a_query() {
        let (mut metering, _) = metering(Limits { scan_bytes: Some(100), ..Limits::default() });
        metering.goes_on(60).unwrap();
        metering.goes_on(100).unwrap();
        let error = metering.goes_on(101).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ScanTooLarge);
        assert_eq!(error.message(), "the query scanned 101 B (workgroup `default`: scan_bytes = 100 B)");
        assert!(metering.ended(101).is_err(), "at its end too");
    }

    #[test]
    fn a_budget_that_ends_meanwhile_ends_the_queries_that_go_on() {
        let limits = Limits { scan_bytes_per_day: Some(100), ..Limits::default() };
        let (mut first, workgroups) = metering(limits.clone());
        let mut second = Metering::new(workgroups.clone(), "default", Arc::new(limits));
        first.goes_on(60).unwrap();
        second.goes_on(40).unwrap();
        first.ended(61).unwrap();
        assert_eq!(second.goes_on(40).unwrap_err().kind(), ErrorKind::BudgetExhausted);
        let mut third = Metering::new(workgroups.clone(), "default", second.limits.clone());
        third.goes_on(0).unwrap();
        assert_eq!(workgroups.usage("default").day_bytes, 101, "each byte is charged once");
    }

    #[test]
    fn a_second_attempt_is_charged_too() {
        let (mut metering, workgroups) = metering(Limits::default());
        metering.goes_on(60).unwrap();
        metering.goes_on(20).unwrap();
        metering.ended(60).unwrap();
        assert_eq!(workgroups.usage("default").day_bytes, 120);
    }
}
