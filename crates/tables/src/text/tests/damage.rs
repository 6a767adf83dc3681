//! Files that are not what they were taken for: an error that says where, never a wrong or missing row.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::physical_plan::metrics::Count;
use futures::StreamExt;
use lakebed_storage::ObjectVersion;
use lakebed_types::ErrorKind;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};

use super::{Lake, gzip};
use crate::{
    Compression, DataFile, FileKind, FileSummary, TextOptions,
    text::{
        chunks::{Cutter, Source},
        decode::FileDecoder,
        rows::{self, Pace},
    },
};

fn with_surprise(at: usize, surprise: &str) -> String {
    let mut csv = String::from("id,value\n");
    for id in 0..at {
        csv.push_str(&format!("{id},{:08}.5\n", id + 10_000_000));
    }
    csv.push_str(surprise);
    csv.push_str(&"7,7.5\n".repeat(100_000));
    csv
}

#[tokio::test]
async fn a_value_that_does_not_fit_names_file_row_line_and_column() {
    let lake = Lake::with("t.csv.gz", gzip(with_surprise(2_000_000, "1,abc\n")));
    let found = lake.inspect("t.csv.gz").await.unwrap();
    assert_eq!(found.summary.rows(), None, "only a part was looked at");
    let error = lake.error("SELECT sum(value) FROM t").await;
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    let message = error.message();
    assert!(
        message.ends_with("/t.csv.gz`, row 2000001 (line 2000002), column `value`: `abc` is not a DOUBLE"),
        "{message}"
    );
    assert!(error.hint().unwrap().contains("VARCHAR"));
    // Columns that nobody asks for are not decoded.
    assert_eq!(lake.rows("SELECT count(id) FROM t").await, ["2100001"]);
}

#[tokio::test]
async fn a_row_of_another_width_is_an_error_with_its_row() {
    for (row, found) in [("1\n", 1), ("1,2,3\n", 3)] {
        let lake = Lake::with("t.csv", with_surprise(2000, row));
        let error = lake.error("SELECT count(*) FROM t").await;
        assert_eq!(error.kind(), ErrorKind::CorruptFile);
        let expected = format!("/t.csv`, row 2001 (line 2002) has {found} fields, and 2 are expected");
        assert!(error.message().ends_with(&expected), "{error}");
    }
}

/// A file as it is in the store now, whatever was seen of it before.
async fn read(content: Vec<u8>, kind: FileKind, compression: Compression, max_record: usize) -> Result<usize, String> {
    let store = Arc::new(InMemory::new());
    let path = Path::from("t");
    store.put(&path, Bytes::from(content).into()).await.unwrap();
    let meta = store.head(&path).await.unwrap();
    let fields = ["id", "value"].map(|name| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Utf8, true));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.to_vec()));
    let file = DataFile {
        meta: meta.clone(),
        partition_values: Vec::new(),
        schema: schema.clone(),
        compression,
        text: TextOptions::default(),
        summary: Arc::new(FileSummary::unknown()),
    };
    let version = ObjectVersion::new(meta);
    let source = Source { store, version, name: "s3://b/t".to_owned(), bytes_scanned: Count::new() };
    let cutter = Cutter::new(&file, kind, max_record).unwrap();
    let decoder = FileDecoder::new(&file, kind, schema);
    let mut rows = rows::stream(source, cutter, decoder, Pace { decoders: 2, batch_rows: 100 });
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        count += batch.map_err(|error| super::our_error(error).to_string())?.num_rows();
    }
    Ok(count)
}

#[tokio::test]
async fn truncated_and_damaged_compression_is_never_a_clean_end() {
    let text = with_surprise(50_000, "");
    let whole = gzip(&text);
    assert_eq!(read(whole.clone(), FileKind::Csv, Compression::Gzip, 1 << 20).await, Ok(150_000));
    for cut in [whole.len() - 1, whole.len() - 8, whole.len() / 2, 11, 5] {
        let error = read(whole[..cut].to_vec(), FileKind::Csv, Compression::Gzip, 1 << 20).await.unwrap_err();
        assert_eq!(error, "`s3://b/t` ends in the middle of its compressed data", "cut at {cut}");
    }
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    let error = read(flipped, FileKind::Csv, Compression::Gzip, 1 << 20).await.unwrap_err();
    assert_eq!(error, "`s3://b/t` holds damaged gzip data");
    let error = read([whole, b"tail".to_vec()].concat(), FileKind::Csv, Compression::Gzip, 1 << 20).await.unwrap_err();
    assert_eq!(error, "`s3://b/t` has text behind its gzip data");

    let whole = super::zstd(&text);
    assert_eq!(read(whole.clone(), FileKind::Csv, Compression::Zstd, 1 << 20).await, Ok(150_000));
    for cut in [whole.len() - 1, whole.len() / 2, 6] {
        let error = read(whole[..cut].to_vec(), FileKind::Csv, Compression::Zstd, 1 << 20).await.unwrap_err();
        assert_eq!(error, "`s3://b/t` ends in the middle of its compressed data", "cut at {cut}");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_refused_long_before_it_fills_memory() {
    let endless = gzip(vec![b'x'; 64 << 20]);
    assert!(endless.len() < 1 << 20, "a bomb");
    let error = read(endless, FileKind::Csv, Compression::Gzip, 256 << 10).await.unwrap_err();
    assert_eq!(error, "`s3://b/t` has a record longer than 256 KiB");
    let open_quote = [b"id,value\n1,\"".to_vec(), b"x\n".repeat(1 << 20)].concat();
    let error = read(open_quote, FileKind::Csv, Compression::None, 256 << 10).await.unwrap_err();
    assert_eq!(error, "`s3://b/t` has a record longer than 256 KiB");
    let open_bracket = b"{\"id\":[".repeat(1 << 18);
    let error = read(open_bracket, FileKind::JsonArray, Compression::None, 256 << 10).await.unwrap_err();
    assert_eq!(error, "`s3://b/t` has a record longer than 256 KiB");
}

#[tokio::test]
async fn damaged_json_names_its_record() {
    for (content, kind, expected) in [
        ("{\"id\":1}\n{\"id\":2\n", FileKind::NdJson, ", row 2 (line 2) has a bracket that is never closed"),
        ("{\"id\":1}\n5\n", FileKind::NdJson, ", row 2 (line 2) is not a JSON object"),
        ("{\"id\":1}\n{\"id\" 2}\n", FileKind::NdJson, ", row 2 (line 2) has a name that no colon follows"),
        (
            "{\"id\":1}\n{\"id\":\"\\x\"}\n",
            FileKind::NdJson,
            ", row 2 (line 2) has a string with an escape that JSON does not know",
        ),
        (
            "{\"id\":1}\n{\"id\":\"\\é\", \"\\é\": 2}\n",
            FileKind::NdJson,
            ", row 2 (line 2) has a string with an escape that JSON does not know",
        ),
        ("[{\"id\":1},\n{\"id\":2}", FileKind::JsonArray, " ends in the middle of its JSON"),
        ("[{\"id\":1}] {\"id\":2}", FileKind::JsonArray, " is followed by text behind the end of the array"),
        ("[{\"id\":1}, 2]", FileKind::JsonArray, ", row 2 (line 1) is not a JSON object"),
    ] {
        let error = read(content.into(), kind, Compression::None, 1 << 20).await.unwrap_err();
        assert_eq!(error, format!("`s3://b/t`{expected}"), "{content}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_names_its_row() {
    let error =
        read(b"id,value\n1,a\n2,caf\xe9\n".to_vec(), FileKind::Csv, Compression::None, 1 << 20).await.unwrap_err();
    assert_eq!(error, "`s3://b/t`, row 2 (line 3) is not UTF-8 text");
}
