//! One table that rows come in for.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lakebed_tables::{DeltaState, DeltaTable, TableBuffer};
use lakebed_types::{Error, Result, TableName};
use parking_lot::Mutex;

use crate::{harmonize::Plan, log::Intent, rules::TableRules};

/// One table that rows come in for.
#[derive(Debug)]
pub(crate) struct IngestTable {
    pub(crate) name: TableName,
    /// Tells it from an earlier table of this name.
    pub(crate) id: String,
    pub(crate) delta: Arc<DeltaTable>,
    pub(crate) buffer: Arc<TableBuffer>,
    /// The last position that is committed.
    pub(crate) flushed: AtomicU64,
    /// Whoever flushes holds it; what it holds is a flush whose outcome is not known.
    pub(crate) flushing: tokio::sync::Mutex<Option<Intent>>,
    /// Whoever merges holds it: merges of this process take turns.
    pub(crate) merging: tokio::sync::Mutex<()>,
    /// A flush in the background is on its way.
    pub(crate) flush_asked: AtomicBool,
    pub(crate) counts: Counts,
    plan: Mutex<Option<PlanFor>>,
    pub(crate) last_error: Mutex<Option<String>>,
}

/// Since start-up.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) merges: AtomicU64,
}

/// A plan and what it was made of.
#[derive(Debug)]
struct PlanFor {
    rules: String,
    state: Arc<DeltaState>,
    plan: Arc<Plan>,
}

impl IngestTable {
    pub(crate) fn new(
        name: TableName,
        delta: Arc<DeltaTable>,
        buffer: Arc<TableBuffer>,
        flushed: u64,
        pending: Option<Intent>,
    ) -> Self {
        Self {
            name,
            id: delta.state().id().to_owned(),
            delta,
            buffer,
            flushed: AtomicU64::new(flushed),
            flushing: tokio::sync::Mutex::new(pending),
            merging: tokio::sync::Mutex::default(),
            flush_asked: AtomicBool::new(false),
            counts: Counts::default(),
            plan: Mutex::default(),
            last_error: Mutex::default(),
        }
    }

    /// How rows become this table's rows, by its rules as the catalog has them.
    ///
    /// # Errors
    /// `invalid_request` where the rules do not fit the columns.
    pub(crate) fn plan(&self, rules: &str, max_rows: usize) -> Result<Arc<Plan>> {
        let state = self.delta.state();
        let mut known = self.plan.lock();
        if let Some(known) = known.as_ref()
            && known.rules == rules
            && known.state.schema() == state.schema()
        {
            return Ok(known.plan.clone());
        }
        let plan = Arc::new(Plan::new(state.schema().clone(), &parse_rules(rules)?, max_rows)?);
        *known = Some(PlanFor { rules: rules.to_owned(), state, plan: plan.clone() });
        Ok(plan)
    }

    /// The last position that is committed.
    pub(crate) fn flushed_lsn(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// Remembers how a flush or merge went, for those who look.
    pub(crate) fn note<T>(&self, outcome: &Result<T>) {
        *self.last_error.lock() = outcome.as_ref().err().map(|error| error.message().to_owned());
    }
}

/// Rules as the catalog keeps them.
pub(crate) fn parse_rules(text: &str) -> Result<TableRules> {
    serde_json::from_str(text).map_err(|error| {
        Error::invalid_request(format!("the table's rules cannot be read: {error}")).with_source(error)
    })
}

/// The tables that rows came in for since start-up.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    open: Mutex<HashMap<TableName, Arc<IngestTable>>>,
    /// Opening one takes requests; two at once would double them.
    pub(crate) opening: tokio::sync::Mutex<()>,
}

impl Tables {
    pub(crate) fn get(&self, name: &TableName) -> Option<Arc<IngestTable>> {
        self.open.lock().get(name).cloned()
    }

    pub(crate) fn put(&self, table: Arc<IngestTable>) -> Option<Arc<IngestTable>> {
        self.open.lock().insert(table.name.clone(), table)
    }

    /// Whether this one is open, and not another of its name.
    pub(crate) fn has(&self, table: &Arc<IngestTable>) -> bool {
        self.open.lock().get(&table.name).is_some_and(|there| Arc::ptr_eq(there, table))
    }

    /// Removes this one, and not another of its name. Whether it was there.
    pub(crate) fn remove(&self, table: &Arc<IngestTable>) -> bool {
        let mut open = self.open.lock();
        let is_there = open.get(&table.name).is_some_and(|there| Arc::ptr_eq(there, table));
        if is_there {
            open.remove(&table.name);
        }
        is_there
    }

    /// All, by name.
    pub(crate) fn all(&self) -> Vec<Arc<IngestTable>> {
        let mut all: Vec<_> = self.open.lock().values().cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}
