//! Text files from end to end: written to a folder, opened as a table, asked in SQL.

mod damage;
mod files;
mod same;
mod types;

use std::{io::Write, sync::Arc};

use arrow::{record_batch::RecordBatch, util::pretty::pretty_format_batches};
use datafusion::{error::DataFusionError, prelude::SessionContext};
use lakebed_storage::{Location, Mode, Storage, StorageSettings, StoreCounters};
use lakebed_types::{Error, sql_type_name};
use tempfile::TempDir;

use crate::{Inspection, ReadCaches, Rejected, ScanCounters, Snapshot, inspect, open_location, provider};

/// A folder of files that is one table, `t`.
struct Lake {
    folder: TempDir,
    storage: Storage,
}

impl Lake {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let storage = Storage::new(StorageSettings::default());
        let location = Location::parse(&format!("{}/", folder.path().display())).unwrap();
        storage.allow(&location, Mode::Read).unwrap();
        Self { folder, storage }
    }

    fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        Self::new().and(name, content)
    }

    fn and(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.path().display())
    }

    async fn inspect(&self, name: &str) -> Result<Inspection, Rejected> {
        let location = Location::parse(&self.url(name)).unwrap();
        let meta = self.storage.head(&location).await.unwrap();
        inspect(&self.storage, &location, &meta).await.unwrap()
    }

    /// `name TYPE, …` of a file.
    async fn columns(&self, name: &str) -> String {
        let schema = self.inspect(name).await.unwrap().schema;
        let column =
            |field: &Arc<arrow::datatypes::Field>| format!("{} {}", field.name(), sql_type_name(field.data_type()));
        schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
    }

    async fn snapshot(&self) -> Arc<Snapshot> {
        open_location(&self.storage, &self.url(""), None, 1000).await.unwrap()
    }

    async fn try_batches(&self, sql: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
        let context = SessionContext::new();
        let caches = ReadCaches::new(1 << 20, 0);
        let counters = Arc::new(StoreCounters::default());
        let table =
            provider(self.snapshot().await, &self.storage, counters, Arc::new(ScanCounters::default()), &caches)
                .unwrap();
        context.register_table("t", table)?;
        context.sql(sql).await?.collect().await
    }

    async fn query(&self, sql: &str) -> String {
        pretty_format_batches(&self.try_batches(sql).await.unwrap()).unwrap().to_string()
    }

    /// One line per row, values with `|` between them.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let table = self.query(sql).await;
        let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
        lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
    }

    /// The error that a query ends in, as our own.
    async fn error(&self, sql: &str) -> Error {
        let error = self.try_batches(sql).await.expect_err("the query should fail");
        our_error(error)
    }
}

fn our_error(error: DataFusionError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        if let Some(ours) = found.downcast_ref::<Error>() {
            let copy = Error::new(ours.kind(), ours.message());
            return match ours.hint() {
                Some(hint) => copy.with_hint(hint),
                None => copy,
            };
        }
        cause = found.source();
    }
    panic!("no error of ours in {error:?}")
}

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(text.as_ref(), 1).unwrap()
}
