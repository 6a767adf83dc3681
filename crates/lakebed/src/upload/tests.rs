//! Every part is a body of its own, and together they are the file.

use std::{
    io::Write as _,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::*;

fn parts_of(name: &str, bytes: &[u8]) -> Vec<Part> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    parts(Input::open(&file, None, Arc::default()).unwrap()).unwrap().map(Result::unwrap).collect()
}

fn failure_of(name: &str, bytes: &[u8]) -> lakebed_types::Error {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    let read = Input::open(&file, None, Arc::new(AtomicU64::new(0))).and_then(parts);
    read.map_or_else(|error| error, |parts| parts.filter_map(Result::err).next().unwrap())
}

fn text(part: &Part) -> &str {
    std::str::from_utf8(&part.bytes).unwrap()
}

#[test]
fn lines_are_cut_between_rows_and_counted() {
    let row = |n: u64| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "x".repeat(100));
    let whole: String = (1..=120_000).map(row).collect();
    let parts = parts_of("rows.ndjson", whole.as_bytes());
    assert!(parts.len() > 2, "{}", parts.len());
    for part in &parts {
        let first: Value = serde_json::from_str(text(part).lines().next().unwrap()).unwrap();
        assert_eq!(first["n"], part.first_row);
    }
    assert_eq!(parts.iter().map(text).collect::<String>(), whole);
}

#[test]
fn gzip_and_a_missing_last_line_end_change_nothing() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(b"{\"n\":1}\n\n{\"n\":2}").unwrap();
    let parts = parts_of("rows.jsonl.gz", &packed.finish().unwrap());
    assert_eq!(parts.iter().map(text).collect::<Vec<_>>(), ["{\"n\":1}\n{\"n\":2}"]);
}

#[test]
fn each_part_of_a_csv_file_has_the_header_and_whole_records() {
    let record = format!("1,\"a \"\"quoted\"\"\nline, {}\"\n", "y".repeat(1000));
    let whole = format!("id,text\n{}", record.repeat(10_000));
    let parts = parts_of("rows.csv", whole.as_bytes());
    assert!(parts.len() > 1);
    let mut rows = 0;
    for part in &parts {
        let body = text(part).strip_prefix("id,text\n").unwrap();
        assert_eq!(part.first_row, rows + 1);
        assert_eq!(body.len() % record.len(), 0, "a part ends within a record");
        rows += (body.len() / record.len()) as u64;
    }
    assert_eq!(rows, 10_000);
    assert!(parts_of("empty.csv", b"id,text\n").is_empty());
}

#[test]
fn an_array_is_cut_between_its_elements() {
    let rows: Vec<Value> = (0..60_000).map(|n| json!({"n": n, "text": "[{\"\\,", "list": [1, {"a": "]"}]})).collect();
    let whole = serde_json::to_string_pretty(&rows).unwrap();
    let parts = parts_of("rows.json", whole.as_bytes());
    assert!(parts.len() > 1);
    let together: Vec<Value> =
        parts.iter().flat_map(|part| serde_json::from_slice::<Vec<Value>>(&part.bytes).unwrap()).collect();
    assert_eq!(together, rows);
    let objects = parts_of("objects.json", b"{\"n\": 1}\n{\"n\":\n2}");
    assert_eq!(text(&objects[0]), "[{\"n\": 1},{\"n\":\n2}]");
    assert!(parts_of("none.json", b" [ ] ").is_empty());
}

#[test]
fn a_file_that_breaks_off_is_not_taken_for_whole() {
    assert!(failure_of("a.json", b"[{\"n\": 1}, {\"n\": ").message().contains("ends within"));
    assert!(failure_of("a.parquet", b"PAR1 and nothing more").message().contains("cannot be read"));
    assert!(failure_of("a.arrow", b"\x28\0\0\0 nothing").message().contains("cannot be read"));
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all("{\"n\":1}\n".repeat(1000).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    assert!(failure_of("a.ndjson.gz", &packed[..packed.len() - 9]).message().contains("damaged"));
    let missing = Input::open(Path::new("/nonexistent/a.csv"), None, Arc::default()).err().unwrap();
    assert_eq!(missing.kind(), lakebed_types::ErrorKind::ObjectNotFound);
    let unknown = Input::open(Path::new("/nonexistent/a"), None, Arc::default()).err().unwrap();
    assert_eq!(unknown.kind(), lakebed_types::ErrorKind::InvalidRequest);
}

#[test]
fn nothing_is_left_out_after_an_array() {
    for more in ["\n[{\"n\":2}]", "]", "{\"n\":2}", ",{\"n\":2}", " x"] {
        let failure = failure_of("a.json", format!("[{{\"n\":1}}]{more}").as_bytes());
        assert!(failure.message().contains("goes on after its array"), "{more}: {failure}");
        assert_eq!(failure.kind(), lakebed_types::ErrorKind::CorruptFile);
    }
    for objects in ["{\"n\":1} ] {\"n\":2}", "{\"n\":1}]", "]"] {
        let failure = failure_of("a.json", objects.as_bytes());
        assert!(failure.message().contains("closes nothing"), "{objects}: {failure}");
    }
    assert_eq!(text(&parts_of("a.json", b"[{\"n\":1}]\r\n \t")[0]), "[{\"n\":1}]");
}

#[test]
fn batches_become_streams_of_bounded_rows() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    let numbers: ArrayRef = Arc::new((1..=120_000_i64).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let file = writer.into_inner().unwrap();
    let parts = parts_of("rows.parquet", &file);
    let mut rows = 0;
    for part in &parts {
        assert_eq!(part.first_row, rows + 1);
        for batch in arrow_ipc::reader::StreamReader::try_new(&part.bytes[..], None).unwrap() {
            let batch = batch.unwrap();
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            assert_eq!(column.value(0), rows as i64 + 1);
            rows += batch.num_rows() as u64;
        }
    }
    assert!(parts.len() >= 3);
    assert_eq!(rows, 120_000);
}
