//! Files that are written.

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use lakebed_tables::{WrittenFile, write_parquet};
use lakebed_types::{Error, ErrorKind, Result};

use crate::lake::{Lake, cells, ints};

fn batch(from: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("id", ints(from..from + 1000))]).unwrap()
}

#[tokio::test]
async fn what_is_written_can_be_read() {
    let lake = Lake::new();
    let batches = stream::iter((0..5).map(|n| Ok(batch(n * 1000))));
    let location = lake.location("out/a.parquet");
    let written = write_parquet(&lake.storage, &location, batch(0).schema(), batches).await.unwrap();
    let bytes = std::fs::metadata(lake.path("out/a.parquet")).unwrap().len();
    assert_eq!(written, WrittenFile { rows: 5000, bytes });
    let answer = lake.query("out/", "select count(*), max(id), sum(id) from t").await;
    assert_eq!(cells(&answer), ["5000,4999,12497500"]);
}

#[tokio::test]
async fn a_failed_stream_leaves_nothing_behind() {
    let lake = Lake::new();
    let failing: Vec<Result<RecordBatch>> = vec![Ok(batch(0)), Err(Error::new(ErrorKind::Cancelled, "stopped"))];
    let location = lake.location("out/a.parquet");
    let error = write_parquet(&lake.storage, &location, batch(0).schema(), stream::iter(failing)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let left = std::fs::read_dir(lake.path("out")).map_or(0, |entries| entries.count());
    assert_eq!(left, 0);
}

#[tokio::test]
async fn an_empty_result_is_a_file_with_columns() {
    let lake = Lake::new();
    let location = lake.location("out/a.parquet");
    let written = write_parquet(&lake.storage, &location, batch(0).schema(), stream::empty().boxed()).await.unwrap();
    assert_eq!(written.rows, 0);
    assert_eq!(cells(&lake.query("out/", "select count(id) from t").await), ["0"]);
}
