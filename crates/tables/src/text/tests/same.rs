//! Cutting and parallel decoding give the rows that a serial reader of the whole text gives.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Field, Schema},
};
use proptest::prelude::*;

use crate::{
    Compression, DataFile, FileKind, FileSummary, TextOptions,
    text::{chunks::Cutter, decode::FileDecoder},
};

const WIDTH: usize = 3;

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z0-9 ]{0,6}",
        1 => Just(String::new()),
        1 => "[a-z,\"\n; é]{1,8}",
        1 => Just("a\r\nb".to_owned()),
        1 => "x{200,300}",
    ]
}

fn rows() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(field(), WIDTH), 0..40)
}

fn write_csv(rows: &[Vec<String>], line_end: &str, quote_all: bool) -> String {
    let mut csv = format!("a,b,c{line_end}");
    for row in rows {
        let cells = row.iter().map(|value| {
            let needed = quote_all || value.contains([',', '"', '\n', '\r']);
            if needed { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.clone() }
        });
        csv.push_str(&cells.collect::<Vec<_>>().join(","));
        csv.push_str(line_end);
    }
    csv
}

fn data_file(names: &[&str]) -> DataFile {
    let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>();
    let meta = object_store::ObjectMeta {
        location: "t".into(),
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: 0,
        e_tag: None,
        version: None,
    };
    DataFile {
        meta,
        partition_values: Vec::new(),
        schema: Arc::new(Schema::new(fields)),
        compression: Compression::None,
        text: TextOptions::default(),
        summary: Arc::new(FileSummary::unknown()),
    }
}

/// Feeds the text in pieces, with chunks as small as they can be, and decodes each.
fn read_in_pieces(file: &DataFile, kind: FileKind, text: &str, piece: usize) -> Vec<Vec<Option<String>>> {
    let decoder = FileDecoder::new(file, kind, Arc::clone(&file.schema));
    let mut cutter = Cutter::new(file, kind, 1 << 20).unwrap().with_chunk_bytes(1);
    let mut chunks = Vec::new();
    for piece in text.as_bytes().chunks(piece) {
        chunks.extend(cutter.feed(piece).unwrap());
    }
    chunks.extend(cutter.end().unwrap());
    let mut rows = Vec::new();
    for chunk in chunks {
        let batch = decoder.decode(&chunk).unwrap_or_else(|problem| panic!("{problem:?} in {text:?}"));
        for row in 0..batch.num_rows() {
            let value = |column: &Arc<dyn Array>| {
                let column = column.as_string::<i32>();
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            rows.push(batch.columns().iter().map(value).collect());
        }
    }
    rows
}

/// The oracle: Arrow's own reader, over the whole text at once.
fn read_at_once(file: &DataFile, text: &str) -> Vec<Vec<Option<String>>> {
    let reader = arrow::csv::ReaderBuilder::new(Arc::clone(&file.schema)).with_header(true).build(text.as_bytes());
    let mut rows = Vec::new();
    for batch in reader.unwrap() {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            let value = |column: &Arc<dyn Array>| {
                let column = column.as_string::<i32>();
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            rows.push(batch.columns().iter().map(value).collect());
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn csv_in_pieces_is_csv_at_once(
        rows in rows(),
        piece in 1usize..64,
        crlf: bool,
        quote_all: bool,
        last_line_end: bool,
    ) {
        let mut text = write_csv(&rows, if crlf { "\r\n" } else { "\n" }, quote_all);
        if !last_line_end {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        let file = data_file(&["a", "b", "c"]);
        prop_assert_eq!(read_in_pieces(&file, FileKind::Csv, &text, piece), read_at_once(&file, &text));
    }

    #[test]
    fn json_in_pieces_is_what_was_written(rows in rows(), piece in 1usize..64, pretty: bool, array: bool) {
        let object = |row: &Vec<String>| {
            let value = |text: &String| if text.is_empty() { serde_json::Value::Null } else { text.as_str().into() };
            let skipped = serde_json::json!({"x": ["]}", row[1]]});
            serde_json::json!({"a": value(&row[0]), "skipped": skipped, "b": value(&row[1]), "c": value(&row[2])})
        };
        let objects: Vec<_> = rows.iter().map(object).collect();
        let write = |value: &serde_json::Value| {
            if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }.unwrap()
        };
        let text = if array {
            write(&serde_json::Value::Array(objects))
        } else {
            objects.iter().map(write).collect::<Vec<_>>().join("\n")
        };
        let mut file = data_file(&["a", "b", "c"]);
        file.text.multi_line = pretty;
        let expected: Vec<Vec<Option<String>>> = rows
            .iter()
            .map(|row| row.iter().map(|text| (!text.is_empty()).then(|| text.clone())).collect())
            .collect();
        prop_assert_eq!(read_in_pieces(&file, FileKind::NdJson, &text, piece), expected);
    }
}
