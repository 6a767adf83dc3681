//! SQL behaviour as scripts: one source, run through every API.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray},
    error::ArrowError,
    util::display::array_value_to_string,
};
use async_trait::async_trait;
use lakebed_types::Error;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::{TestLake, TestResult};

/// The text of a result's values, row by row. NULL is `NULL`, an empty string is `(empty)`.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// How many columns the result has.
    pub columns: usize,
    /// The rows, in order.
    pub rows: Vec<Vec<String>>,
}

impl Answer {
    /// The rows of batches of this many columns.
    ///
    /// # Errors
    /// Arrow's, for a value that has no text.
    pub fn of_batches(columns: usize, batches: &[RecordBatch]) -> TestResult<Self> {
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| cells(batch, row)));
        Ok(Self { columns, rows: rows.collect::<Result<_, _>>()? })
    }
}

fn cells(batch: &RecordBatch, row: usize) -> Result<Vec<String>, ArrowError> {
    let text = |column: &ArrayRef| match column.is_null(row) {
        true => Ok("NULL".to_owned()),
        false => array_value_to_string(column, row).map(or_empty),
    };
    batch.columns().iter().map(text).collect()
}

/// As scripts write a text.
pub fn or_empty(text: String) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { text }
}

/// Where the scripts are, as seen from any package: its tests run in its folder.
pub fn scripts_folder() -> PathBuf {
    PathBuf::from("../../tests/sql")
}

/// The tables that the scripts are about.
///
/// # Errors
/// Those of the lake.
pub fn scripts_lake() -> TestResult<TestLake> {
    let lake = TestLake::new()?;
    let trips = RecordBatch::try_from_iter([
        ("VendorID", Arc::new(Int64Array::from(vec![1, 2, 1])) as ArrayRef),
        ("payment", Arc::new(StringArray::from(vec!["card", "card", "cash"])) as ArrayRef),
        ("fare", Arc::new(Float64Array::from(vec![10.5, 7.25, 20.0])) as ArrayRef),
        ("day", Arc::new(Int32Array::from(vec![1, 1, 2])) as ArrayRef),
    ])?;
    lake.write_parquet("trips/part-0.parquet", &[trips])?;
    Ok(lake)
}

/// A way in: the query service itself, HTTP, or whatever comes.
#[async_trait]
pub trait Door: Clone + Send + Sync + 'static {
    /// Runs one statement and collects its result.
    async fn ask(&self, sql: &str) -> Result<Answer, Error>;
}

struct Session<D>(D);

#[async_trait]
impl<D: Door> AsyncDB for Session<D> {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let answer = self.0.ask(sql).await?;
        let types = vec![DefaultColumnType::Any; answer.columns];
        Ok(DBOutput::Rows { types, rows: answer.rows })
    }

    async fn shutdown(&mut self) {}
}

/// Runs every `.slt` file of a folder through a door; says which file, line and difference failed.
pub async fn run_scripts(folder: &Path, door: impl Door) -> Result<usize, String> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    for file in &files {
        let mut runner = Runner::new(|| {
            let session = Session(door.clone());
            async { Ok(session) }
        });
        runner.run_file_async(file).await.map_err(|error| error.display(false).to_string())?;
    }
    if files.is_empty() { Err(format!("{} has no scripts", folder.display())) } else { Ok(files.len()) }
}
