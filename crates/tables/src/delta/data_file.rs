//! Rows in memory to data files in the store. Nothing is committed here.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_storage::{Location, Mode, Storage, classify};
use lakebed_types::{Error, ErrorKind, Result};

use super::{
    action::AddFile,
    backoff::Backoff,
    durable,
    encode::{Encoded, FileLayout, Sorted, place_of},
    log::is_passing,
    partition,
    state::DeltaState,
    stats,
    table::DeltaTable,
    upload::Upload,
};
use crate::FileSummary;

/// Files that are stored at once.
const PARALLEL_UPLOADS: usize = 4;
/// Attempts at storing one file.
const ATTEMPTS: u32 = 5;

impl DeltaTable {
    /// Writes rows as Parquet files, one per partition value, sorted by the table's sort columns. Nobody reads them before
    /// they are committed by [`DeltaTable::append`]; those that never are, vacuum removes after a restart, once
    /// [`AddFile::modification_time`] is long past. Batches have the table's columns in any order; those that are missing are
    /// NULL. `name_prefix`: one that nobody else uses, such as a UUID.
    ///
    /// # Errors
    /// `schema_conflict` for a column that the table does not have; `invalid_value` for a value that does not fit its column;
    /// the store's errors.
    pub async fn write_data_files(&self, batches: Vec<RecordBatch>, name_prefix: &str) -> Result<Vec<AddFile>> {
        self.storage.check(&self.location, Mode::ReadWrite)?;
        let state = self.state_with_columns(&batches).await?;
        let layout = FileLayout::of(&state);
        let sorting = layout.clone();
        let sorted = Arc::new(blocking(move || Sorted::new(sorting, &batches)).await?);
        let (state, layout) = (&state, &layout);
        self.unfinished.begin(name_prefix);
        // One after the other is encoded while those before it are on their way.
        let encoded = stream::iter(0..sorted.parts()).then(|part| {
            let sorted = Arc::clone(&sorted);
            async move { blocking(move || sorted.encode(part)).await.map(|file| (part, file)) }
        });
        let stored = encoded.map_ok(|(number, file)| async move {
            let name = format!("{name_prefix}-{number:05}.parquet");
            self.store(state, layout, &name, file).await
        });
        let adds = stored.try_buffered(PARALLEL_UPLOADS).try_collect().await;
        if adds.is_err() {
            self.unfinished.end(name_prefix);
        }
        adds
    }

    /// A state that has all columns of these batches: another node may have added some. None is left out silently.
    async fn state_with_columns(&self, batches: &[RecordBatch]) -> Result<Arc<DeltaState>> {
        let state = self.state();
        if unknown_column(&state, batches).is_none() {
            return Ok(state);
        }
        let state = self.refresh().await?;
        match unknown_column(&state, batches) {
            None => Ok(state),
            Some(name) => {
                Err(Error::new(ErrorKind::SchemaConflict, format!("{} has no column `{name}`", self.location))
                    .with_hint("Add the column first."))
            }
        }
    }

    async fn store(&self, state: &DeltaState, layout: &FileLayout, name: &str, file: Encoded) -> Result<AddFile> {
        let Encoded { value, bytes, summary } = file;
        let path = path(state, value.as_deref(), name);
        let location = self.location.child(&path)?;
        let size = bytes.len() as u64;
        let bytes = Bytes::from(bytes);
        let mut backoff = Backoff::default();
        while let Err(error) = upload(&self.storage, &location, bytes.clone()).await {
            if !is_passing(&error) || backoff.attempts() + 1 >= ATTEMPTS {
                return Err(error);
            }
            backoff.wait().await;
        }
        let now = self.clock.now().timestamp_millis();
        let written = Written { path, value, size, summary };
        add_file(state, layout, written, now, None)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("writing rows was given up").with_source(error))?
}

fn unknown_column<'a>(state: &DeltaState, batches: &'a [RecordBatch]) -> Option<&'a str> {
    let mut names = batches.iter().flat_map(|batch| batch.schema_ref().fields()).map(|field| field.name().as_str());
    names.find(|name| place_of(state.schema(), name).is_none())
}

/// A file that is in the store.
pub(super) struct Written {
    pub(super) path: String,
    pub(super) value: Option<String>,
    pub(super) size: u64,
    pub(super) summary: FileSummary,
}

/// What the log is to say of a file. `merged`: the merge that wrote it, and its place in it.
pub(super) fn add_file(
    state: &DeltaState,
    layout: &FileLayout,
    file: Written,
    now_ms: i64,
    merged: Option<&str>,
) -> Result<AddFile> {
    let column = state.partition_column().map(str::to_owned);
    Ok(AddFile {
        path: partition::encoded(&file.path),
        partition_values: column.map(|column| (column, file.value)).into_iter().collect::<BTreeMap<_, _>>(),
        size: file.size,
        modification_time: now_ms,
        data_change: true,
        stats: Some(stats::stats_json(&layout.file_schema, &file.summary)?),
        tags: Some(stats::tags(&layout.file_schema, &file.summary, &layout.sort, merged)),
        deletion_vector: None,
    })
}

/// Where a file of a partition lies, below the table's folder.
pub(super) fn path(state: &DeltaState, value: Option<&str>, name: &str) -> String {
    match state.partition_column() {
        Some(column) => format!("{}{name}", partition::folder(column, value)),
        None => name.to_owned(),
    }
}

pub(super) async fn upload(storage: &Storage, location: &Location, bytes: Bytes) -> Result<()> {
    let failed = |error| classify(error, location);
    let mut upload = Upload::new(storage.store(location)?, location.path().clone());
    upload.write(bytes).await.map_err(failed)?;
    upload.finish().await.map_err(failed)?;
    durable::sync(location).await
}
