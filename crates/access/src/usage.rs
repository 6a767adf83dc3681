//! Bytes that a workgroup has scanned, by day and by month in UTC.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use lakebed_types::{Error, ErrorKind, Result, format_bytes};
use parking_lot::Mutex;

use crate::{Limit, Limits, breach};

/// What a workgroup has scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// Bytes scanned on that day.
    pub day_bytes: u64,
    /// Bytes scanned in that day's month, up to and with that day.
    pub month_bytes: u64,
}

impl Usage {
    fn none(day: NaiveDate) -> Self {
        Self { day, day_bytes: 0, month_bytes: 0 }
    }

    /// Begins a new day or month where one has begun. A clock that was put back begins none.
    fn roll(&mut self, today: NaiveDate) {
        if today <= self.day {
            return;
        }
        if (today.year(), today.month()) != (self.day.year(), self.day.month()) {
            self.month_bytes = 0;
        }
        (self.day, self.day_bytes) = (today, 0);
    }
}

/// Counts what one workgroup scans.
#[derive(Debug)]
pub(crate) struct Meter {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    usage: Usage,
    /// The store does not know it yet.
    new: bool,
}

impl Meter {
    pub(crate) fn new(usage: Usage) -> Self {
        Self { state: Mutex::new(State { usage, new: false }) }
    }

    pub(crate) fn empty(now: DateTime<Utc>) -> Self {
        Self::new(Usage::none(now.date_naive()))
    }

    pub(crate) fn read(&self, now: DateTime<Utc>) -> Usage {
        let mut state = self.state.lock();
        state.usage.roll(now.date_naive());
        state.usage.clone()
    }

    pub(crate) fn add(&self, bytes: u64, now: DateTime<Utc>) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.usage.roll(now.date_naive());
        state.usage.day_bytes = state.usage.day_bytes.saturating_add(bytes);
        state.usage.month_bytes = state.usage.month_bytes.saturating_add(bytes);
        state.new = true;
    }

    /// What the store does not know yet, once.
    pub(crate) fn take_new(&self) -> Option<Usage> {
        let mut state = self.state.lock();
        std::mem::take(&mut state.new).then(|| state.usage.clone())
    }

    /// The store could not be told.
    pub(crate) fn put_back(&self) {
        self.state.lock().new = true;
    }

    /// Fails where `more` bytes on top of what was scanned are more than a budget. Where nothing more is asked for, what
    /// was scanned may be all of it.
    pub(crate) fn check(&self, workgroup: &str, limits: &Limits, more: u64, now: DateTime<Utc>) -> Result<()> {
        let usage = self.read(now);
        let budgets = [
            (Limit::ScanBytesPerDay, limits.scan_bytes_per_day, usage.day_bytes, "today"),
            (Limit::ScanBytesPerMonth, limits.scan_bytes_per_month, usage.month_bytes, "this month"),
        ];
        for (limit, budget, used, when) in budgets {
            let Some(budget) = budget.filter(|budget| used.saturating_add(more) > *budget) else { continue };
            let what = match more {
                0 => format!("{} were scanned {when}", format_bytes(used)),
                more => format!(
                    "{} were scanned {when} and the query would scan {}",
                    format_bytes(used),
                    format_bytes(more)
                ),
            };
            return Err(exhausted(workgroup, limit, budget, &what, &usage, now));
        }
        Ok(())
    }
}

fn exhausted(workgroup: &str, limit: Limit, budget: u64, what: &str, usage: &Usage, now: DateTime<Utc>) -> Error {
    let next = match limit {
        Limit::ScanBytesPerMonth => usage.day.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))),
        _ => usage.day.checked_add_days(Days::new(1)),
    };
    let next = next.unwrap_or(NaiveDate::MAX).and_time(NaiveTime::MIN).and_utc();
    let wait = (next - now).to_std().unwrap_or(Duration::ZERO);
    breach(workgroup, limit, format_bytes(budget), ErrorKind::BudgetExhausted, what)
        .with_hint(format!("There is more from {} on.", next.format("%Y-%m-%d %H:%M UTC")))
        .with_retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn days_and_months_begin_at_midnight() {
        let meter = Meter::empty(at("2026-01-30T10:00:00Z"));
        meter.add(5, at("2026-01-30T23:59:59Z"));
        meter.add(7, at("2026-01-31T00:00:00Z"));
        let usage = meter.read(at("2026-01-31T00:00:00Z"));
        assert_eq!((usage.day_bytes, usage.month_bytes), (7, 12));
        let back = meter.read(at("2026-01-30T00:00:00Z"));
        assert_eq!((back.day_bytes, back.month_bytes), (7, 12), "a clock that was put back gives nothing away");
        let usage = meter.read(at("2026-02-01T00:00:00Z"));
        assert_eq!((usage.day_bytes, usage.month_bytes), (0, 0));
    }

    #[test]
    fn a_budget_blocks_until_the_next_period() {
        let now = at("2026-01-31T22:00:00Z");
        let meter = Meter::empty(now);
        let limits = Limits { scan_bytes_per_day: Some(10), scan_bytes_per_month: Some(100), ..Limits::default() };
        meter.add(6, now);
        meter.check("g", &limits, 4, now).unwrap();
        let error = meter.check("g", &limits, 5, now).unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::BudgetExhausted, Some(Duration::from_secs(7200))));
        let message = "6 B were scanned today and the query would scan 5 B (workgroup `g`: scan_bytes_per_day = 10 B)";
        assert_eq!((error.message(), error.hint()), (message, Some("There is more from 2026-02-01 00:00 UTC on.")));
        let limits = Limits { scan_bytes_per_day: None, ..limits };
        meter.add(94, now);
        meter.check("g", &limits, 0, now).unwrap();
        let error = meter.check("g", &limits, 1, at("2026-01-31T23:00:00Z")).unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
        meter.check("g", &limits, 1, at("2026-02-01T00:00:00Z")).unwrap();
    }

    #[test]
    fn the_store_is_told_once() {
        let now = at("2026-01-31T22:00:00Z");
        let meter = Meter::empty(now);
        assert!(meter.take_new().is_none());
        meter.add(1, now);
        assert_eq!(meter.take_new().unwrap().day_bytes, 1);
        assert!(meter.take_new().is_none());
        meter.put_back();
        assert!(meter.take_new().is_some());
    }
}
