//! Making a new table: version 0 of its log.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{Fields, SchemaRef};
use lakebed_storage::{Location, Mode, Storage};
use lakebed_types::{Clock, Error, ErrorKind, Result};
use serde_json::json;

use super::{
    action::{Action, FileFormat, Metadata, Protocol},
    backoff::Backoff,
    commit,
    fields::{lake_schema, needs_ntz, to_json},
    log::{Log, is_passing},
    partition,
    replay::Replay,
    state::SORT_COLUMNS,
    table::DeltaTable,
};

/// Attempts at the first commit.
const ATTEMPTS: u32 = 6;

/// What a new table is besides its columns.
#[derive(Debug, Clone, Default)]
pub struct DeltaOptions {
    /// Its identity, made up by the caller: a UUID.
    pub id: String,
    /// A column to partition by; None for a table in one piece.
    pub partition_column: Option<String>,
    /// What files are sorted by, the first the most.
    pub sort_columns: Vec<String>,
    /// What to say of it.
    pub comment: Option<String>,
    /// Entries of the table's configuration, such as `delta.checkpointInterval`.
    pub configuration: BTreeMap<String, String>,
}

impl DeltaTable {
    /// Makes a table in a folder. Its columns become those of [`lake_schema`].
    ///
    /// # Errors
    /// `already_exists` where the folder has a log; `unsupported` and `invalid_request` for columns that a table cannot
    /// have; `unknown_column` for a partition or sort column that is none of them; the store's errors.
    pub async fn create(
        storage: &Storage,
        location: Location,
        schema: SchemaRef,
        options: DeltaOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let location = location.as_folder();
        storage.check(&location, Mode::ReadWrite)?;
        let log = Log::new(storage, &location)?;
        let now = clock.now().timestamp_millis();
        let schema = lake_schema(&schema)?;
        check_columns(&schema, &options)?;
        let actions = vec![
            commit::info(now, "CREATE TABLE", json!({})),
            Action::protocol(protocol_for(schema.fields())),
            Action::metadata(metadata(&schema, &options, now)?),
        ];
        // A log whose beginning was removed would take a first version once more.
        if log.last_checkpoint().await?.is_some() {
            return Err(taken(&location));
        }
        create_first(&log, &location, &options.id, &actions).await?;
        let mut replay = Replay::default();
        replay.apply(0, actions);
        let state = replay.finish(storage, &location).await?;
        let created = clock.instant();
        Ok(Self::with_state(storage, location, log, clock, state, created))
    }
}

/// Whether the first commit is ours says the identity in it, not the store's answer.
async fn create_first(log: &Log, location: &Location, id: &str, actions: &[Action]) -> Result<()> {
    let mut backoff = Backoff::default();
    loop {
        let Err(error) = log.create_commit(0, actions).await else { return Ok(()) };
        // What is there may be ours, and gone with the power.
        if error.kind() == ErrorKind::DiskFailed {
            return Err(error);
        }
        let there = log.commit(0).await;
        let first = there.as_ref().ok().and_then(Option::as_ref);
        if let Some(first) = first {
            let ours = first.iter().filter_map(|action| action.meta_data.as_ref()).any(|metadata| metadata.id == id);
            return if ours { Ok(()) } else { Err(taken(location)) };
        }
        let again = is_passing(&error) || error.kind() == ErrorKind::AlreadyExists;
        if !again || backoff.attempts() + 1 >= ATTEMPTS {
            return Err(error);
        }
        backoff.wait().await;
    }
}

fn taken(location: &Location) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("{location} holds a Delta table already"))
}

fn check_columns(schema: &SchemaRef, options: &DeltaOptions) -> Result<()> {
    for name in options.partition_column.iter().chain(&options.sort_columns) {
        if schema.column_with_name(name).is_none() {
            return Err(Error::new(ErrorKind::UnknownColumn, format!("the table has no column `{name}`")));
        }
    }
    let Some(partition) = &options.partition_column else { return Ok(()) };
    if options.sort_columns.contains(partition) {
        return Err(Error::invalid_request(format!("`{partition}` is the same in all rows of a file"))
            .with_hint("Leave the partition column out of the columns to sort by."));
    }
    if schema.fields().len() < 2 {
        return Err(Error::invalid_request("a table needs a column besides the one that it is partitioned by"));
    }
    schema.column_with_name(partition).map_or(Ok(()), |(_, field)| partition::check_type(partition, field.data_type()))
}

/// Columns with timestamps without a zone need a newer protocol.
fn protocol_for(fields: &Fields) -> Protocol {
    let plain = Protocol { min_reader_version: 1, min_writer_version: 2, reader_features: None, writer_features: None };
    if needs_ntz(fields) { with_ntz(&plain) } else { plain }
}

/// The same with timestamps without a zone.
pub(super) fn with_ntz(protocol: &Protocol) -> Protocol {
    let wanted = "timestampNtz".to_owned();
    // What writers before version 7 had to know without a word.
    let implied = || vec!["appendOnly".to_owned(), "invariants".to_owned()];
    let mut reader = protocol.reader_features.clone().unwrap_or_default();
    let mut writer = protocol.writer_features.clone().unwrap_or_else(implied);
    for features in [&mut reader, &mut writer] {
        if !features.contains(&wanted) {
            features.push(wanted.clone());
        }
    }
    Protocol {
        min_reader_version: 3,
        min_writer_version: 7,
        reader_features: Some(reader),
        writer_features: Some(writer),
    }
}

fn metadata(schema: &SchemaRef, options: &DeltaOptions, now: i64) -> Result<Metadata> {
    let mut configuration: BTreeMap<String, Option<String>> =
        options.configuration.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    if !options.sort_columns.is_empty() {
        configuration.insert(SORT_COLUMNS.to_owned(), Some(options.sort_columns.join(",")));
    }
    Ok(Metadata {
        id: options.id.clone(),
        name: None,
        description: options.comment.clone(),
        format: FileFormat { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string: to_json(schema)?,
        partition_columns: options.partition_column.iter().cloned().collect(),
        configuration,
        created_time: Some(now),
    })
}
