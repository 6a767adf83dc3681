//! What a server does by itself, second by second.

use std::{sync::Arc, time::Duration};

use lakebed_api_flight::FlightState;
use lakebed_ingest::IngestService;
use lakebed_query::QueryService;
use lakebed_types::{Error, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::http::Tls;

/// How often most duties are done: due freshness looks, ends of kept results.
const PERIOD: Duration = Duration::from_secs(1);
/// How often the TLS files are looked at, and samples of durations are folded together.
const SLOW_PERIOD: Duration = Duration::from_secs(10);
/// How often it is noted what workgroups have scanned: what a crash may forget.
const USAGE_PERIOD: Duration = Duration::from_secs(3);
/// How often it is looked at what rows have to be flushed.
const ROWS_PERIOD: Duration = Duration::from_millis(500);
/// How often the process's memory is looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(200);
/// Upper bounds of durations in `/metrics`, in seconds.
const SECONDS: [f64; 15] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// The parts of a server that need to be looked after.
pub(crate) struct Duties {
    pub(crate) query: QueryService,
    pub(crate) flight: FlightState,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) prometheus: PrometheusHandle,
}

impl Duties {
    /// Does them until it is dropped.
    pub(crate) async fn run(self) {
        let (mut often, mut usage, mut seldom) = (interval(PERIOD), interval(USAGE_PERIOD), interval(SLOW_PERIOD));
        for period in [&mut often, &mut usage, &mut seldom] {
            period.set_missed_tick_behavior(MissedTickBehavior::Skip);
        }
        loop {
            tokio::select! {
                _ = often.tick() => self.often().await,
                _ = usage.tick() => save_usage(&self.query).await,
                _ = seldom.tick() => self.seldom(),
            }
        }
    }

    async fn often(&self) {
        self.query.sweep();
        self.flight.sweep();
        if let Err(error) = self.query.access().keys().note_uses().await {
            tracing::warn!(?error, "noting the last uses of keys failed");
        }
        if let Err(error) = self.query.catalog().refresh_due().await {
            tracing::warn!(?error, "looking for new files failed");
        }
    }

    fn seldom(&self) {
        // Without this a server that nobody scrapes would keep every sample.
        self.prometheus.run_upkeep();
        if let Some(tls) = &self.tls {
            tls.look();
        }
    }
}

/// Flushes, merges and cleans up what rows have come in, until `stop`: what has been begun is ended first.
pub(crate) async fn look_after_rows(ingest: IngestService, stop: CancellationToken) {
    let mut period = interval(ROWS_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = period.tick() => ingest.tick().await,
        }
    }
}

/// Ends queries while the process has more memory than it should. A task of its own, so that nothing slow holds it up.
pub(crate) async fn watch_memory(query: QueryService) {
    let mut period = interval(WATCH_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        if let Some(resident_bytes) = resident_memory_bytes() {
            query.watch_memory(resident_bytes).await;
        }
    }
}

/// What this process has of the machine's memory, where the system tells it.
fn resident_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Notes what workgroups have scanned.
pub(crate) async fn save_usage(query: &QueryService) {
    if let Err(error) = query.access().workgroups().save_usage().await {
        tracing::warn!(?error, "noting what workgroups have scanned failed");
    }
}

/// The recorder of this process's metrics. Durations are histograms, which can be added up over servers.
///
/// # Errors
/// `internal` if there is one already.
pub(crate) fn metrics_recorder() -> Result<PrometheusHandle> {
    let failed = |error| Error::internal("the metrics recorder does not start").with_source(error);
    PrometheusBuilder::new().set_buckets(&SECONDS).map_err(failed)?.install_recorder().map_err(failed)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory() {
        let bytes = super::resident_memory_bytes().unwrap();
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }
}
