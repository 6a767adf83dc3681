//! Writing one Parquet file.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{Stream, StreamExt, pin_mut};
use lakebed_storage::{Location, Mode, Storage, classify_chain};
use lakebed_types::{Error, Result};
use object_store::buffered::BufWriter;
use parquet::{arrow::AsyncArrowWriter, basic::Compression, errors::ParquetError, file::properties::WriterProperties};

/// Rows of a row group, at most.
const ROW_GROUP_ROWS: usize = 1024 * 1024;
/// Encoded bytes after which a row group ends, whatever its rows: bounds the writer's memory.
const ROW_GROUP_BYTES: usize = 128 * 1024 * 1024;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenFile {
    /// Rows in the file.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Writes all batches into one Parquet file. The file appears when it is complete: on an error of the stream or the
/// store, or when the future is dropped, the upload is given up and nothing is left behind.
pub async fn write_parquet(
    storage: &Storage,
    location: &Location,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Send,
) -> Result<WrittenFile> {
    storage.check(location, Mode::ReadWrite)?;
    let mut upload = Upload(Some(BufWriter::new(storage.store(location)?, location.path().clone())));
    let Some(target) = upload.0.as_mut() else {
        return Err(Error::internal("an upload without a writer"));
    };
    let mut closing = false;
    let written = write_all(target, location, schema, batches, &mut closing).await;
    if let Some(mut target) = upload.0.take()
        && written.is_err()
        && !closing
    {
        // The first error says more than what giving up may fail with.
        let _ = target.abort().await;
    }
    written
}

async fn write_all(
    target: &mut BufWriter,
    location: &Location,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Send,
    closing: &mut bool,
) -> Result<WrittenFile> {
    let failed = |error| unwritable(location, error);
    let properties = WriterProperties::builder()
        .set_created_by(concat!("lakebed ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = AsyncArrowWriter::try_new(target, schema, Some(properties)).map_err(failed)?;
    pin_mut!(batches);
    while let Some(batch) = batches.next().await {
        writer.write(&batch?).await.map_err(failed)?;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush().await.map_err(failed)?;
        }
    }
    // From here on the store decides; an upload that is being closed cannot be given up any more.
    *closing = true;
    let footer = writer.finish().await.map_err(failed)?;
    let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
    Ok(WrittenFile { rows, bytes: writer.bytes_written() as u64 })
}

fn unwritable(location: &Location, error: ParquetError) -> Error {
    classify_chain(&error, location)
        .unwrap_or_else(|| Error::internal(format!("{location} cannot be written: {error}")).with_source(error))
}

/// An upload that is given up when it is dropped before its end.
struct Upload(Option<BufWriter>);

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(mut target) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { target.abort().await });
        }
    }
}
