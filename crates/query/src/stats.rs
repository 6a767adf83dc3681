//! The statistics of a running query, read from its plan's metrics and counters.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use datafusion::physical_plan::{
    ExecutionPlan,
    metrics::{MetricValue, MetricsSet},
};
use lakebed_types::{Clock, QueryStatistics, ResultCacheUse};
use parking_lot::Mutex;

use crate::{operators, session::Resources};

const TIB: f64 = (1u64 << 40) as f64;

/// Statistics so far; final once the stream has ended. Cheap to clone.
#[derive(Clone)]
pub struct StatsHandle {
    live: Arc<Live>,
}

struct Live {
    clock: Arc<dyn Clock>,
    resources: Resources,
    price_per_tib_usd: f64,
    queued: Duration,
    planning: Mutex<Duration>,
    started: Instant,
    rows: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plan: Option<Arc<dyn ExecutionPlan>>,
    first_row: Option<Duration>,
    result_cache: ResultCacheUse,
    ended: Option<QueryStatistics>,
}

impl StatsHandle {
    pub(crate) fn begin(
        clock: Arc<dyn Clock>,
        resources: Resources,
        price_per_tib_usd: f64,
        queued: Duration,
        planning: Duration,
    ) -> Self {
        let started = clock.instant();
        let planning = Mutex::new(planning);
        let rows = AtomicU64::new(0);
        let state = Mutex::default();
        Self { live: Arc::new(Live { clock, resources, price_per_tib_usd, queued, planning, started, rows, state }) }
    }

    /// The numbers now. Cheap enough to be asked for every second.
    pub fn snapshot(&self) -> QueryStatistics {
        let state = self.live.state.lock();
        match &state.ended {
            Some(ended) => ended.clone(),
            None => self.measure(&state),
        }
    }

    /// Bytes of memory that it has reserved now.
    pub(crate) fn memory_reserved(&self) -> u64 {
        self.live.resources.memory.used() as u64
    }

    /// From here on the plan's own counters are read. `planning`: what physical planning took.
    pub(crate) fn set_plan(&self, plan: Arc<dyn ExecutionPlan>, planning: Duration) {
        self.live.state.lock().plan = Some(plan);
        *self.live.planning.lock() += planning;
    }

    pub(crate) fn set_result_cache(&self, used: ResultCacheUse) {
        self.live.state.lock().result_cache = used;
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.live.rows.fetch_add(rows as u64, Ordering::Relaxed);
        let mut state = self.live.state.lock();
        if state.first_row.is_none() {
            state.first_row = Some(self.elapsed());
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.live.rows.load(Ordering::Relaxed)
    }

    /// What the operators did, for those who trace; before the plan goes.
    pub(crate) fn tell_operators(&self) {
        if let Some(plan) = &self.live.state.lock().plan {
            operators::tell(plan.as_ref());
        }
    }

    /// Fixes the numbers and lets the plan go.
    pub(crate) fn end(&self) -> QueryStatistics {
        let mut state = self.live.state.lock();
        let measured = self.measure(&state);
        state.plan = None;
        state.ended.get_or_insert(measured).clone()
    }

    fn elapsed(&self) -> Duration {
        self.live.clock.instant().saturating_duration_since(self.live.started)
    }

    fn measure(&self, state: &State) -> QueryStatistics {
        let live = &self.live;
        let mut scan = ScanTotals::default();
        if let Some(plan) = &state.plan {
            scan.visit(plan.as_ref());
        }
        let bytes_scanned =
            if scan.bytes == 0 && scan.rows > 0 { live.resources.scans.file_bytes() } else { scan.bytes };
        let not_read = scan.pruned_later.min(scan.row_groups);
        QueryStatistics {
            queue_ms: millis(live.queued),
            planning_ms: millis(*live.planning.lock()),
            execution_ms: millis(self.elapsed()),
            first_row_ms: state.first_row.map(millis),
            bytes_scanned,
            bytes_fetched: live.resources.store.bytes_read(),
            bytes_cached: live.resources.store.bytes_cached(),
            store_requests: live.resources.store.requests(),
            rows_scanned: scan.rows,
            rows_returned: self.rows(),
            files_scanned: live.resources.scans.files_scanned(),
            files_pruned: live.resources.scans.files_pruned(),
            row_groups_scanned: scan.row_groups - not_read,
            row_groups_pruned: scan.row_groups_pruned + not_read,
            spilled_bytes: scan.spilled,
            result_cache: state.result_cache,
            peak_memory_bytes: live.resources.memory.peak() as u64,
            price_usd: price(bytes_scanned, live.price_per_tib_usd),
        }
    }
}

impl fmt::Debug for StatsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatsHandle").field(&self.snapshot()).finish()
    }
}

/// The price of scanning a TiB, in US dollars. Can change while queries run.
#[derive(Debug)]
pub(crate) struct Price {
    bits: AtomicU64,
}

impl Price {
    pub(crate) fn new(per_tib_usd: f64) -> Self {
        Self { bits: AtomicU64::new(per_tib_usd.to_bits()) }
    }

    pub(crate) fn per_tib_usd(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, per_tib_usd: f64) {
        self.bits.store(per_tib_usd.to_bits(), Ordering::Relaxed);
    }
}

/// What scanning these bytes costs, in US dollars.
pub(crate) fn price(bytes: u64, per_tib_usd: f64) -> f64 {
    bytes as f64 / TIB * per_tib_usd
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[derive(Default)]
struct ScanTotals {
    bytes: u64,
    rows: u64,
    row_groups: u64,
    row_groups_pruned: u64,
    /// Row groups that their statistics left over and that were ruled out after all: by a Bloom filter, the limit, or a
    /// filter found while running.
    pruned_later: u64,
    spilled: u64,
}

impl ScanTotals {
    fn visit(&mut self, plan: &dyn ExecutionPlan) {
        if let Some(metrics) = plan.metrics() {
            self.spilled += metrics.spilled_bytes().unwrap_or_default() as u64;
            if plan.children().is_empty() {
                self.add_scan(&metrics);
            }
        }
        for child in plan.children() {
            self.visit(child.as_ref());
        }
    }

    fn add_scan(&mut self, metrics: &MetricsSet) {
        self.rows += metrics.output_rows().unwrap_or_default() as u64;
        for metric in metrics.iter() {
            match metric.value() {
                MetricValue::Count { name, count } => match name.as_ref() {
                    "bytes_scanned" => self.bytes += count.value() as u64,
                    "row_groups_pruned_dynamic_filter" => self.pruned_later += count.value() as u64,
                    _ => {}
                },
                MetricValue::PruningMetrics { name, pruning_metrics } => match name.as_ref() {
                    "row_groups_pruned_statistics" => {
                        self.row_groups += pruning_metrics.matched() as u64;
                        self.row_groups_pruned += pruning_metrics.pruned() as u64;
                    }
                    "row_groups_pruned_bloom_filter" | "limit_pruned_row_groups" => {
                        self.pruned_later += pruning_metrics.pruned() as u64;
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}
