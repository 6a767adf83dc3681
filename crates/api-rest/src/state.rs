//! What every handler is given.

use std::sync::{Arc, atomic::AtomicBool};

use lakebed_query::QueryService;
use lakebed_types::{Clock, SystemClock};

use crate::RestSettings;

/// Everything a handler needs. Cheap to clone.
#[derive(Clone)]
pub struct RestState {
    /// The product.
    pub query: QueryService,
    /// What the operator chose.
    pub settings: Arc<RestSettings>,
    /// Whether `/ready` says yes: true after the start-up's last step.
    pub ready: Arc<AtomicBool>,
    /// For timestamps and durations of answers.
    pub clock: Arc<dyn Clock>,
}

impl RestState {
    /// The state of a server that has just begun to start, with the machine's clock.
    pub fn new(query: QueryService, settings: RestSettings, ready: Arc<AtomicBool>) -> Self {
        Self { query, settings: Arc::new(settings), ready, clock: Arc::new(SystemClock) }
    }
}
