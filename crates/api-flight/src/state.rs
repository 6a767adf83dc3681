//! What every call is given.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use lakebed_access::Principal;
use lakebed_query::{PreparedQuery, QueryService};
use lakebed_types::{Clock, QueryId, Result};
use uuid::Uuid;

use crate::{
    FlightSettings,
    metadata::{sql_info, type_info},
    prepared::Statement,
    session::Session,
    shelf::{Bounds, Shelf},
    ticket::Signer,
};

/// Plans that wait for the call that runs them.
const PLANS: Bounds = Bounds { of_owner: 200, of_all: 1_000, idle: Duration::from_secs(60) };
/// Sessions, and statements that clients have prepared.
const SESSIONS_OF_OWNER: usize = 1_000;
const SESSIONS_OF_ALL: usize = 10_000;

/// Everything a call needs. Cheap to clone.
#[derive(Clone)]
pub struct FlightState {
    pub(crate) query: QueryService,
    pub(crate) settings: Arc<FlightSettings>,
    /// Whether the server takes requests: true after the start-up's last step.
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) plans: Arc<Shelf<QueryId, Planned>>,
    /// Runs of tickets whose plan was gone: by the ticket's id, the id that runs.
    pub(crate) runs: Arc<Shelf<QueryId, QueryId>>,
    pub(crate) statements: Arc<Shelf<Uuid, Statement>>,
    pub(crate) sessions: Arc<Shelf<Uuid, Session>>,
    pub(crate) sql_info: Arc<SqlInfoData>,
    pub(crate) type_info: Arc<XdbcTypeInfoData>,
}

/// A plan, and for whom it was made.
pub(crate) struct Planned {
    pub(crate) who: Principal,
    pub(crate) prepared: PreparedQuery,
}

impl FlightState {
    /// The state of a server that has just begun to start.
    ///
    /// # Errors
    /// `internal`.
    pub fn new(
        query: QueryService,
        settings: FlightSettings,
        ready: Arc<AtomicBool>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let idle = Bounds { of_owner: SESSIONS_OF_OWNER, of_all: SESSIONS_OF_ALL, idle: settings.idle_session };
        Ok(Self {
            signer: Arc::new(Signer::new(&settings.token_secret)),
            plans: Arc::new(Shelf::new(clock.clone(), PLANS)),
            runs: Arc::new(Shelf::new(clock.clone(), Bounds { idle: settings.ticket_lifetime, ..PLANS })),
            statements: Arc::new(Shelf::new(clock.clone(), idle)),
            sessions: Arc::new(Shelf::new(clock.clone(), idle)),
            sql_info: Arc::new(sql_info::all(settings.version)?),
            type_info: Arc::new(type_info::all()?),
            query,
            settings: Arc::new(settings),
            ready,
            clock,
        })
    }

    /// Forgets what clients have left behind. Called by the server's duty loop.
    pub fn sweep(&self) {
        self.plans.sweep();
        self.runs.sweep();
        self.statements.sweep();
        self.sessions.sweep();
        metrics::gauge!("lakebed_flight_statements").set(self.statements.len() as f64);
        metrics::gauge!("lakebed_flight_sessions").set(self.sessions.len() as f64);
    }

    /// Plans, prepared statements and sessions that are kept now.
    pub fn kept(&self) -> usize {
        self.plans.len() + self.statements.len() + self.sessions.len()
    }
}

impl fmt::Debug for FlightState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightState").field("settings", &self.settings).finish_non_exhaustive()
    }
}
