//! SQL behaviour as scripts: one source, run through every API.

use std::path::Path;

use async_trait::async_trait;
use lakebed_types::Error;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// The text of a result's values, row by row. NULL is `NULL`, an empty string is `(empty)`.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// How many columns the result has.
    pub columns: usize,
    /// The rows, in order.
    pub rows: Vec<Vec<String>>,
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
