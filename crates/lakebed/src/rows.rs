//! Taking rows in, as a part of the server: the log's folder before all else, and an end that leaves nothing in it.

use std::{sync::Arc, time::Duration};

use lakebed_ingest::{IngestService, IngestSettings, LogFolder, TableStatus};
use lakebed_query::IngestStatus;
use lakebed_types::{Result, SystemClock};
use tokio::task::JoinHandle;

use crate::{
    assembly::{Lake, data_folder},
    settings::{Sources, ingest_settings},
};

/// How long the server waits at start for the write-ahead log to be read, before it answers queries without its rows.
const LOG_IS_READ: Duration = Duration::from_secs(60);

/// The folder of the write-ahead log, taken for this process.
pub(crate) struct RowsLog {
    settings: IngestSettings,
    folder: LogFolder,
}

impl RowsLog {
    /// Takes the folder. A process that is refused here has changed nothing of what the one that has it works with.
    ///
    /// # Errors
    /// `conflict` where another process has it; `invalid_setting`, `disk_failed`.
    pub(crate) async fn take(sources: &Sources) -> Result<Self> {
        let settings = ingest_settings(&sources.values, &data_folder(sources)?)?;
        let folder = IngestService::folder(&settings).await?;
        Ok(Self { settings, folder })
    }

    /// Opens the log. What an earlier process left in it is read in the background.
    ///
    /// # Errors
    /// `corrupt_file` where it is damaged, `disk_failed`.
    pub(crate) async fn open(self, lake: &Lake) -> Result<IngestService> {
        let (catalog, buffers) = (lake.query.catalog().clone(), lake.buffers.clone());
        let ingest =
            IngestService::open_in(self.folder, self.settings, catalog, buffers, Arc::new(SystemClock)).await?;
        let state = ingest.clone();
        lake.query.set_ingest_status(move || state.status().into_iter().map(ingest_status).collect());
        Ok(ingest)
    }
}

/// Waits for what an earlier process left in the log to be visible; not for ever, since queries need no log.
pub(crate) async fn log_is_read(ingest: &IngestService) {
    if tokio::time::timeout(LOG_IS_READ, ingest.recovered()).await.is_err() {
        tracing::warn!("the write-ahead log is still being read: rows are not taken in yet");
    }
}

/// No more rows, and all that were taken into files. What cannot be written now stays in the log for the next start.
pub(crate) async fn end(ingest: &IngestService, duty: JoinHandle<()>, grace: Duration) {
    let ended = async {
        // A duty that failed is no reason to leave rows behind.
        let _ = duty.await;
        ingest.close().await;
    };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("not all rows could be written to files in time: they stay in the write-ahead log");
    }
}

fn ingest_status(status: TableStatus) -> IngestStatus {
    IngestStatus {
        table: status.table,
        buffered_rows: status.buffered_rows,
        buffered_bytes: status.buffered_bytes,
        oldest: status.oldest,
        lsn: status.lsn,
        flushed_lsn: status.flushed_lsn,
        version: status.version,
        accepted_rows: status.accepted_rows,
        rejected_rows: status.rejected_rows,
        flushes: status.flushes,
        merges: status.merges,
        last_error: status.last_error,
    }
}
