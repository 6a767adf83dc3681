//! What every handler is given.

use std::sync::{Arc, atomic::AtomicBool};

use lakebed_ingest::IngestService;
use lakebed_query::QueryService;
use lakebed_types::{Clock, SystemClock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::RestSettings;

/// Everything a handler needs. Cheap to clone.
#[derive(Clone)]
pub struct RestState {
    /// The product: rows out.
    pub query: QueryService,
    /// And rows in.
    pub ingest: IngestService,
    /// What the operator chose.
    pub settings: Arc<RestSettings>,
    /// Whether `/ready` says yes: true after the start-up's last step.
    pub ready: Arc<AtomicBool>,
    /// For timestamps and durations of answers.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the server stops: ends the answers that have no end of their own.
    pub stop: CancellationToken,
    /// Places for tails.
    pub(crate) tails: Arc<Semaphore>,
}

impl RestState {
    /// The state of a server that has just begun to start, with the machine's clock.
    pub fn new(query: QueryService, ingest: IngestService, settings: RestSettings, ready: Arc<AtomicBool>) -> Self {
        Self {
            query,
            ingest,
            tails: Arc::new(Semaphore::new(settings.tails)),
            settings: Arc::new(settings),
            ready,
            clock: Arc::new(SystemClock),
            stop: CancellationToken::new(),
        }
    }
}
