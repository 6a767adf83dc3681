//! A page of one Parquet file, straight from the right row group.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use lakebed_access::Admitted;
use lakebed_storage::{Location, Mode};
use lakebed_types::{Error, ErrorKind, Result};

use crate::{run, service::Engine};

/// Rows of one Parquet file.
#[derive(Debug)]
pub struct ParquetPage {
    /// Schema of every batch, as the file has it.
    pub schema: SchemaRef,
    /// The rows asked for, in order.
    pub batches: Vec<RecordBatch>,
    /// Rows of the whole file.
    pub total_rows: u64,
}

/// Reads on the threads for queries, until the deadline or the cancellation.
pub(crate) async fn read(
    engine: &Arc<Engine>,
    admitted: Admitted,
    location: &Location,
    offset: u64,
    limit: usize,
) -> Result<ParquetPage> {
    engine.catalog.storage().check(location, Mode::Read)?;
    let left = admitted.deadline().saturating_duration_since(engine.clock.instant());
    let (reader, place) = (engine.clone(), location.clone());
    let work =
        async move { lakebed_tables::read_page(reader.catalog.storage(), &reader.caches, &place, offset, limit).await };
    let page = tokio::select! {
        page = run::contained(engine, work) => page?,
        () = admitted.cancellation().cancelled() => {
            return Err(Error::new(ErrorKind::Cancelled, "the request was cancelled"));
        }
        () = tokio::time::sleep(left) => {
            let text = format!("reading {location} took longer than its {} s", admitted.run_time().as_secs_f64());
            return Err(Error::new(ErrorKind::DeadlineExceeded, text));
        }
    };
    Ok(ParquetPage { schema: page.schema, batches: page.batches, total_rows: page.total_rows })
}
