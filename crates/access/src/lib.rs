//! Credentials → principal → admission: who is asking, what they may do, and whether it may start now.
//!
//! The only crate that can make [`Admitted`], without which nothing runs. Knows nothing of SQL, HTTP or tables.

#![allow(missing_docs, clippy::todo)] // skeleton

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lakebed_types::{Clock, DatabaseName, Result, StatementKind, TableName};
use tokio_util::sync::CancellationToken;

/// What a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Read,
    Write,
    Admin,
}

/// Who is asking. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {/* Arc<…> name, role, databases visible */}

impl Principal {
    /// Everyone, on a server without keys.
    pub fn anonymous(role: Role) -> Self {
        let _ = role;
        todo!()
    }
    /// The person at the command line: may do everything.
    pub fn local() -> Self {
        todo!()
    }
    /// A background duty (crawler, freshness), by name.
    pub fn system(duty: &'static str) -> Self {
        let _ = duty;
        todo!()
    }
    pub fn name(&self) -> &str {
        todo!()
    }
    pub fn role(&self) -> Role {
        todo!()
    }
    /// What a principal may not see does not exist for it. (Grants come later: today all may see all.)
    pub fn can_see_database(&self, database: &DatabaseName) -> bool {
        let _ = database;
        todo!()
    }
    pub fn can_see_table(&self, table: &TableName) -> bool {
        let _ = table;
        todo!()
    }
    /// Fails with `permission_denied`, naming statement kind and role.
    pub fn may_run(&self, kind: StatementKind) -> Result<()> {
        let _ = kind;
        todo!()
    }
    /// Fails with `permission_denied` unless the role is at least this.
    pub fn require(&self, role: Role, to: &str) -> Result<()> {
        let _ = (role, to);
        todo!()
    }
}

/// The limits of the server. Plain data; the defaults are documented in docs/reference/limits.md.
#[derive(Debug, Clone)]
pub struct Limits {
    pub running_queries: usize,               // 2 × cores
    pub running_queries_per_principal: usize, // = running_queries for now when single principal
    pub queue_length: usize,                  // 100
    pub queue_wait: Duration,                 // 30 s
    pub run_time: Duration,                   // 60 s, interactive
    pub run_time_background: Duration,        // 30 min
    pub result_rows: Option<u64>,             // None = unlimited for streams
    pub idle_client: Duration,                // 60 s: a client that reads nothing
}
impl Default for Limits {
    fn default() -> Self {
        todo!()
    }
}

#[derive(Debug, Clone, Default)]
pub struct AdmitOptions {
    /// Asked for by the caller; the smaller of this and the limit holds.
    pub timeout: Option<Duration>,
    /// Background query: the longer limit.
    pub background: bool,
}

/// The right to run one thing now. Holds the permit; dropping it gives the place to the next in the queue.
#[derive(Debug)]
pub struct Admitted {/* principal, permit, deadline, queued, cancel */}
impl Admitted {
    pub fn principal(&self) -> &Principal {
        todo!()
    }
    pub fn deadline(&self) -> Instant {
        todo!()
    }
    pub fn run_time(&self) -> Duration {
        todo!()
    }
    /// How long it waited for its turn.
    pub fn queued(&self) -> Duration {
        todo!()
    }
    /// Cancelled when the query shall stop.
    pub fn cancellation(&self) -> &CancellationToken {
        todo!()
    }
    pub fn limits(&self) -> &Limits {
        todo!()
    }
}

/// Authentication and admission for all APIs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {/* Arc<…> */}
impl Access {
    pub fn new(limits: Limits, everyone: Principal, clock: Arc<dyn Clock>) -> Self {
        let _ = (limits, everyone, clock);
        todo!()
    }
    /// Today every caller is the server's one principal; keys come with the next step.
    pub fn authenticate(&self, authorization: Option<&str>) -> Result<Principal> {
        let _ = authorization;
        todo!()
    }
    /// Waits for a turn: fair by principal, first come first served within one. `queue_full`, `queue_timeout`,
    /// `unavailable` while draining.
    pub async fn admit(&self, who: &Principal, options: &AdmitOptions) -> Result<Admitted> {
        let _ = (who, options);
        todo!()
    }
    /// No new admissions from now on; resolves when the last permit is back or `grace` is over (then the rest is cancelled).
    pub async fn drain(&self, grace: Duration) {
        let _ = grace;
        todo!()
    }
    pub fn running(&self) -> usize {
        todo!()
    }
    pub fn queued(&self) -> usize {
        todo!()
    }
    pub fn is_draining(&self) -> bool {
        todo!()
    }
    pub fn limits(&self) -> &Limits {
        todo!()
    }
}
