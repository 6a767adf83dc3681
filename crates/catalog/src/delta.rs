//! Delta tables: made, opened once and kept open, and what their logs say of them.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::Schema;
use lakebed_storage::{Location, Mode};
use lakebed_tables::{DeltaOptions, DeltaState, DeltaTable};
use lakebed_types::{Error, Result, TableName};
use uuid::Uuid;

use crate::{
    Catalog, CreateDeltaTable, Freshness, Table, TableKind,
    store::tables::{self, NewDelta},
    table::{already_exists, find},
};

/// How old what is known of a log may be at a query, where the default policy is not one of queries.
const LOG_AGE: Duration = Duration::from_secs(5);

impl Catalog {
    /// Makes a Delta table in a folder of its own, or takes in one that is there.
    ///
    /// # Errors
    /// `table_not_found` where one that is said to be there is not; `already_exists`, unless it is a Delta table and `if_not_exists`; `database_not_found`; `location_not_allowed`;
    /// `unsupported`, `invalid_request` and `unknown_column` for columns that it cannot have; the store's errors.
    pub async fn create_delta_table(&self, request: CreateDeltaTable) -> Result<Table> {
        let (inner, name) = (&self.inner, &request.name);
        let default = inner.settings.default_freshness;
        if let Some(existing) = find(&mut *inner.store.read().await?, name, default).await? {
            return match existing.table.kind {
                TableKind::Delta { .. } if request.if_not_exists => Ok(self.as_opened(existing.table)),
                _ => Err(already_exists(&existing)),
            };
        }
        let clock = Arc::clone(&inner.clock);
        let table = match &request.existing {
            Some(location) => {
                inner.storage.check(location, Mode::ReadWrite)?;
                DeltaTable::open(&inner.storage, location.clone(), clock).await?
            }
            None => {
                let (location, options) = new_table(&request)?;
                DeltaTable::create(&inner.storage, location, Arc::clone(&request.schema), options, clock).await?
            }
        };
        self.insert_delta(&request, table.location(), &table.state()).await?;
        let opened = inner.slots.delta(name);
        // Nobody else knows the name yet but those who asked for it before it was there.
        let _ = opened.set(Arc::new(table));
        self.table(name).await
    }

    async fn insert_delta(&self, request: &CreateDeltaTable, location: &Location, state: &DeltaState) -> Result<()> {
        let (inner, name) = (&self.inner, &request.name);
        let mut write = inner.store.write().await?;
        // Someone else may have taken the name meanwhile; the folder that was made for it has a log and nothing else.
        if let Some(existing) = find(write.connection(), name, inner.settings.default_freshness).await? {
            return Err(already_exists(&existing));
        }
        let new = NewDelta {
            name,
            location,
            file_schema: state.file_schema(),
            partitions: &partitions_of(state),
            rules: &request.rules,
            comment: request.comment.as_deref(),
            created: inner.clock.now(),
        };
        tables::insert_delta(write.connection(), &new).await?;
        // Rows that are acknowledged next would be lost with it.
        write.commit_durably().await?;
        inner.slots.remove(name);
        Ok(())
    }

    /// The Delta table of this name. Opened at the first call, and kept open: everyone shares what is known of its log.
    ///
    /// # Errors
    /// `table_not_found`, `database_not_found`; `invalid_request` for a table of another kind; those of
    /// [`DeltaTable::open`].
    pub async fn delta(&self, name: &TableName) -> Result<Arc<DeltaTable>> {
        if let Some(open) = self.inner.slots.open_delta(name) {
            return Ok(open);
        }
        let TableKind::Delta { location, .. } = self.described(name).await?.kind else {
            return Err(Error::invalid_request(format!("`{name}` takes no rows that are sent: it is no Delta table"))
                .with_hint("Make a table for that with `PUT /v1/databases/{database}/tables/{table}`."));
        };
        let open = async {
            let clock = Arc::clone(&self.inner.clock);
            DeltaTable::open(&self.inner.storage, location, clock).await.map(Arc::new)
        };
        let table = self.inner.slots.delta(name).get_or_try_init(|| open).await.cloned();
        let table = table.map_err(|error| error.context(format!("table `{name}`")))?;
        self.note_columns(name, &table.state()).await?;
        Ok(table)
    }

    /// What a Delta table is now. Its log is asked where what is known of it is older than the default policy allows;
    /// commits of this process are known at once.
    ///
    /// # Errors
    /// Those of [`Catalog::delta`] and of [`DeltaTable::refresh`].
    pub async fn delta_state(&self, name: &TableName) -> Result<Arc<DeltaState>> {
        let table = self.delta(name).await?;
        let most = match self.inner.settings.default_freshness {
            Freshness::OnQuery { min_age } => min_age,
            Freshness::Interval { .. } | Freshness::Manual => LOG_AGE,
        };
        match table.age() >= most {
            true => self.refresh_delta(name).await,
            false => {
                let state = table.state();
                self.note_columns(name, &state).await?;
                Ok(state)
            }
        }
    }

    /// What a Delta table is now, asking its log in any case.
    ///
    /// # Errors
    /// Those of [`Catalog::delta_state`].
    pub async fn refresh_delta(&self, name: &TableName) -> Result<Arc<DeltaState>> {
        let table = self.delta(name).await?;
        let state = table.refresh().await.map_err(|error| error.context(format!("table `{name}`")))?;
        self.note_columns(name, &state).await?;
        Ok(state)
    }

    /// Changes how rows that are sent become rows of a Delta table, and its comment where one is given. `rules` is JSON.
    ///
    /// # Errors
    /// `table_not_found`, `database_not_found`; `invalid_request` for a table of another kind.
    pub async fn set_table_rules(&self, name: &TableName, rules: &str, comment: Option<&str>) -> Result<()> {
        let record = self.record(name).await?;
        if !matches!(record.table.kind, TableKind::Delta { .. }) {
            return Err(Error::invalid_request(format!("`{name}` takes no rows that are sent: it is no Delta table")));
        }
        let mut write = self.inner.store.write().await?;
        tables::set_rules(write.connection(), record.id, rules, comment).await?;
        write.commit_durably().await?;
        self.inner.slots.described_anew(name);
        Ok(())
    }

    /// Whether a table is a Delta table.
    pub(crate) async fn is_delta(&self, name: &TableName) -> Result<bool> {
        if self.inner.slots.open_delta(name).is_some() {
            return Ok(true);
        }
        Ok(matches!(self.described(name).await?.kind, TableKind::Delta { .. }))
    }

    /// A table with what its log says of it, where that is open.
    pub(crate) fn as_opened(&self, table: Table) -> Table {
        let open = match table.kind {
            TableKind::Delta { .. } => self.inner.slots.open_delta(&table.name),
            TableKind::Files { .. } | TableKind::View { .. } => None,
        };
        let Some(state) = open.map(|open| open.state()) else { return table };
        let size = state.size();
        let newest_file = state.newest_file();
        Table {
            schema: Arc::clone(state.schema()),
            changed: newest_file.map_or(table.changed, |newest| newest.max(table.changed)),
            newest_file,
            files: size.files,
            rows: Some(size.rows),
            bytes: size.bytes,
            ..table
        }
    }

    /// The catalog tells of columns before a log is opened, too.
    async fn note_columns(&self, name: &TableName, state: &DeltaState) -> Result<()> {
        if self.described(name).await?.schema == *state.schema() {
            return Ok(());
        }
        let record = self.record(name).await?;
        let mut write = self.inner.store.write().await?;
        let (files, partitions, now) = (state.file_schema(), partitions_of(state), self.inner.clock.now());
        tables::set_columns(write.connection(), record.id, files, &partitions, now).await?;
        write.commit().await?;
        self.inner.slots.described_anew(name);
        Ok(())
    }
}

/// Each creation has a folder of its own: rows that a dropped table of this name has left are not found again.
fn new_table(request: &CreateDeltaTable) -> Result<(Location, DeltaOptions)> {
    let id = Uuid::new_v4().to_string();
    let location = request.lake.child(&format!("{}/{}/{id}/", request.name.database(), request.name.table()))?;
    let options = DeltaOptions {
        id,
        partition_column: request.partition_column.clone(),
        sort_columns: request.sort_columns.clone(),
        comment: request.comment.clone(),
        ..DeltaOptions::default()
    };
    Ok((location, options))
}

fn partitions_of(state: &DeltaState) -> Schema {
    let partitions = state.schema().fields().iter().skip(state.file_schema().fields().len());
    Schema::new(partitions.cloned().collect::<Vec<_>>())
}
