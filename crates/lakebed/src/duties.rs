//! What a server does by itself, second by second.

use std::{sync::Arc, time::Duration};

use lakebed_query::QueryService;
use lakebed_types::{Error, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};

use crate::http::Tls;

/// How often most duties are done: due freshness looks, ends of kept results.
const PERIOD: Duration = Duration::from_secs(1);
/// How often the TLS files are looked at, and samples of durations are folded together.
const SLOW_PERIOD: Duration = Duration::from_secs(10);
/// Upper bounds of durations in `/metrics`, in seconds.
const SECONDS: [f64; 15] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// The parts of a server that need to be looked after.
pub(crate) struct Duties {
    pub(crate) query: QueryService,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) prometheus: PrometheusHandle,
}

impl Duties {
    /// Does them until it is dropped.
    pub(crate) async fn run(self) {
        let (mut often, mut seldom) = (interval(PERIOD), interval(SLOW_PERIOD));
        often.set_missed_tick_behavior(MissedTickBehavior::Skip);
        seldom.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = often.tick() => self.often().await,
                _ = seldom.tick() => self.seldom(),
            }
        }
    }

    async fn often(&self) {
        self.query.sweep();
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

/// The recorder of this process's metrics. Durations are histograms, which can be added up over servers.
///
/// # Errors
/// `internal` if there is one already.
pub(crate) fn metrics_recorder() -> Result<PrometheusHandle> {
    let failed = |error| Error::internal("the metrics recorder does not start").with_source(error);
    PrometheusBuilder::new().set_buckets(&SECONDS).map_err(failed)?.install_recorder().map_err(failed)
}
