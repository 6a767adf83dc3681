//! Checkpoints: the whole state as one Parquet object, so that a log need not be read from its beginning.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
    json::{ReaderBuilder, WriterBuilder, writer::LineDelimited},
};
use bytes::Bytes;
use lakebed_types::{Error, ErrorKind, Result};
use parquet::{
    arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::Compression,
    file::properties::WriterProperties,
};
use serde_json::json;

use super::{
    action::{Action, TxnAction},
    log::{Kind, LastCheckpoint, Log, LogFile},
    replay::Replay,
    state::DeltaState,
    table::DeltaTable,
};

/// For how long a checkpoint tells of files that were removed, at least.
const TOMBSTONES_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Actions that become one batch.
const BATCH_ROWS: usize = 4096;
/// Parts of a checkpoint of another program.
const MAX_PARTS: u32 = 1000;

impl DeltaTable {
    /// Writes the newest version's checkpoint, and says where it is. Two that do it at once write the same. `removed_for`:
    /// for how long it tells of files that were removed, which has to be as long as vacuum leaves them; a week at least. Its
    /// version.
    ///
    /// # Errors
    /// The store's.
    pub async fn checkpoint(&self, removed_for: Duration) -> Result<i64> {
        let state = self.refresh().await?;
        let version = state.version();
        let oldest_ms = self.oldest_removal(removed_for);
        let actions = actions(&state, oldest_ms);
        let (count, adds) = (actions.len(), state.files.len());
        let encode = tokio::task::spawn_blocking(move || encode(&actions)).await;
        let bytes = encode.map_err(|error| Error::internal("a checkpoint was given up").with_source(error))??;
        let size = bytes.len();
        self.log.overwrite(&part_name(version, 1, 1), bytes).await?;
        let newest = self.log.last_checkpoint().await?.map_or(-1, |last| last.version);
        if newest <= version {
            let hint = json!({"version": version, "size": count, "sizeInBytes": size, "numOfAddFiles": adds});
            self.log.overwrite("_last_checkpoint", hint.to_string().into_bytes()).await?;
        }
        self.checkpointed(version, oldest_ms).await?;
        Ok(version)
    }

    /// Versions after the newest checkpoint, whoever wrote it: [`DeltaState::commits_since_checkpoint`] knows of our own
    /// and of what was there when the table was opened.
    ///
    /// # Errors
    /// The store's.
    pub async fn look_for_checkpoint(&self, removed_for: Duration) -> Result<i64> {
        let known = self.refresh().await?.checkpoint;
        if let Some(last) = self.log.last_checkpoint().await?
            && known.is_none_or(|known| last.version > known)
        {
            self.checkpointed(last.version, self.oldest_removal(removed_for)).await?;
        }
        Ok(self.state().commits_since_checkpoint())
    }

    async fn checkpointed(&self, version: i64, oldest_ms: i64) -> Result<()> {
        // Others may have committed meanwhile.
        let mut replay = Replay::after(&self.state());
        replay.checkpointed(version, oldest_ms);
        self.replace(replay.finish(&self.storage, self.location()).await?);
        Ok(())
    }

    fn oldest_removal(&self, removed_for: Duration) -> i64 {
        let removed_for = self.state().kept_for(removed_for.max(TOMBSTONES_FOR)).as_millis();
        self.clock.now().timestamp_millis().saturating_sub(i64::try_from(removed_for).unwrap_or(i64::MAX))
    }
}

/// Everything that is true at a version.
fn actions(state: &DeltaState, oldest_ms: i64) -> Vec<Action> {
    let mut all = vec![Action::protocol((*state.protocol).clone()), Action::metadata((*state.metadata).clone())];
    all.extend(state.transactions.iter().map(|(app_id, (version, last_updated))| {
        Action::txn(TxnAction { app_id: app_id.clone(), version: *version, last_updated: *last_updated })
    }));
    let kept = state.tombstones.values().filter(|remove| remove.deletion_timestamp.is_some_and(|at| at >= oldest_ms));
    all.extend(kept.map(|remove| Action::remove((**remove).clone())));
    all.extend(state.files.values().map(|file| Action::add((*file.add).clone())));
    all
}

fn encode(actions: &[Action]) -> Result<Vec<u8>> {
    let failed = |error: arrow::error::ArrowError| Error::internal("a checkpoint cannot be written").with_source(error);
    let broken =
        |error: parquet::errors::ParquetError| Error::internal("a checkpoint cannot be written").with_source(error);
    let schema = schema();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties)).map_err(broken)?;
    for some in actions.chunks(BATCH_ROWS) {
        let mut decoder =
            ReaderBuilder::new(Arc::clone(&schema)).with_batch_size(BATCH_ROWS).build_decoder().map_err(failed)?;
        decoder.serialize(some).map_err(failed)?;
        if let Some(batch) = decoder.flush().map_err(failed)? {
            writer.write(&batch).map_err(broken)?;
        }
    }
    writer.close().map_err(broken)?;
    Ok(bytes)
}

/// The columns of a checkpoint: those of each kind of action.
fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let texts =
        |name: &str| Field::new(name, DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true);
    let map = |name: &str| {
        let pair =
            Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]);
        let entries = Field::new("key_value", DataType::Struct(pair), false);
        Field::new(name, DataType::Map(Arc::new(entries), false), true)
    };
    let group = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(fields.into()), true);
    let add = vec![
        text("path"),
        map("partitionValues"),
        long("size"),
        long("modificationTime"),
        flag("dataChange"),
        map("tags"),
        text("stats"),
    ];
    let remove = vec![
        text("path"),
        long("deletionTimestamp"),
        flag("dataChange"),
        flag("extendedFileMetadata"),
        map("partitionValues"),
        long("size"),
    ];
    let metadata = vec![
        text("id"),
        text("name"),
        text("description"),
        group("format", vec![text("provider"), map("options")]),
        text("schemaString"),
        texts("partitionColumns"),
        map("configuration"),
        long("createdTime"),
    ];
    let protocol =
        vec![int("minReaderVersion"), int("minWriterVersion"), texts("readerFeatures"), texts("writerFeatures")];
    Arc::new(Schema::new(vec![
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group("add", add),
        group("remove", remove),
        group("metaData", metadata),
        group("protocol", protocol),
    ]))
}

/// The newest checkpoint, as far as the hint knows of one that is whole.
pub(super) async fn read_last(log: &Log) -> Result<Option<Replay>> {
    match log.last_checkpoint().await? {
        Some(hint) => read_hinted(log, &hint).await,
        None => Ok(None),
    }
}

/// The checkpoint that the hint names; None where it is not whole.
pub(super) async fn read_hinted(log: &Log, hint: &LastCheckpoint) -> Result<Option<Replay>> {
    read(log, hint.version, hint.parts.unwrap_or(1)).await
}

/// The newest checkpoint that can be read, whatever the hint says. Lists the log.
pub(super) async fn read_newest(log: &Log) -> Result<Option<Replay>> {
    let mut whole = whole_checkpoints(&log.files().await?);
    whole.sort_unstable();
    for (version, parts) in whole.into_iter().rev() {
        if let Some(replay) = read(log, version, parts).await? {
            return Ok(Some(replay));
        }
    }
    Ok(None)
}

/// None where it is not whole.
async fn read(log: &Log, version: i64, parts: u32) -> Result<Option<Replay>> {
    let parts = parts.clamp(1, MAX_PARTS);
    let mut all = Vec::new();
    for part in 1..=parts {
        let name = part_name(version, part, parts);
        let Some(bytes) = log.read(&name).await? else { return Ok(None) };
        let location = log.object(&name)?;
        let decode = tokio::task::spawn_blocking(move || decode(bytes)).await;
        match decode.map_err(|error| Error::internal("a checkpoint was given up").with_source(error))? {
            Ok(actions) => all.extend(actions),
            // The commits say the same, for longer.
            Err(error) => {
                tracing::warn!(%location, ?error, "a checkpoint is left out");
                return Ok(None);
            }
        }
    }
    Ok(Some(Replay::checkpoint(version, all)))
}

/// Versions with a checkpoint of which no part is missing, and the number of its parts.
pub(super) fn whole_checkpoints(listed: &[LogFile]) -> Vec<(i64, u32)> {
    let mut there = BTreeMap::<(i64, u32), u32>::new();
    for file in listed {
        if let Kind::Checkpoint { parts } = file.kind {
            *there.entry((file.version, parts)).or_default() += 1;
        }
    }
    there.into_iter().filter(|((_, parts), there)| parts == there).map(|(found, _)| found).collect()
}

fn part_name(version: i64, part: u32, parts: u32) -> String {
    match parts {
        1 => format!("{version:020}.checkpoint.parquet"),
        _ => format!("{version:020}.checkpoint.{part:010}.{parts:010}.parquet"),
    }
}

fn decode(bytes: Bytes) -> Result<Vec<Action>> {
    let damaged = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::CorruptFile, format!("the checkpoint cannot be read: {source}")).with_source(source)
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged(error.into()))?;
    // Other programs add columns in which the same stands once more, typed.
    let leaves = builder.parquet_schema().columns().iter().enumerate();
    let known = leaves.filter(|(_, leaf)| {
        let parts = leaf.path().parts();
        let group = parts.first().map_or("", String::as_str);
        let member = parts.get(1).map_or("", String::as_str);
        matches!(group, "txn" | "add" | "remove" | "metaData" | "protocol") && !member.ends_with("_parsed")
    });
    let known: Vec<usize> = known.map(|(place, _)| place).collect();
    let mask = ProjectionMask::leaves(builder.parquet_schema(), known);
    let reader =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| damaged(error.into()))?;
    let mut actions = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| damaged(error.into()))?;
        for line in lines(&batch).map_err(|error| damaged(error.into()))?.split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                actions.push(serde_json::from_slice(line).map_err(|error| damaged(error.into()))?);
            }
        }
    }
    Ok(actions)
}

fn lines(batch: &RecordBatch) -> std::result::Result<Vec<u8>, arrow::error::ArrowError> {
    // A partition value that is NULL is named, too.
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}
