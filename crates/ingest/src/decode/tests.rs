//! Small bodies that stand for much: refused before there is memory for it.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, NullArray, RecordBatch, StringArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Schema},
};
use arrow_ipc::{
    CompressionType, root_as_message,
    writer::{IpcWriteOptions, StreamWriter},
};
use bytes::Bytes;
use lakebed_types::{ErrorKind, Result};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding},
    file::properties::{WriterProperties, WriterPropertiesBuilder},
};

use super::*;
use crate::{TableRules, harmonize::Plan};

fn wanted(schema: &Schema, max_rows: usize) -> Wanted {
    Plan::new(Arc::new(schema.clone()), &TableRules::default(), max_rows).unwrap().wanted
}

fn one_column(values: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("x", values)]).unwrap()
}

fn ids(rows: i64) -> RecordBatch {
    one_column(Arc::new(Int64Array::from_iter_values(0..rows)))
}

fn stream(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn parquet(batch: &RecordBatch, given: impl Fn(WriterPropertiesBuilder) -> WriterPropertiesBuilder) -> Bytes {
    let properties = given(WriterProperties::builder()).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap().into()
}

fn decoded(format: RowsFormat, bytes: impl Into<Bytes>, budget: Budget) -> Result<usize> {
    let wanted = wanted(&Schema::new(vec![Field::new("x", DataType::Utf8, true)]), 1_000_000);
    let (bytes, rows) = (bytes.into(), |decoded: Decoded| decoded.chunks.iter().map(|c| c.batch.num_rows()).sum());
    match format {
        RowsFormat::Arrow => columnar::decode_stream(&bytes, &wanted, budget).map(rows),
        RowsFormat::Parquet => columnar::decode_parquet(&bytes, &wanted, budget).map(rows),
        _ => decode(format, &bytes, &wanted).map(rows),
    }
}

/// The one place of a number of eight bytes becomes another number.
fn patched(mut bytes: Vec<u8>, from: i64, to: i64) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len() - 7).filter(|at| bytes[*at..*at + 8] == from.to_le_bytes()).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 8].copy_from_slice(&to.to_le_bytes());
    }
    bytes
}

#[test]
fn a_message_is_not_longer_than_the_body() {
    let bytes = stream(&[ids(1000)], None);
    assert_eq!(decoded(RowsFormat::Arrow, bytes.clone(), Budget::of(1 << 20)).unwrap(), 1000);
    let schema = 8 + u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    let length = u32::from_le_bytes(bytes[schema + 4..schema + 8].try_into().unwrap()) as usize;
    let body = root_as_message(&bytes[schema + 8..schema + 8 + length]).unwrap().bodyLength();
    let kind = |bytes: Vec<u8>| decoded(RowsFormat::Arrow, bytes, Budget::of(1 << 20)).unwrap_err().kind();
    for length in [1 << 46, -1, i64::MAX, body + 1000] {
        assert_eq!(kind(patched(bytes.clone(), body, length)), ErrorKind::InvalidRequest, "{length}");
    }
    for length in [i32::MAX, -5, 100_000] {
        let header = [&[0xff; 4][..], &length.to_le_bytes(), b"rest"].concat();
        assert_eq!(kind([&bytes[..schema], &header].concat()), ErrorKind::InvalidRequest, "{length}");
    }
}

#[test]
fn compressed_buffers_are_not_longer_than_the_limit() {
    for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let bytes = stream(&[one_column(Arc::new(Int64Array::from(vec![7; 10_000])))], Some(compression));
        let good = decoded(RowsFormat::Arrow, bytes.clone(), Budget::of(1 << 20));
        assert_eq!(good.unwrap(), 10_000, "{compression:?}");
        let long = patched(bytes, 80_000, 1 << 46);
        let error = decoded(RowsFormat::Arrow, long, Budget::of(1 << 30)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTooLarge, "{compression:?}");
    }
}

#[test]
fn columns_of_nothing_are_not_longer_than_the_limit() {
    let columns: [(&str, ArrayRef); 1] = [("x", Arc::new(NullArray::new(123_456_789)))];
    let bytes = stream(&[RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()], None);
    let error = decoded(RowsFormat::Arrow, bytes, Budget::of(1 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge);
    assert!(error.message().contains("decoded"), "{error:?}");
}

#[test]
fn a_long_text_that_many_rows_name_counts_for_each_row() {
    let keys = Int32Array::from(vec![0; 2000]);
    let texts = DictionaryArray::new(keys, Arc::new(StringArray::from(vec!["x".repeat(10_000)])));
    let batch = one_column(Arc::new(texts));
    let bodies: [(RowsFormat, Bytes); 2] = [
        (RowsFormat::Arrow, stream(std::slice::from_ref(&batch), None).into()),
        (RowsFormat::Parquet, parquet(&batch, |properties| properties)),
    ];
    for (format, bytes) in bodies {
        assert!(bytes.len() < 100_000, "{format:?}");
        let error = decoded(format, bytes.clone(), Budget::of(10_000_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTooLarge, "{format:?}");
        assert_eq!(decoded(format, bytes, Budget::of(30_000_000)).unwrap(), 2000, "{format:?}");
    }
}

#[test]
fn batches_of_a_row_each_are_put_together() {
    let batches: Vec<_> = (0..2000).map(|_| ids(1)).collect();
    let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
    let bytes = stream(&batches, None).into();
    let chunks = decode(RowsFormat::Arrow, &bytes, &wanted(&schema, 2000)).unwrap().chunks;
    assert_eq!(chunks.iter().map(|chunk| (chunk.first, chunk.batch.num_rows())).collect::<Vec<_>>(), [(1, 2000)]);
    let error = decode(RowsFormat::Arrow, &bytes, &wanted(&schema, 1999)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge);
}

#[test]
fn values_without_end_in_one_row_count() {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let zeros = Arc::new(Int64Array::from(vec![0; 500_000]));
    let list = ListArray::new(item, OffsetBuffer::from_lengths([500_000]), zeros, None);
    let bytes = parquet(&one_column(Arc::new(list)), |properties| properties);
    assert!(bytes.len() < 20_000);
    let error = decoded(RowsFormat::Parquet, bytes, Budget::of(1_000_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge);
}

#[test]
fn rows_with_texts_of_shared_prefixes_are_read_a_few_at_once() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 21); 3]));
    let bytes = parquet(&one_column(texts), |properties| {
        properties.set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BYTE_ARRAY)
    });
    let options = parquet::arrow::arrow_reader::ArrowReaderOptions::new();
    let opened = parquet::arrow::arrow_reader::ArrowReaderMetadata::load(&bytes, options).unwrap();
    let rows = parquet_pages::check_pages(&bytes, opened.metadata(), &mut Budget::of(1 << 30)).unwrap();
    assert!((1..=128).contains(&rows), "{rows}");
    assert_eq!(decoded(RowsFormat::Parquet, bytes, Budget::of(1 << 30)).unwrap(), 3);
}

#[test]
fn parquet_of_other_compressions_is_read() {
    let batch = ids(5000);
    let all = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(Default::default())];
    for compression in all.into_iter().chain([Compression::LZ4_RAW, Compression::ZSTD(Default::default())]) {
        let bytes = parquet(&batch, |properties| properties.set_compression(compression));
        assert_eq!(decoded(RowsFormat::Parquet, bytes, Budget::of(1 << 20)).unwrap(), 5000, "{compression:?}");
    }
    let bytes = parquet(&batch, |properties| properties.set_compression(Compression::BROTLI(Default::default())));
    let error = decoded(RowsFormat::Parquet, bytes, Budget::of(1 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// A file that is a footer alone.
fn footer(thrift: &[u8]) -> Bytes {
    let length = u32::try_from(thrift.len()).unwrap().to_le_bytes();
    [b"PAR1", thrift, &length, b"PAR1"].concat().into()
}

#[test]
fn a_footer_does_not_say_more_than_it_has() {
    // Version 1, a schema of one element, no rows, and 2³¹ - 1 row groups.
    let groups = b"\x15\x02\x19\x1c\x48\x01x\x00\x16\x00\x19\xfc\xff\xff\xff\xff\x07";
    // Groups inside of groups.
    let group = b"\x35\x00\x18\x01g\x15\x02\x00";
    let deep = [&b"\x15\x02\x19\xfc\xa0\x8d\x06"[..], &group.repeat(100_000), b"\x16\x00\x19\x0c\x00"].concat();
    for bytes in [footer(groups), footer(&deep)] {
        let error = infer(RowsFormat::Parquet, &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
    }
}

#[test]
fn rows_of_nothing_count_in_a_wide_table() {
    let fields: Vec<_> = (0..20_000).map(|column| Field::new(format!("c{column}"), DataType::Int64, true)).collect();
    let wanted = wanted(&Schema::new(fields), 1_000_000);
    for (format, text) in
        [(RowsFormat::NdJson, "{}\n".repeat(20_000)), (RowsFormat::Json, format!("[{}{{}}]", "{},".repeat(19_999)))]
    {
        let error = decode(format, &text.into(), &wanted).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTooLarge, "{format:?}");
    }
}

#[test]
fn an_array_is_not_read_beyond_the_rows_that_are_let_in() {
    let wanted = wanted(&Schema::new(vec![Field::new("x", DataType::Int64, true)]), 2);
    // What comes after the third one is no JSON.
    let error = decode(RowsFormat::Json, &"[{},{},{},]!".into(), &wanted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTooLarge);
}

#[test]
fn columns_are_those_of_the_header() {
    let schema = infer(RowsFormat::Csv, &"a,b,c\n1,,x\n".into()).unwrap();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(infer(RowsFormat::Csv, &"a,b\n".into()).unwrap().fields().len(), 2);
    for ragged in ["a,b,c\n1\n2,3,4\n", "a,b,c\n1,2,3\n4\n", "a\n1,2\n"] {
        assert_eq!(infer(RowsFormat::Csv, &ragged.into()).unwrap_err().kind(), ErrorKind::InvalidRequest, "{ragged}");
    }
}

/// A header with names of its own for so many columns.
fn header(columns: usize) -> String {
    (0..columns).map(|column| format!("c{column}")).collect::<Vec<_>>().join(",")
}

#[test]
fn fields_without_end_are_not_read_to_their_end() {
    assert_eq!(infer(RowsFormat::Csv, &header(MAX_NAMES).into()).unwrap().fields().len(), MAX_NAMES);
    for header in [header(MAX_NAMES + 1), ",".repeat(1_000_000)] {
        let error = infer(RowsFormat::Csv, &header.into()).unwrap_err();
        assert!(error.message().contains("names more than 10000 columns"), "{error:?}");
    }
    let wanted = wanted(&Schema::new(vec![Field::new("x", DataType::Utf8, true)]), 100);
    let text = format!("x\n{}\n1\n", ",".repeat(1_000_000));
    let decoded = decode(RowsFormat::Csv, &text.into(), &wanted).unwrap();
    let chunk = &decoded.chunks[0];
    assert_eq!((chunk.batch.num_rows(), chunk.bad[0].row), (1, 1));
    assert_eq!(chunk.bad[0].reason, "has more than 1 fields where the header has 1");
}

#[test]
fn wide_rows_are_decoded_a_few_at_once() {
    let fields: Vec<_> = (0..4000).map(|column| Field::new(format!("c{column}"), DataType::Utf8, true)).collect();
    let row = |row: usize| format!("{row}{}\n", ",".repeat(if row == 1050 { 1 } else { 3999 }));
    let text = format!("{}\n{}", header(4000), (1..=1100).map(row).collect::<String>());
    let decoded = decode(RowsFormat::Csv, &text.into(), &wanted(&Schema::new(fields), 10_000)).unwrap();
    let chunks = decoded.chunks.iter().map(|chunk| (chunk.first, chunk.batch.num_rows(), chunk.bad.len()));
    assert_eq!(chunks.collect::<Vec<_>>(), [(1, 1000, 0), (1001, 99, 1)]);
    let last = &decoded.chunks[1];
    assert_eq!((last.bad[0].row, last.number(0), last.number(98)), (1050, 1001, 1100));
}

#[test]
fn halves_of_a_letter_in_two_fields_are_none() {
    let fields = ["a", "b"].map(|name| Field::new(name, DataType::Utf8, true));
    let bytes = Bytes::from_static(b"a,b\n\xc3,\xa9\n1,2\n");
    let decoded = decode(RowsFormat::Csv, &bytes, &wanted(&Schema::new(fields.to_vec()), 100)).unwrap();
    let chunk = &decoded.chunks[0];
    assert_eq!((chunk.batch.num_rows(), chunk.bad[0].row), (1, 1));
    assert_eq!(chunk.bad[0].reason, "is not UTF-8");
}

#[test]
fn values_without_end_in_one_object_count() {
    let wanted = wanted(&Schema::new(vec![Field::new("x", DataType::Utf8, true)]), 100);
    let row = |values: usize| -> Bytes { format!("{{\"x\":[{}0]}}", "0,".repeat(values)).into() };
    let (long, short) = (row(17_000_000), row(100_000));
    for format in [RowsFormat::NdJson, RowsFormat::Json] {
        let error = decode(format, &long, &wanted).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTooLarge, "{format:?}");
        assert_eq!(infer(format, &long).unwrap_err().kind(), ErrorKind::RequestTooLarge, "{format:?}");
        assert_eq!(decode(format, &short, &wanted).unwrap().chunks[0].batch.num_rows(), 1, "{format:?}");
    }
}

#[test]
fn types_are_told_from_the_first_rows() {
    let lines = "{\"a\":1,\"x\":{}}\n\n{\"a\":\"t\",\"b\":[1.5],\"A\":true}";
    let array = "[{\"a\":1,\"x\":{}},{\"a\":\"t\",\"b\":[1.5],\"A\":true}]";
    for (format, text) in [(RowsFormat::NdJson, lines), (RowsFormat::Json, array)] {
        let schema = infer(format, &text.into()).unwrap();
        let fields: Vec<_> = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
        let list = DataType::new_list(DataType::Float64, true);
        assert_eq!(fields, [("a", &DataType::Utf8), ("x", &DataType::Utf8), ("b", &list)], "{format:?}");
    }
    assert_eq!(infer(RowsFormat::NdJson, &"[1]".into()).unwrap_err().kind(), ErrorKind::InvalidRequest);
}
