//! What a file turns out to be.

use super::{Lake, gzip, zstd};
use crate::{Compression, FileKind, Rejected};

#[tokio::test]
async fn columns_get_the_types_that_their_values_have() {
    let csv = "id,ok,price,day,at,zoned,zip,name,nothing\n\
               1,true,1.5,2024-01-31,2024-01-31 10:00:00,2024-01-31T10:00:00Z,00501,Ann,\n\
               2,FALSE,2,2024-02-01,2024-02-01 11:30,2024-02-01T10:00:00+02:00,10001,Bob,\n";
    let lake = Lake::with("t.csv", csv);
    assert_eq!(
        lake.columns("t.csv").await,
        "id BIGINT, ok BOOLEAN, price DOUBLE, day DATE, at TIMESTAMP, zoned TIMESTAMP WITH TIME ZONE, \
         zip VARCHAR, name VARCHAR, nothing NULL"
    );
    assert_eq!(
        lake.rows("SELECT * FROM t WHERE id = 2").await,
        ["2|false|2.0|2024-02-01|2024-02-01T11:30:00|2024-02-01T08:00:00Z|10001|Bob|"]
    );
}

#[tokio::test]
async fn the_dialect_is_found_from_the_content() {
    for (content, delimiter, header, columns) in [
        ("a,b\n1,2\n", b',', true, "a BIGINT, b BIGINT"),
        ("a;b\n1;2,5\n3;4,5\n", b';', true, "a BIGINT, b VARCHAR"),
        ("a\tb\r\n1\tx\r\n", b'\t', true, "a BIGINT, b VARCHAR"),
        ("1|x\n2|y\n", b'|', false, "column0 BIGINT, column1 VARCHAR"),
        ("name,city\nAnn,Rome\nBob,Oslo\n", b',', true, "name VARCHAR, city VARCHAR"),
        ("Ann,Rome\nBob,Oslo\nAnn,Paris\n", b',', false, "column0 VARCHAR, column1 VARCHAR"),
        ("\u{feff}a,b\n1,2\n", b',', true, "a BIGINT, b BIGINT"),
        ("\"\",\"x\"\n\"1\",5\n\"2\",6\n", b',', true, "column0 BIGINT, x BIGINT"),
        ("x,X,x\n1,2,3\n", b',', true, "x BIGINT, X_1 BIGINT, x_2 BIGINT"),
        ("n\n1\n2\n", b',', true, "n BIGINT"),
        ("a,b\r1,2\r3,4\r", b',', true, "a BIGINT, b BIGINT"),
        ("a,b\n1,'x, y'\n2,'z'\n", b',', true, "a BIGINT, b VARCHAR"),
    ] {
        let lake = Lake::with("t.csv", content);
        let found = lake.inspect("t.csv").await.unwrap();
        assert_eq!((found.text.delimiter, found.text.header), (delimiter, header), "{content:?}");
        assert_eq!(lake.columns("t.csv").await, columns, "{content:?}");
    }
}

#[tokio::test]
async fn na_is_null_where_the_column_is_no_text() {
    let lake = Lake::with("t.csv", "dep,tail,at\n517,N14228,2013-01-01 05:00:00\nNA,NA,NA\n533,N24211,NA\n");
    assert_eq!(lake.columns("t.csv").await, "dep BIGINT, tail VARCHAR, at TIMESTAMP");
    assert_eq!(lake.rows("SELECT count(dep), count(tail), count(at) FROM t").await, ["2|3|1"]);
    assert_eq!(lake.rows("SELECT tail FROM t WHERE dep IS NULL").await, ["NA"]);
}

#[tokio::test]
async fn json_has_structs_lists_and_text_where_it_disagrees_with_itself() {
    let json = r#"{"id": 1, "price": 1, "tags": ["a", "b"], "who": {"name": "Ann", "age": 5}, "mixed": {"x": 1}}
{"id": 2, "price": 2.5, "who": {"name": "B\u00f6b \"b\"", "city": null}, "mixed": "text", "at": "2024-01-31T10:00:00Z"}
"#;
    let lake = Lake::with("t.json", json);
    assert_eq!(
        lake.columns("t.json").await,
        "id BIGINT, price DOUBLE, tags ARRAY<VARCHAR>, who STRUCT<name VARCHAR, age BIGINT, city VARCHAR>, \
         mixed VARCHAR, at TIMESTAMP WITH TIME ZONE"
    );
    let found = lake.inspect("t.json").await.unwrap();
    assert_eq!((found.kind, found.summary.rows()), (FileKind::NdJson, Some(2)));
    assert_eq!(
        lake.rows("SELECT id, price, tags, who['name'], who['age'], mixed FROM t").await,
        ["1|1.0|[a, b]|Ann|5|{\"x\": 1}", "2|2.5||Böb \"b\"||text"]
    );
}

#[tokio::test]
async fn a_pretty_json_array_is_a_table() {
    let json = "[\n  {\n    \"a\": 1,\n    \"b\": \"x ] } \\\" y\"\n  },\n  {\n    \"b\": null\n  }\n]\n";
    for (name, content) in [("t.json", json.into()), ("t.json.gz", gzip(json)), ("t.json.zst", zstd(json))] {
        let lake = Lake::with(name, content);
        let found = lake.inspect(name).await.unwrap();
        assert_eq!((found.kind, found.summary.rows()), (FileKind::JsonArray, Some(2)));
        assert_eq!(lake.rows("SELECT a, b FROM t").await, ["1|x ] } \" y", "|"]);
    }
}

#[tokio::test]
async fn objects_over_several_lines_are_rows() {
    let lake = Lake::with("t.json", "{\n \"a\": 1\n}\n{\n \"a\": 2\n}\n");
    assert_eq!(lake.rows("SELECT sum(a), count(*) FROM t").await, ["3|2"]);
}

#[tokio::test]
async fn compression_is_found_from_the_content() {
    for (content, compression) in [
        (b"a,b\n1,2\n".to_vec(), Compression::None),
        (gzip("a,b\n1,2\n"), Compression::Gzip),
        (zstd("a,b\n1,2\n"), Compression::Zstd),
    ] {
        let lake = Lake::with("t.bin", content);
        assert_eq!(lake.inspect("t.bin").await.unwrap().compression, compression);
        assert_eq!(lake.rows("SELECT a + b FROM t").await, ["3"]);
    }
}

#[tokio::test]
async fn what_is_no_table_says_why() {
    let long_prose = "It was, some say, the best of times; it was | the worst\tof times.\n".repeat(3) + "It was.\n";
    let no = |name: &'static str, content: Vec<u8>, reason: &'static str| (name, content, reason);
    for (name, content, reason) in [
        no("blank.csv", b"  \n\n \n".to_vec(), "is empty"),
        no("empty.json", b"[ ]\n".to_vec(), "is empty"),
        no("m.json", b"{\"entries\": [{\"url\": \"s3://b/x.parquet\"}]}".to_vec(), "is a manifest: a list of files"),
        no(
            "cur-Manifest.json",
            b"{\"assemblyId\": \"1\", \"reportKeys\": [\"a/b.csv.gz\"], \"columns\": []}".to_vec(),
            "is a manifest of a cost and usage report",
        ),
        no(
            "manifest",
            b"s3://b/1.parquet\ns3://b/2.parquet\n".to_vec(),
            "is a manifest: every line is the address of a file",
        ),
        no("0.json", b"{\"commitInfo\":{\"x\":1}}\n{\"add\":{}}\n".to_vec(), "is the log of a Delta table"),
        no("x.csv", b"PK\x03\x04\x14\0\x06\0".to_vec(), "is a ZIP archive (or an Office document)"),
        no("x.csv", b"\x01\x02\0\x04garbage".to_vec(), "is binary, and of no format that is known"),
        no("x.csv", b"a,b\ncaf\xe9,1\n".to_vec(), "is not UTF-8 text: convert it, or remove it"),
        no("x.html", b"<html><body>a,b</body></html>\n".to_vec(), "is XML or HTML"),
        no("notes.txt", long_prose.into_bytes(), "is text that nothing splits into columns"),
        no("x.json", b"[1, 2, 3]".to_vec(), "is a JSON array of values that are no objects"),
        no("x.json", b"{\"a\": 1}\n{\"a\": }\n".to_vec(), "ends where a value should be (record 2)"),
        no("x.csv.gz", gzip("a,b\n1,2\n")[..20].to_vec(), "ends in the middle of its compressed data"),
        no("x.parquet", b"hello\nworld\n".to_vec(), "is text that nothing splits into columns"),
    ] {
        let lake = Lake::with(name, content);
        let rejected = lake.inspect(name).await.expect_err(name);
        assert_eq!(rejected.to_string(), reason, "{name}");
    }
}

#[tokio::test]
async fn a_header_alone_is_a_table_without_rows() {
    let lake = Lake::with("t.csv", "id,name\n");
    assert_eq!(lake.rows("SELECT count(*), count(name) FROM t").await, ["0|0"]);
    assert_eq!(lake.rows("SELECT id, name FROM t").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_csv_file_named_parquet_is_a_csv_file() {
    let lake = Lake::with("t.parquet", "id,name\n1,x\n");
    assert_eq!(lake.inspect("t.parquet").await.unwrap().kind, FileKind::Csv);
    assert!(matches!(Lake::with("u.parquet", "7\n8\n").inspect("u.parquet").await, Err(Rejected::WrongMagic(_))));
}
