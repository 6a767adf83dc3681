//! What can be committed: rows, another layout of the same rows, new columns, the removal of a partition.

use std::{sync::Arc, time::Instant};

use arrow::datatypes::{Field, Schema};
use lakebed_types::{Error, ErrorKind, Result};
use serde_json::json;

use super::{
    action::{Action, AddFile, Metadata, RemoveFile, Txn, TxnAction},
    commit::{Ended, Next, info},
    create::with_ntz,
    fields::{check_count, lake_schema, needs_ntz, with_columns},
    state::{APPEND_ONLY, DeltaState},
    table::DeltaTable,
};

/// How a rewrite ended.
#[derive(Debug)]
pub enum Rewritten {
    /// The new files stand for the old ones.
    Done(Arc<DeltaState>),
    /// Some of the old files are gone: another rewrite was first, or ours has landed and others went on from there. The
    /// table is whole either way, and the new files must not be removed by hand: vacuum finds out whether they are used.
    Lost(Arc<DeltaState>),
}

/// What a removal took out.
#[derive(Debug, Clone, Default)]
pub struct Removed {
    /// Number of files.
    pub files: u64,
    /// Rows, where the files said so.
    pub rows: u64,
    /// Bytes, as stored.
    pub bytes: u64,
    /// The version without them.
    pub version: i64,
}

impl DeltaTable {
    /// Adds files together with how far their application has come. Their rows begin right after `after`, its progress when
    /// they were gathered; None where it had none. Another attempt of the application, whose answer was lost, may land late
    /// and hold some of these rows. Done, too, where the log says that the application is as far already: an earlier attempt
    /// has landed.
    ///
    /// # Errors
    /// `conflict` where the application is neither there nor as far as these rows: nothing is committed. What kept it from
    /// landing until the deadline; whether it did then is not known, and the same call again finds out. `unsupported` where
    /// another program has changed the table beyond us.
    pub async fn append(
        &self,
        txn: Txn,
        after: Option<i64>,
        adds: Vec<AddFile>,
        deadline: Instant,
    ) -> Result<Arc<DeltaState>> {
        let decide = |state: &DeltaState| {
            let known = state.transaction(&txn.app_id);
            if known.is_some_and(|version| version >= txn.version) {
                return Ok(Next::Done);
            }
            if known != after {
                return Ok(Next::Lost);
            }
            let now = self.clock.now().timestamp_millis();
            let mode = json!({"mode": "Append", "partitionBy": "[]"});
            let progress = TxnAction { app_id: txn.app_id.clone(), version: txn.version, last_updated: Some(now) };
            let actions = [info(now, "WRITE", mode), Action::txn(progress)].into_iter();
            Ok(Next::Commit(actions.chain(adds.iter().cloned().map(Action::add)).collect()))
        };
        // Where it is not known what became of them, they stay unfinished.
        self.unfinished.begin_commit(&adds);
        let ended = self.commit(deadline, decide).await?;
        self.unfinished.end_commit(&adds);
        match ended {
            Ended::Done(state) => Ok(state),
            Ended::Lost(state) => {
                let (app_id, known) = (&txn.app_id, state.transaction(&txn.app_id).unwrap_or_default());
                let text = format!("{app_id} is at {known} in {} meanwhile", self.location());
                Err(Error::new(ErrorKind::Conflict, text).with_hint("Gather the rows above that once more."))
            }
        }
    }

    /// Puts files in the place of others that hold the same rows. Lost where one of the others, by their paths in the log,
    /// is no longer in the table.
    ///
    /// # Errors
    /// What kept it from landing until the deadline; `unsupported` where another program has changed the table beyond us.
    pub async fn rewrite(&self, removes: &[String], adds: Vec<AddFile>, deadline: Instant) -> Result<Rewritten> {
        let decide = |state: &DeltaState| {
            let old = removes.iter().map(|path| state.files.get(path)).collect::<Option<Vec<_>>>();
            let Some(old) = old else {
                let landed = adds.iter().all(|add| state.has_file(&add.path));
                return Ok(if landed { Next::Done } else { Next::Lost });
            };
            let now = self.clock.now().timestamp_millis();
            let removes = old.into_iter().map(|file| Action::remove(RemoveFile::of(&file.add, now, false)));
            let adds = adds.iter().map(|add| Action::add(AddFile { data_change: false, ..add.clone() }));
            let actions = [info(now, "OPTIMIZE", json!({}))].into_iter().chain(removes).chain(adds);
            Ok(Next::Commit(actions.collect()))
        };
        Ok(match self.commit(deadline, decide).await? {
            Ended::Done(state) => Rewritten::Done(state),
            Ended::Lost(state) => Rewritten::Lost(state),
        })
    }

    /// Adds columns that may be NULL; those that are there already with the same type stay. Files without them have NULL.
    ///
    /// # Errors
    /// `schema_conflict` where a column of that name (whatever its case) has another type; those of [`lake_schema`]; and
    /// as for [`DeltaTable::rewrite`].
    pub async fn add_columns(&self, fields: Vec<Field>, deadline: Instant) -> Result<Arc<DeltaState>> {
        let wanted = lake_schema(&Schema::new(fields))?;
        let decide = |state: &DeltaState| {
            let new = missing(state, &wanted)?;
            if new.is_empty() {
                return Ok(Next::Done);
            }
            let now = self.clock.now().timestamp_millis();
            let schema_string = with_columns(&state.metadata.schema_string, &new)?;
            let mut actions = vec![info(now, "ADD COLUMNS", json!({}))];
            let protocol = with_ntz(&state.protocol);
            if needs_ntz(&new.into()) && protocol != *state.protocol {
                actions.push(Action::protocol(protocol));
            }
            actions.push(Action::metadata(Metadata { schema_string, ..(*state.metadata).clone() }));
            Ok(Next::Commit(actions))
        };
        match self.commit(deadline, decide).await? {
            Ended::Done(state) | Ended::Lost(state) => Ok(state),
        }
    }

    /// Takes all files of a partition out of the table. They stay in the store until vacuum.
    ///
    /// # Errors
    /// `unsupported` where the table says that rows are only ever added. As for [`DeltaTable::rewrite`].
    pub async fn remove_partition(&self, value: Option<&str>, deadline: Instant) -> Result<Removed> {
        let taken = parking_lot::Mutex::new(Removed::default());
        let decide = |state: &DeltaState| {
            let inside = state.files.values().filter(|file| file.value().as_deref() == value);
            let now = self.clock.now().timestamp_millis();
            let mut removed = Removed::default();
            let mut actions = vec![info(now, "DELETE", json!({"predicate": "[]"}))];
            for file in inside {
                removed.files += 1;
                removed.rows = removed.rows.saturating_add(file.data.summary.rows().unwrap_or(0));
                removed.bytes = removed.bytes.saturating_add(file.add.size);
                actions.push(Action::remove(RemoveFile::of(&file.add, now, true)));
            }
            // An attempt whose answer was lost may have taken them already.
            if removed.files == 0 {
                return Ok(Next::Done);
            }
            if state.is_append_only() {
                return Err(append_only(state));
            }
            *taken.lock() = removed;
            Ok(Next::Commit(actions))
        };
        match self.commit(deadline, decide).await? {
            Ended::Done(state) | Ended::Lost(state) => Ok(Removed { version: state.version(), ..taken.into_inner() }),
        }
    }
}

fn append_only(state: &DeltaState) -> Error {
    let text = format!("rows cannot be removed from {}: its `{APPEND_ONLY}` is true", state.location);
    Error::new(ErrorKind::Unsupported, text)
        .with_hint("Keep all days, or set it to false with the program that set it.")
}

fn missing(state: &DeltaState, wanted: &Schema) -> Result<Vec<Field>> {
    let mut new = Vec::new();
    for field in wanted.fields() {
        let same = |known: &&Arc<Field>| known.name().eq_ignore_ascii_case(field.name());
        match state.schema().fields().iter().find(same) {
            None => new.push(field.as_ref().clone()),
            Some(known) if known.data_type() == field.data_type() => {}
            Some(known) => {
                let (name, is, wanted) = (known.name(), known.data_type(), field.data_type());
                return Err(Error::new(ErrorKind::SchemaConflict, format!("column `{name}` is {is}, not {wanted}"))
                    .with_hint("Add a column of another name."));
            }
        }
    }
    check_count(state.schema().fields().len() + new.len())?;
    Ok(new)
}
