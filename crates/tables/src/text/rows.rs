//! One file as a stream of record batches: chunks decoded side by side, rows in the file's order.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result as EngineResult, runtime::SpawnedTask};
use futures::{Stream, StreamExt, future, stream, stream::BoxStream};
use lakebed_types::{Error, ErrorKind, Result, sql_type_name};
use tokio::sync::mpsc;

use super::{
    chunks::{self, Chunk, Cutter, Source},
    decode::{FileDecoder, Problem, What},
};

/// Chunks that are cut and wait for a decoder.
const CHUNKS_WAITING: usize = 2;
/// Characters of a value that an error shows.
const SHOWN_CHARACTERS: usize = 100;

/// How much of a file is under way at once, and how it is handed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Chunks decoded side by side.
    pub decoders: usize,
    /// Rows of a batch at most.
    pub batch_rows: usize,
}

/// All rows of a file. Dropping the stream stops its tasks and requests.
pub(super) fn stream(
    source: Source,
    cutter: Cutter,
    decoder: FileDecoder,
    pace: Pace,
) -> BoxStream<'static, EngineResult<RecordBatch>> {
    let source = Arc::new(source);
    let decoder = Arc::new(decoder);
    let decoded = chunk_stream(Arc::clone(&source), cutter)
        .map(move |chunk| decode_task(Arc::clone(&decoder), chunk))
        .buffered(pace.decoders);
    in_order(source, decoded)
        .flat_map(move |batch| stream::iter(slices(batch, pace.batch_rows)))
        .map(|batch| batch.map_err(|error| DataFusionError::External(Box::new(error))))
        .boxed()
}

/// The chunks of a file, cut by a task of its own. A task that panics is an error, not the end of the file.
fn chunk_stream(source: Arc<Source>, cutter: Cutter) -> impl Stream<Item = Result<Chunk>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let start = async move { (receiver, Some(SpawnedTask::spawn(chunks::pump(source, cutter, sender)))) };
    stream::once(start).flat_map(|state| {
        stream::unfold(state, |(mut receiver, mut pump)| async move {
            if let Some(chunk) = receiver.recv().await {
                return Some((chunk, (receiver, pump)));
            }
            let ended = pump.take()?.join().await;
            ended.err().map(|panic| (Err(broken_task(panic)), (receiver, None)))
        })
    })
}

type Decoded = Result<(u64, Result<RecordBatch, Problem>)>;

/// Decodes one chunk on any thread; gives the lines before the chunk and its rows.
async fn decode_task(decoder: Arc<FileDecoder>, chunk: Result<Chunk>) -> Decoded {
    let chunk = chunk?;
    let task = SpawnedTask::spawn(async move { (chunk.lines_before, decoder.decode(&chunk)) });
    task.join().await.map_err(broken_task)
}

fn broken_task(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a task that reads a text file broke off").with_source(error)
}

/// Ends at the first error, and tells where in the file it is: all rows before it have gone by.
fn in_order(source: Arc<Source>, decoded: impl Stream<Item = Decoded>) -> impl Stream<Item = Result<RecordBatch>> {
    let state = (0u64, false);
    decoded.scan(state, move |(rows, failed), decoded| {
        if *failed {
            return future::ready(None);
        }
        let batch = decoded.and_then(|(lines_before, batch)| {
            batch.map_err(|problem| problem_error(&source.name, *rows, lines_before, problem))
        });
        match &batch {
            Ok(batch) => *rows += batch.num_rows() as u64,
            Err(_) => *failed = true,
        }
        future::ready(Some(batch))
    })
}

fn slices(batch: Result<RecordBatch>, rows: usize) -> Vec<Result<RecordBatch>> {
    match batch {
        Ok(batch) if batch.num_rows() > rows => (0..batch.num_rows())
            .step_by(rows)
            .map(|start| Ok(batch.slice(start, rows.min(batch.num_rows() - start))))
            .collect(),
        Ok(batch) if batch.num_rows() == 0 => Vec::new(),
        other => vec![other],
    }
}

fn problem_error(file: &str, rows_before: u64, lines_before: u64, problem: Problem) -> Error {
    let (row, line) = (rows_before + problem.row as u64 + 1, lines_before + problem.line as u64 + 1);
    let place = format!("`{file}`, row {row} (line {line})");
    let corrupt = |what: String| Error::new(ErrorKind::CorruptFile, format!("{place} {what}"));
    match problem.what {
        What::Malformed(why) => corrupt(why.to_owned()),
        What::NotARecord => corrupt("is not a JSON object".to_owned()),
        What::NotUtf8 => corrupt("is not UTF-8 text".to_owned()).with_hint("Convert the file to UTF-8."),
        What::Width { found, expected } => corrupt(format!("has {found} fields, and {expected} are expected"))
            .with_hint("Put quotes around values that hold the delimiter, and give every row the same fields."),
        What::Value { column, text, data_type } => {
            let sql_type = sql_type_name(&data_type);
            let shown = shown(&text);
            Error::new(ErrorKind::InvalidValue, format!("{place}, column `{column}`: `{shown}` is not a {sql_type}"))
                .with_hint(format!("Declare the column `{column}` as VARCHAR to read every value as it is written."))
        }
        What::UnsupportedType { column, data_type } => Error::new(
            ErrorKind::Unsupported,
            format!("column `{column}` of `{file}` cannot be read from text as {}", sql_type_name(&data_type)),
        ),
    }
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}
