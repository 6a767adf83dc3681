//! The log of slow queries.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::history::QueryRecord;

/// Bytes of a statement's text that a line has.
const MAX_SQL_BYTES: usize = 2 << 10;

/// From how long on a query is logged. Can change while queries run.
#[derive(Debug, Default)]
pub(crate) struct SlowQueries {
    /// Milliseconds; 0 is never.
    from_ms: AtomicU64,
}

impl SlowQueries {
    /// None: no query is logged.
    pub(crate) fn set(&self, from: Option<Duration>) {
        let from_ms = from.map_or(0, |from| u64::try_from(from.as_millis()).unwrap_or(u64::MAX).max(1));
        self.from_ms.store(from_ms, Ordering::Relaxed);
    }

    /// Whether it took so long, with its planning and without its time in the queue.
    pub(crate) fn is_slow(&self, record: &QueryRecord) -> bool {
        let from_ms = self.from_ms.load(Ordering::Relaxed);
        from_ms > 0 && record.statistics.planning_ms + record.statistics.execution_ms >= from_ms as f64
    }
}

/// One line of the target `lakebed::slow_query`.
pub(crate) fn log(record: &QueryRecord) {
    let took = &record.statistics;
    tracing::warn!(
        target: "lakebed::slow_query",
        query_id = %record.id,
        principal = record.principal,
        source = record.source.as_ref(),
        kind = record.kind.map(tracing::field::debug),
        state = ?record.state,
        queue_ms = took.queue_ms,
        planning_ms = took.planning_ms,
        execution_ms = took.execution_ms,
        rows_returned = took.rows_returned,
        bytes_scanned = took.bytes_scanned,
        spilled_bytes = took.spilled_bytes,
        peak_memory_bytes = took.peak_memory_bytes,
        sql = one_line(&record.sql),
        "slow query"
    );
}

/// The text without its line breaks, cut.
fn one_line(sql: &str) -> String {
    let mut line = String::new();
    for word in sql.split_whitespace() {
        if line.len() + word.len() >= MAX_SQL_BYTES {
            let room = MAX_SQL_BYTES.saturating_sub(line.len());
            line.extend(word.char_indices().take_while(|(at, _)| *at < room).map(|(_, letter)| letter));
            return line + "…";
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_one_bounded_line() {
        assert_eq!(one_line("SELECT\n  1,\t2\n"), "SELECT 1, 2");
        for long in ["ä".repeat(5000), "ä ".repeat(5000), format!("x {}", "y".repeat(5000))] {
            let line = one_line(&long);
            assert!(line.ends_with('…') && (2000..2100).contains(&line.len()), "{}", line.len());
        }
    }
}
