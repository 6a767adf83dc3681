//! From the actions of the log to a state.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_storage::{Location, Storage, immutable};
use lakebed_types::{Error, ErrorKind, Result};
use object_store::ObjectMeta;

use super::{
    action::{Action, AddFile, Metadata, Protocol, RemoveFile},
    admit, fields, partition,
    state::{ActiveFile, DeltaState},
    stats,
};
use crate::{Compression, DataFile, TextOptions, inspect};

/// Files of other writers that are looked into at once.
const PARALLEL_LOOKS: usize = 8;

/// A state in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Replay {
    version: i64,
    checkpoint: Option<i64>,
    protocol: Option<Arc<Protocol>>,
    metadata: Option<Arc<Metadata>>,
    transactions: HashMap<String, (i64, Option<i64>)>,
    files: BTreeMap<String, Entry>,
    tombstones: BTreeMap<String, Arc<RemoveFile>>,
}

#[derive(Debug, Clone)]
enum Entry {
    New(Arc<AddFile>),
    Known(Arc<ActiveFile>),
}

impl Replay {
    /// From the actions of a checkpoint.
    pub(super) fn checkpoint(version: i64, actions: Vec<Action>) -> Self {
        let mut replay = Self::default();
        replay.apply(version, actions);
        replay.checkpoint = Some(version);
        replay
    }

    /// From a state, for the versions after it.
    pub(super) fn after(state: &DeltaState) -> Self {
        Self {
            version: state.version,
            checkpoint: state.checkpoint,
            protocol: Some(Arc::clone(&state.protocol)),
            metadata: Some(Arc::clone(&state.metadata)),
            transactions: state.transactions.clone(),
            files: state.files.iter().map(|(path, file)| (path.clone(), Entry::Known(Arc::clone(file)))).collect(),
            tombstones: state.tombstones.clone(),
        }
    }

    /// The newest version so far.
    pub(super) fn version(&self) -> i64 {
        self.version
    }

    /// There is a checkpoint of this version; removals before this time are forgotten.
    pub(super) fn checkpointed(&mut self, version: i64, oldest_ms: i64) {
        self.checkpoint = self.checkpoint.max(Some(version));
        self.tombstones.retain(|_, remove| remove.deletion_timestamp.is_some_and(|at| at >= oldest_ms));
    }

    /// Takes in one version.
    pub(super) fn apply(&mut self, version: i64, actions: Vec<Action>) {
        self.version = version;
        for action in actions {
            let Action { protocol, meta_data, txn, add, remove, commit_info: _ } = action;
            if let Some(protocol) = protocol {
                self.protocol = Some(Arc::new(protocol));
            }
            if let Some(metadata) = meta_data {
                self.metadata = Some(Arc::new(metadata));
            }
            if let Some(txn) = txn {
                self.transactions.insert(txn.app_id, (txn.version, txn.last_updated));
            }
            if let Some(remove) = remove {
                self.files.remove(&remove.path);
                self.tombstones.insert(remove.path.clone(), Arc::new(remove));
            }
            if let Some(add) = add {
                self.tombstones.remove(&add.path);
                self.files.insert(add.path.clone(), Entry::New(Arc::new(add)));
            }
        }
    }

    /// The state. Looks into files of other writers; those of our own say all that is to be known in the log.
    ///
    /// # Errors
    /// `corrupt_file` for a log without columns, `unsupported` for what we would misread or break, and the store's.
    pub(super) async fn finish(self, storage: &Storage, location: &Location) -> Result<DeltaState> {
        let missing =
            || Error::new(ErrorKind::CorruptFile, format!("the Delta log of {location} says nothing of columns"));
        let protocol = self.protocol.ok_or_else(missing)?;
        let metadata = self.metadata.ok_or_else(missing)?;
        admit::check_protocol(&protocol, location)?;
        let (file_schema, partitions) = columns(&metadata, location)?;
        let files = stream::iter(self.files).map(|(path, entry)| {
            let (file_schema, partitions) = (&file_schema, &partitions);
            async move {
                let file = match entry {
                    Entry::Known(file) => file,
                    Entry::New(add) => Arc::new(active(storage, location, add, file_schema, partitions).await?),
                };
                Ok::<_, Error>((path, file))
            }
        });
        let files: Vec<_> = files.buffered(PARALLEL_LOOKS).try_collect().await?;
        Ok(DeltaState {
            version: self.version,
            checkpoint: self.checkpoint,
            location: location.clone(),
            protocol,
            metadata,
            schema: whole(&file_schema, &partitions),
            file_schema,
            partitions,
            transactions: self.transactions,
            files: files.into_iter().collect(),
            tombstones: self.tombstones,
            snapshot: std::sync::OnceLock::new(),
        })
    }
}

fn whole(files: &Schema, partitions: &Schema) -> SchemaRef {
    Arc::new(Schema::new(files.fields().iter().chain(partitions.fields()).cloned().collect::<Vec<Arc<Field>>>()))
}

/// Columns of the files, and partition columns.
fn columns(metadata: &Metadata, location: &Location) -> Result<(SchemaRef, SchemaRef)> {
    let schema = fields::parse(&metadata.schema_string)?;
    admit::check_metadata(metadata, &schema, location)?;
    let schema = fields::from_value(&schema)?;
    let named = |name: &String| {
        schema.column_with_name(name).map(|(_, field)| field.clone()).ok_or_else(|| {
            Error::new(ErrorKind::CorruptFile, format!("the Delta log has no column `{name}` to partition by"))
        })
    };
    let partitions = metadata.partition_columns.iter().map(named).collect::<Result<Vec<Field>>>()?;
    partitions.iter().try_for_each(|field| partition::check_type(field.name(), field.data_type()))?;
    let rest = schema.fields().iter().filter(|field| !metadata.partition_columns.contains(field.name())).cloned();
    Ok((Arc::new(Schema::new(rest.collect::<Vec<_>>())), Arc::new(Schema::new(partitions))))
}

async fn active(
    storage: &Storage,
    table: &Location,
    add: Arc<AddFile>,
    file_schema: &SchemaRef,
    partitions: &SchemaRef,
) -> Result<ActiveFile> {
    if add.deletion_vector.is_some() {
        return Err(Error::new(ErrorKind::Unsupported, format!("the Delta table {table} has deletion vectors"))
            .with_hint("Remove them with the program that made them."));
    }
    let location = table.child(&partition::decoded(&add.path)?)?;
    let meta = immutable(ObjectMeta {
        location: location.path().clone(),
        last_modified: DateTime::from_timestamp_millis(add.modification_time).unwrap_or_default(),
        size: add.size,
        e_tag: None,
        version: None,
    });
    let (schema, summary) = match stats::from_tags(&add, file_schema) {
        // Files of one schema share it, so that they share a layout.
        Some((schema, summary)) if schema == *file_schema => (Arc::clone(file_schema), summary),
        Some(known) => known,
        None => look(storage, &location, &meta).await?,
    };
    let value =
        |field: &Arc<Field>| add.partition_values.get(field.name()).cloned().flatten().filter(|text| !text.is_empty());
    let data = DataFile {
        meta,
        partition_values: partitions.fields().iter().map(value).collect(),
        schema,
        compression: Compression::None,
        text: TextOptions::default(),
        summary: Arc::new(summary),
    };
    Ok(ActiveFile { add, data })
}

async fn look(storage: &Storage, location: &Location, meta: &ObjectMeta) -> Result<(SchemaRef, crate::FileSummary)> {
    let found = inspect(storage, location, meta).await?;
    let found =
        found.map_err(|why| Error::new(ErrorKind::CorruptFile, format!("{location} is no data file: {why}")))?;
    Ok((found.schema, found.summary))
}
