//! Snapshots: the files of a table now, in memory, and looks when the policy wants one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::datatypes::DataType;
use lakebed_tables::{DeltaTable, Snapshot};
use lakebed_types::{ErrorKind, Result, TableName};
use object_store::ObjectMeta;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::{
    Catalog, Partition, Table, TableKind,
    look::{self, Loaded},
    store::tables,
};

/// The tables that have been read from the catalog file, by name.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    by_name: Mutex<HashMap<TableName, Arc<Slot>>>,
    deltas: Mutex<HashMap<TableName, Arc<OnceCell<Arc<DeltaTable>>>>>,
    described: Mutex<Described>,
}

/// Tables and views as the catalog file has them.
#[derive(Debug, Default)]
struct Described {
    /// Counts changes: what was read before one is not kept after it.
    generation: u64,
    by_name: HashMap<TableName, Table>,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<SlotState>,
    /// Whoever loads or looks holds it; the others wait and find the result.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct SlotState {
    /// Counts invalidations: what was read before one is not kept after it.
    generation: u64,
    loaded: Option<Arc<Loaded>>,
}

impl Slots {
    fn slot(&self, name: &TableName) -> Arc<Slot> {
        Arc::clone(self.by_name.lock().entry(name.clone()).or_default())
    }

    /// What is known of a table or view, and the generation to keep it under otherwise.
    pub(crate) fn described(&self, name: &TableName) -> Result<Table, u64> {
        let described = self.described.lock();
        described.by_name.get(name).cloned().ok_or(described.generation)
    }

    /// Keeps what was read, unless something has changed since.
    pub(crate) fn describe(&self, generation: u64, table: &Table) {
        let mut described = self.described.lock();
        if described.generation == generation {
            described.by_name.insert(table.name.clone(), table.clone());
        }
    }

    /// Forgets the description of a table: the catalog file has another one now.
    pub(crate) fn described_anew(&self, name: &TableName) {
        let mut described = self.described.lock();
        described.generation += 1;
        described.by_name.remove(name);
    }

    /// Forgets what is in memory of a table; the next query reads the catalog file again.
    pub(crate) fn invalidate(&self, name: &TableName) {
        self.described_anew(name);
        if let Some(slot) = self.by_name.lock().get(name) {
            let mut state = slot.state.lock();
            state.generation += 1;
            state.loaded = None;
        }
    }

    /// The place of an opened Delta table.
    pub(crate) fn delta(&self, name: &TableName) -> Arc<OnceCell<Arc<DeltaTable>>> {
        Arc::clone(self.deltas.lock().entry(name.clone()).or_default())
    }

    /// A Delta table that is open.
    pub(crate) fn open_delta(&self, name: &TableName) -> Option<Arc<DeltaTable>> {
        self.deltas.lock().get(name)?.get().cloned()
    }

    /// Forgets a table.
    pub(crate) fn remove(&self, name: &TableName) {
        self.invalidate(name);
        self.by_name.lock().remove(name);
        self.deltas.lock().remove(name);
    }
}

impl Slot {
    fn get(&self) -> (u64, Option<Arc<Loaded>>) {
        let state = self.state.lock();
        (state.generation, state.loaded.clone())
    }

    fn put(&self, generation: u64, loaded: &Arc<Loaded>) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.loaded = Some(Arc::clone(loaded));
        }
    }
}

/// Where a newer state comes from.
#[derive(Clone, Copy)]
enum Look<'a> {
    /// The location, if the policy says so.
    IfDue,
    /// The location, whatever the policy says.
    Now,
    /// What is known, and one file more.
    Added(&'a ObjectMeta),
}

impl Catalog {
    /// The files of a table now, after its freshness policy. In memory after the first time; no request to the store
    /// unless the policy wants a look. A look reads footers of new and changed files only. Concurrent callers share one
    /// look. Files that are gone leave the snapshot; columns of new files are added to it.
    ///
    /// # Errors
    /// `table_not_found`, `database_not_found`, `invalid_request` for a view. Where a look is due and the store fails,
    /// the store's error: an older snapshot is never passed off as the present.
    pub async fn snapshot(&self, name: &TableName) -> Result<Arc<Snapshot>> {
        if self.is_delta(name).await? {
            return self.delta_state(name).await?.snapshot();
        }
        let slot = self.inner.slots.slot(name);
        if let (_, Some(loaded)) = slot.get()
            && !self.is_due(&loaded)
        {
            return Ok(Arc::clone(&loaded.snapshot));
        }
        self.look(name, &slot, Look::IfDue).await
    }

    /// Looks for new files now, whatever the policy.
    ///
    /// # Errors
    /// Those of [`Catalog::snapshot`].
    pub async fn refresh(&self, name: &TableName) -> Result<Arc<Snapshot>> {
        if self.is_delta(name).await? {
            return self.refresh_delta(name).await?.snapshot();
        }
        let slot = self.inner.slots.slot(name);
        self.look(name, &slot, Look::Now).await
    }

    /// Adds a file that was just written below the table's location, without looking at the location. The snapshot that
    /// comes back holds it.
    ///
    /// # Errors
    /// Those of [`Catalog::snapshot`], and `schema_conflict` where the file does not fit.
    pub async fn add_file(&self, name: &TableName, file: &ObjectMeta) -> Result<Arc<Snapshot>> {
        let slot = self.inner.slots.slot(name);
        self.look(name, &slot, Look::Added(file)).await
    }

    async fn look(&self, name: &TableName, slot: &Slot, look: Look<'_>) -> Result<Arc<Snapshot>> {
        let _turn = slot.turn.lock().await;
        let result = async {
            let (generation, loaded) = slot.get();
            let loaded = match loaded {
                Some(loaded) => loaded,
                None => look::load(self, name).await?,
            };
            slot.put(generation, &loaded);
            let loaded = match look {
                Look::IfDue if !self.is_due(&loaded) => return Ok(Arc::clone(&loaded.snapshot)),
                Look::IfDue | Look::Now => look::look(self, name, loaded).await?,
                Look::Added(file) => look::add(self, name, loaded, file).await?,
            };
            slot.put(generation, &loaded);
            Ok(Arc::clone(&loaded.snapshot))
        };
        let result = result.await;
        if result.as_ref().is_err_and(is_not_found) {
            self.inner.slots.remove(name);
        }
        result
    }

    fn is_due(&self, loaded: &Loaded) -> bool {
        loaded.freshness.due_at_query(loaded.last_listed(), self.inner.clock.now())
    }

    /// The partitions of a table, by value; none for a table without partition columns.
    ///
    /// # Errors
    /// Those of [`Catalog::snapshot`].
    pub async fn partitions(&self, name: &TableName) -> Result<Vec<Partition>> {
        let snapshot = self.snapshot(name).await?;
        if snapshot.partition_columns().is_empty() {
            return Ok(Vec::new());
        }
        let mut partitions = BTreeMap::<&[Option<String>], Partition>::new();
        for file in snapshot.files() {
            let empty = || Partition { values: file.partition_values.clone(), files: 0, rows: Some(0), bytes: 0 };
            let partition = partitions.entry(&file.partition_values).or_insert_with(empty);
            partition.files += 1;
            partition.bytes += file.meta.size;
            partition.rows = partition.rows.zip(file.summary.rows()).map(|(sum, rows)| sum + rows);
        }
        let mut partitions: Vec<Partition> = partitions.into_values().collect();
        let is_number: Vec<bool> =
            snapshot.partition_columns().iter().map(|(_, data_type)| *data_type == DataType::Int64).collect();
        partitions.sort_by_cached_key(|partition| sort_key(&partition.values, &is_number));
        Ok(partitions)
    }

    /// Looks at every table of policy `interval` that is due. Called by the server's duty loop. A table that fails is
    /// logged, and tried again the next time.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn refresh_due(&self) -> Result<()> {
        let default = self.inner.settings.default_freshness;
        let all = tables::list(&mut *self.inner.store.read().await?, None, default).await?;
        for table in all.into_iter().map(|record| record.table) {
            let TableKind::Files { freshness, .. } = table.kind else { continue };
            if !freshness.due_in_background(table.last_listed, self.inner.clock.now()) {
                continue;
            }
            if let Err(error) = self.refresh(&table.name).await {
                tracing::warn!(table = %table.name, ?error, "looking for new files failed");
            }
        }
        Ok(())
    }
}

fn is_not_found(error: &lakebed_types::Error) -> bool {
    matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::DatabaseNotFound | ErrorKind::InvalidRequest)
}

/// Numbers by size, all else by text, NULL last.
fn sort_key(values: &[Option<String>], is_number: &[bool]) -> Vec<(bool, i64, Option<String>)> {
    let number = |value: &Option<String>| value.as_deref().and_then(|value| value.parse().ok()).unwrap_or(0);
    let one = |(value, is_number): (&Option<String>, &bool)| {
        (value.is_none(), if *is_number { number(value) } else { 0 }, value.clone())
    };
    values.iter().zip(is_number).map(one).collect()
}
