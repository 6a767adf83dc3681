//! A result on its way out: batches in, a table for a person or the bytes of a format out.

use std::path::Path;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use futures::{Stream, StreamExt as _};
use lakebed_formats::{EncodeOptions, Encoder, Format};
use lakebed_types::{QueryStatistics, Result, format_bytes, format_count};

use crate::{display::Display, progress::ResultBar, writer::Output};

/// Where a result goes, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// None for a table on stdout.
    pub(crate) format: Option<Format>,
    /// None for stdout.
    pub(crate) output: Option<&'a Path>,
}

/// Writes a result batch by batch. `facts` is asked at the end, for the line on stderr that tells the number of rows. A file
/// appears when the result is whole.
pub(crate) async fn write(
    target: Target<'_>,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    facts: impl FnOnce() -> String,
) -> Result<()> {
    match target.format {
        Some(format) => encode(format, target.output, schema, batches, facts).await,
        None => show(schema, batches, facts).await,
    }
}

async fn encode(
    format: Format,
    output: Option<&Path>,
    schema: SchemaRef,
    mut batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    facts: impl FnOnce() -> String,
) -> Result<()> {
    let mut output = Output::open(output)?;
    let mut encoder = Encoder::new(format, schema, EncodeOptions::default())?;
    let bar = ResultBar::of_rows();
    let (mut rows, mut begun) = (0, false);
    loop {
        let batch = batches.next().await.transpose()?;
        // Not before it is known that there is a result: a header alone looks like an empty one.
        if !begun {
            output.write(&encoder.begin()?)?;
            begun = true;
        }
        let Some(batch) = batch else { break };
        let bytes = encoder.batch(&batch)?;
        output.write(&bytes)?;
        rows += batch.num_rows() as u64;
        bar.add(batch.num_rows(), bytes.len());
    }
    output.write(&encoder.finish(&serde_json::Map::new())?)?;
    drop(bar);
    output.finish()?;
    eprintln!("{}{}", rows_text(rows), facts());
    Ok(())
}

async fn show(
    schema: SchemaRef,
    mut batches: impl Stream<Item = Result<RecordBatch>> + Unpin,
    facts: impl FnOnce() -> String,
) -> Result<()> {
    let mut display = Display::new(schema);
    let bar = ResultBar::of_rows();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        display.batch(&batch)?;
        bar.add(batch.num_rows(), batch.get_array_memory_size());
    }
    drop(bar);
    display.finish(&facts())
}

fn rows_text(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{} rows", format_count(rows)) }
}

/// Time, bytes and pruning, for the line below a result.
pub(crate) fn facts(statistics: &QueryStatistics) -> String {
    let seconds = (statistics.planning_ms + statistics.execution_ms) / 1000.0;
    let mut text = format!(" in {seconds:.3} s");
    if statistics.bytes_scanned > 0 {
        text += &format!(", {} scanned", format_bytes(statistics.bytes_scanned));
    }
    if statistics.files_pruned > 0 {
        let all = statistics.files_pruned + statistics.files_scanned;
        text += &format!(", {} of {} files", format_count(statistics.files_scanned), format_count(all));
    }
    text
}
