//! Rows that go into files: `CREATE TABLE … AS`, `COPY … TO`, `INSERT INTO`, and what a caller sends.

use std::{pin::pin, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{Stream, StreamExt};
use lakebed_catalog::{CreateTable, Freshness};
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_storage::{Location, Mode};
use lakebed_tables::FileKind;
use lakebed_types::{Error, ErrorKind, QueryId, Result, TableName};
use object_store::{ObjectStoreExt, buffered::BufWriter};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use crate::{execute, plan::RowsPlan, run::BatchStream, service::Engine, stats::StatsHandle, table_rows::row_count};

/// Rows and where they go.
pub(crate) struct Write {
    pub(crate) source: Source,
    pub(crate) target: Target,
}

/// Where rows come from.
pub(crate) enum Source {
    /// A query.
    Query(Box<RowsPlan>),
    /// The caller, in batches of this schema. Only one thread ever takes the stream.
    Caller { schema: SchemaRef, batches: Mutex<BatchStream> },
}

impl Source {
    /// The query, where it is one.
    pub(crate) fn rows(&self) -> Option<&RowsPlan> {
        match self {
            Source::Query(rows) => Some(rows),
            Source::Caller { .. } => None,
        }
    }

    async fn open(self, engine: &Arc<Engine>, stats: StatsHandle) -> Result<Rows> {
        match self {
            Source::Query(plan) => {
                let rows = execute::Rows::open(engine.clone(), *plan, stats).await?;
                Ok(Rows { schema: rows.schema().clone(), batches: Box::pin(rows.into_stream()) })
            }
            Source::Caller { schema, batches } => Ok(Rows { schema, batches: batches.into_inner() }),
        }
    }
}

/// Rows on their way into a file.
struct Rows {
    schema: SchemaRef,
    batches: BatchStream,
}

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A new managed table.
    NewTable { name: TableName, lake: Location, or_replace: bool },
    /// One file.
    File { location: Location, format: Format },
    /// One more file of a managed table.
    Append { name: TableName, folder: Location },
}

impl Target {
    /// What is done, for the audit log: `insert` and the table's name.
    pub(crate) fn description(&self) -> (&'static str, String) {
        match self {
            Target::NewTable { name, .. } => ("create table", name.to_string()),
            Target::File { location, .. } => ("copy to", location.to_string()),
            Target::Append { name, .. } => ("insert", name.to_string()),
        }
    }
}

/// Runs the query into its files. One row with the number of rows written. On an error nothing is left behind.
pub(crate) async fn run(engine: Arc<Engine>, write: Write, stats: StatsHandle, id: QueryId) -> Result<RecordBatch> {
    let rows = write.source.open(&engine, stats).await?;
    let written = match write.target {
        Target::NewTable { name, lake, or_replace } => new_table(&engine, rows, name, &lake, or_replace, id).await?,
        Target::File { location, format: Format::Parquet } => parquet(&engine, rows, &location).await?,
        Target::File { location, format } => encoded(&engine, rows, &location, format).await?,
        Target::Append { name, folder } => append(&engine, rows, &name, &folder, id).await?,
    };
    row_count(written)
}

async fn new_table(
    engine: &Engine,
    rows: Rows,
    name: TableName,
    lake: &Location,
    or_replace: bool,
    id: QueryId,
) -> Result<u64> {
    // A folder of its own for each creation: files that a dropped table of this name has left are not found again.
    let folder = lake.child(&format!("{}/{}/{id}/", name.database(), name.table()))?;
    let file = folder.child("part-0.parquet")?;
    let written = parquet(engine, rows, &file).await?;
    let request = CreateTable {
        name,
        location: folder,
        schema: None,
        partition_columns: None,
        written: None,
        kind: Some(FileKind::Parquet),
        text: None,
        freshness: Some(Freshness::Manual),
        comment: None,
        if_not_exists: false,
        or_replace,
    };
    // The store need not list what was just written.
    let created = async {
        let file = engine.catalog.storage().head(&file).await?;
        engine.catalog.create_external_table(CreateTable { written: Some(vec![file]), ..request }).await
    };
    match created.await {
        Ok(_) => Ok(written),
        Err(error) => {
            remove(engine, &file).await;
            Err(error)
        }
    }
}

async fn append(engine: &Engine, rows: Rows, name: &TableName, folder: &Location, id: QueryId) -> Result<u64> {
    let file = folder.child(&format!("part-{id}.parquet"))?;
    let written = parquet(engine, rows, &file).await?;
    let added = async {
        let file = engine.catalog.storage().head(&file).await?;
        engine.catalog.add_file(name, &file).await
    };
    match added.await {
        Ok(_) => Ok(written),
        Err(error) => {
            remove(engine, &file).await;
            Err(error)
        }
    }
}

async fn parquet(engine: &Engine, rows: Rows, file: &Location) -> Result<u64> {
    let written = lakebed_tables::write_parquet(engine.catalog.storage(), file, rows.schema, rows.batches).await?;
    Ok(written.rows)
}

async fn encoded(engine: &Engine, rows: Rows, file: &Location, format: Format) -> Result<u64> {
    engine.catalog.storage().check(file, Mode::ReadWrite)?;
    let store = engine.catalog.storage().store(file)?;
    let encoder = Encoder::new(format, rows.schema, EncodeOptions::default())?;
    let mut upload = BufWriter::new(store, file.path().clone());
    match upload_all(&mut upload, encoder, rows.batches, file).await {
        Ok(written) => {
            upload.shutdown().await.map_err(|error| write_failed(error, file))?;
            Ok(written)
        }
        Err(error) => {
            if let Err(abort) = upload.abort().await {
                tracing::warn!(%file, error = %abort, "an upload that failed could not be given up");
            }
            Err(error)
        }
    }
}

async fn upload_all(
    upload: &mut BufWriter,
    mut encoder: Encoder,
    batches: impl Stream<Item = Result<RecordBatch>>,
    file: &Location,
) -> Result<u64> {
    let mut batches = pin!(batches);
    let failed = |error: std::io::Error| write_failed(error, file);
    let mut written = 0;
    upload.write_all(&encoder.begin()?).await.map_err(failed)?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        written += batch.num_rows() as u64;
        upload.write_all(&encoder.batch(&batch)?).await.map_err(failed)?;
    }
    upload.write_all(&encoder.finish(&serde_json::Map::new())?).await.map_err(failed)?;
    Ok(written)
}

fn write_failed(error: std::io::Error, file: &Location) -> Error {
    lakebed_storage::classify_chain(&error, file)
        .unwrap_or_else(|| Error::new(ErrorKind::StoreFailed, format!("{file} cannot be written")).with_source(error))
}

async fn remove(engine: &Engine, file: &Location) {
    let removed = match engine.catalog.storage().store(file) {
        Ok(store) => store.delete(file.path()).await.map_err(|error| lakebed_storage::classify(error, file)),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::warn!(%file, %error, "a file that no table has could not be removed");
    }
}
