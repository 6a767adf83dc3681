//! What rules do to rows, and what is said of rows that break them.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, Date32Array, Date64Array, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use lakebed_types::ErrorKind;
use serde_json::{Value, json};

use super::{
    formats::{plan, prepared},
    world::texts,
};
use crate::{RowsFormat, TableRules, harmonize::Plan, prepare::Prepared};

fn rules(rules: Value) -> TableRules {
    serde_json::from_value(rules).unwrap()
}

fn columns() -> Arc<Schema> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("weight", DataType::Float64, true),
        Field::new("at", time, true),
        Field::new("date", DataType::Date32, true),
    ]))
}

fn with(rows: &str, given: Value) -> Prepared {
    prepared(RowsFormat::NdJson, rows.to_owned(), &plan(&columns(), &rules(given)))
}

fn errors(prepared: &Prepared) -> Vec<String> {
    let line =
        |bad: &crate::decode::BadRow| format!("{}|{}|{}", bad.row, bad.field.as_deref().unwrap_or("-"), bad.reason);
    prepared.bad.iter().map(line).collect()
}

fn column(prepared: &Prepared, name: &str) -> Vec<Option<String>> {
    texts(std::slice::from_ref(&prepared.batch), name)
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

#[test]
fn texts_become_values_where_that_is_safe() {
    let good = with("{\"id\":\" 42 \",\"weight\":\"1e3\",\"name\":7}\n{\"id\":4.0,\"name\":true}", json!({}));
    assert_eq!(errors(&good), [""; 0]);
    assert_eq!(column(&good, "id"), some(&["42", "4"]));
    assert_eq!(column(&good, "name"), some(&["7", "true"]));
    let bad = with(
        "{\"id\":\"4x\"}\n{\"id\":1.5}\n{\"id\":99999999999999999999}\n{\"id\":true}\n{\"at\":\"soon\"}\n{\"id\":{}}\n{\"id\":\"\"}",
        json!({}),
    );
    assert_eq!(
        errors(&bad),
        [
            "1|id|`4x` is not a value of the type BIGINT",
            "2|id|`1.5` is not a value of the type BIGINT",
            "3|id|`99999999999999999999` is not a value of the type BIGINT",
            "4|id|`true` is not a value of the type BIGINT",
            "5|at|`soon` is not a value of the type TIMESTAMP WITH TIME ZONE",
            "6|id|an object is not a single value",
            "7|id|`` is not a value of the type BIGINT",
        ]
    );
    assert_eq!(bad.bad[1].raw.as_deref(), Some(b"{\"id\":1.5}".as_ref()));
}

#[test]
fn lines_that_are_no_rows_are_named() {
    let bad = with("{\"id\":1}\n{\"id\":\n\n[1]\nnull\n{\"id\":2} {\"id\":3}\n{\"nobody\":1}\n{\"id\":4}", json!({}));
    assert_eq!(column(&bad, "id"), some(&["1", "4"]));
    let said = errors(&bad);
    assert!(said[0].starts_with("2|-|is not JSON: EOF while parsing"), "{said:?}");
    assert_eq!(said[1], "3|-|an array is not a JSON object");
    assert_eq!(said[2], "4|-|null is not a JSON object");
    assert!(said[3].starts_with("5|-|is not JSON: trailing characters at byte 10"), "{said:?}");
    assert_eq!(said[4], "6|nobody|the table has no such column");
    assert_eq!(bad.bad[0].raw.as_deref(), Some(b"{\"id\":".as_ref()));
}

#[test]
fn what_is_no_json_is_no_row_whatever_stands_beside_it() {
    let plan = plan(&columns(), &TableRules::default());
    let rows = [
        "{\"name\":\"a\tb\"}",
        "{\"id\":1-2}",
        "{\"name\":2024-01-01}",
        "{\"id\":1 \"name\":\"x\"}",
        "{\"id\":1,}",
        "{,\"id\":1}",
        "{\"id\":01}",
    ];
    // The second neighbour makes all rows be looked at one by one.
    for (row, neighbour) in rows.iter().flat_map(|row| [(row, "{\"id\":7}"), (row, "{\"ID\":7}")]) {
        let lines = (RowsFormat::NdJson, format!("{neighbour}\n{row}\n"));
        for (format, text) in [lines, (RowsFormat::Json, format!("[{neighbour},\n{row}]"))] {
            let prepared = prepared(format, text, &plan);
            assert_eq!(column(&prepared, "id"), some(&["7"]), "{row}");
            let said = errors(&prepared);
            assert!(said.len() == 1 && said[0].starts_with("2|-|is not JSON: "), "{format:?} {row}: {said:?}");
        }
    }
    let halves = prepared(RowsFormat::NdJson, "{\"id\":\n1}{\"id\":2}\n", &plan);
    assert_eq!(halves.bad.iter().map(|bad| bad.row).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn rows_of_an_array_may_have_several_lines_and_texts_may_not() {
    let rows = "[{\"id\":1,\n\"name\":\"a\"},\n{\"id\":2,\r\n\"name\":\"a\nb\"},{\"id\":3,\"name\":\"a\\nb\"}]";
    let prepared = prepared(RowsFormat::Json, rows, &plan(&columns(), &TableRules::default()));
    assert_eq!(column(&prepared, "name"), some(&["a", "a\nb"]));
    let said = errors(&prepared);
    assert!(said.len() == 1 && said[0].starts_with("2|-|is not JSON: control character"), "{said:?}");
}

#[test]
fn csv_rows_with_the_wrong_number_of_fields_are_named() {
    let plan = plan(&columns(), &TableRules::default());
    let csv = "id,name\n1,a\n2\n3,\"x\ny\"\n4,b,c\nfive,z\n6,\n";
    let prepared = prepared(RowsFormat::Csv, csv, &plan);
    assert_eq!(
        errors(&prepared),
        [
            "2|-|has 1 fields where the header has 2",
            "4|-|has more than 2 fields where the header has 2",
            "5|id|`five` is not a value of the type BIGINT",
        ]
    );
    assert_eq!(column(&prepared, "name"), [Some("a".into()), Some("x\ny".into()), None]);
    let raw: Vec<_> = prepared.bad.iter().map(|bad| bad.raw.clone().unwrap()).collect();
    assert_eq!(raw, ["2".as_bytes(), b"4,b,c", b"five,z"]);
}

#[test]
fn required_default_alias_and_case() {
    let given = json!({"columns": {
        "id": {"required": true, "aliases": ["ID", "key"]},
        "name": {"trim": true, "case": "lower", "default": "nobody"},
    }});
    let rows = "{\"ID\":1,\"name\":\"  ANNA \"}\n{\"key\":2}\n{\"name\":\"x\"}\n{\"id\":3,\"ID\":null,\"name\":null}";
    let prepared = with(rows, given);
    assert_eq!(column(&prepared, "id"), some(&["1", "2", "3"]));
    assert_eq!(column(&prepared, "name"), some(&["anna", "nobody", "nobody"]));
    assert_eq!(errors(&prepared), ["3|id|has no value, and needs one"]);
}

/// Rows of texts in every format: JSON without fields that are empty.
fn in_every_format(names: &[&str], rows: &[&[&str]]) -> Vec<(RowsFormat, Vec<u8>)> {
    let column = |place: usize| {
        let values = rows.iter().map(|row| Some(row[place]).filter(|value| !value.is_empty()));
        Arc::new(StringArray::from_iter(values)) as ArrayRef
    };
    let columns = names.iter().enumerate().map(|(place, name)| (*name, column(place), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    super::formats::in_every_format(&batch)
}

#[test]
fn case_does_not_count_where_no_name_is_the_same() {
    let given = json!({"unknown": "add", "columns": {"id": {"aliases": ["Key"]}}});
    for (format, bytes) in in_every_format(&["ID", "NAME"], &[&["1", "a"], &["2", "b"]]) {
        for given in [given.clone(), json!({})] {
            let prepared = prepared(format, bytes.clone(), &plan(&columns(), &rules(given)));
            assert_eq!((errors(&prepared), prepared.added.len()), (vec![], 0), "{format:?}");
            assert_eq!(column(&prepared, "id"), some(&["1", "2"]), "{format:?}");
            assert_eq!(column(&prepared, "name"), some(&["a", "b"]), "{format:?}");
        }
    }
}

#[test]
fn two_fields_that_are_one_column_refuse_the_row() {
    let rules = rules(json!({"columns": {"id": {"aliases": ["key"]}}}));
    let rows: &[&[&str]] = &[&["1", "", ""], &["", "2", ""], &["", "", "3"], &["4", "4", ""], &["5", "", "6"]];
    for (format, bytes) in in_every_format(&["id", "Id", "key"], rows) {
        let prepared = prepared(format, bytes, &plan(&columns(), &rules));
        assert_eq!(column(&prepared, "id"), some(&["1", "2", "3"]), "{format:?}");
        let expected = [
            "4|Id|is the column `id`, which the field `id` is too",
            "5|key|is the column `id`, which the field `id` is too",
        ];
        assert_eq!(errors(&prepared), expected, "{format:?}");
    }
}

#[test]
fn objects_in_a_column_of_text_are_kept_as_json() {
    let rows = "{\"id\":1,\"name\":{ \"a\": [1, 1.50, \"x y\"] }}\n{\"id\":2,\"name\":[ ]}\n{\"id\":3,\"name\":\"n\"}";
    let prepared = with(rows, json!({}));
    assert_eq!(errors(&prepared), [""; 0]);
    assert_eq!(column(&prepared, "name"), some(&["{\"a\":[1,1.50,\"x y\"]}", "[]", "n"]));
}

#[test]
fn fields_without_one_type_become_columns_of_text() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let plan = plan(&schema, &rules(json!({"unknown": "add"})));
    let lines = "{\"id\":1,\"x\":5,\"e\":{},\"Dup\":1}\n{\"id\":2,\"x\":{\"a\":1},\"e\":{},\"dup\":2}";
    let prepared = prepared(RowsFormat::NdJson, lines, &plan);
    assert_eq!(errors(&prepared), [""; 0]);
    let added: Vec<_> = prepared.added.iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
    assert_eq!(added, [("x", DataType::Utf8), ("e", DataType::Utf8), ("Dup", DataType::Int64)]);
    assert_eq!(column(&prepared, "x"), some(&["5", "{\"a\":1}"]));
    assert_eq!(column(&prepared, "e"), some(&["{}", "{}"]));
    assert_eq!(column(&prepared, "Dup"), some(&["1", "2"]));
}

#[test]
fn unknown_numbers_keep_their_digits() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("extra", DataType::Utf8, true)]));
    let plan = plan(&schema, &rules(json!({"unknown": {"column": "extra"}})));
    let lines = "{\"n\": 123456789012345678901234567890 , \"id\":1,\"m\":[1.10, {\"k\": 0.1234567890123456789}]}";
    let prepared = prepared(RowsFormat::NdJson, lines, &plan);
    let expected = "{\"n\":123456789012345678901234567890,\"m\":[1.10,{\"k\":0.1234567890123456789}]}";
    assert_eq!(column(&prepared, "extra"), some(&[expected]));
}

#[test]
fn factors_are_exact_for_whole_numbers() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("cents", DataType::Int64, true),
        Field::new("price", DataType::Decimal128(20, 3), true),
    ]));
    let given = rules(json!({"columns": {"cents": {"scale": 100}, "price": {"scale": 0.001}}}));
    let plan = plan(&schema, &given);
    let lines = "{\"cents\":0.29,\"price\":1}\n{\"cents\":\"90071992547409.93\",\"price\":9007199254740993}\n\
                 {\"cents\":0.295}\n{\"price\":0.5}\n{\"cents\":1e30}";
    let text = prepared(RowsFormat::NdJson, lines, &plan);
    assert_eq!(column(&text, "cents"), some(&["29", "9007199254740993"]));
    assert_eq!(column(&text, "price"), some(&["0.001", "9007199254740.993"]));
    assert_eq!(text.bad.iter().map(|bad| bad.row).collect::<Vec<_>>(), [3, 4, 5]);
    let columns: [(&str, ArrayRef); 2] = [
        ("cents", Arc::new(Float64Array::from(vec![0.29, 1.15, 0.295]))),
        ("price", Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 1, 1]))),
    ];
    let bytes = super::formats::ipc(&RecordBatch::try_from_iter(columns).unwrap());
    let arrow = prepared(RowsFormat::Arrow, bytes, &plan);
    assert_eq!(column(&arrow, "cents"), some(&["29", "115"]));
    assert_eq!(column(&arrow, "price"), some(&["9007199254740.993", "0.001"]));
    assert_eq!(errors(&arrow), ["3|cents|`0.295` is not a value of the type BIGINT"]);
}

#[test]
fn decimals_keep_all_their_digits() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("wide", DataType::Decimal128(38, 9), true),
        Field::new("price", DataType::Decimal128(10, 2), true),
    ]));
    let zeros = "0".repeat(256);
    let lines = format!(
        "{{\"wide\":1.2345678901234567890e10}}\n{{\"price\":\"1{zeros}\"}}\n{{\"price\":1{zeros}}}\n\
         {{\"price\":\"{zeros}1.50{zeros}\"}}\n{{\"price\":12345678.905e-1}}\n{{\"price\":123456789}}"
    );
    let prepared = prepared(RowsFormat::NdJson, lines, &plan(&schema, &TableRules::default()));
    assert_eq!(column(&prepared, "wide")[0], Some("12345678901.234567890".to_owned()));
    assert_eq!(column(&prepared, "price"), [None, Some("1.50".to_owned())]);
    assert_eq!(prepared.bad.iter().map(|bad| bad.row).collect::<Vec<_>>(), [2, 3, 5, 6]);
}

#[test]
fn columns_of_numbers_are_brought_as_their_texts_are() {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = [
        ("at", time),
        ("price", DataType::Decimal128(10, 2)),
        ("flag", DataType::Boolean),
        ("real", DataType::Float64),
    ];
    let fields: Vec<_> = fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    let plan = plan(&Arc::new(Schema::new(fields)), &rules(json!({"columns": {"at": {"unit": "s"}}})));
    let columns: [(&str, ArrayRef); 4] = [
        ("at", Arc::new(Float64Array::from(vec![Some(1_700_000_000.5), Some(0.0), None, None]))),
        ("price", Arc::new(Float64Array::from(vec![Some(0.29), Some(1.255), Some(1.0), None]))),
        ("flag", Arc::new(Int64Array::from(vec![Some(1), Some(0), Some(2), None]))),
        ("real", Arc::new(Int64Array::from(vec![Some(-5), Some(1), Some(1), Some(9_007_199_254_740_993)]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for (format, bytes) in super::formats::in_every_format(&batch) {
        let prepared = prepared(format, bytes, &plan);
        assert_eq!(
            errors(&prepared),
            [
                "2|price|`1.255` is not a value of the type DECIMAL(10,2)",
                "3|flag|`2` is not a value of the type BOOLEAN",
                "4|real|`9007199254740993` is not a value of the type DOUBLE",
            ],
            "{format:?}"
        );
        assert_eq!(column(&prepared, "at"), some(&["2023-11-14T22:13:20.500Z"]), "{format:?}");
        assert_eq!(column(&prepared, "price"), some(&["0.29"]), "{format:?}");
        assert_eq!(column(&prepared, "flag"), some(&["true"]), "{format:?}");
    }
}

#[test]
fn enums_ranges_and_patterns() {
    let given = json!({"columns": {
        "id": {"min": 1, "max": 10, "enum": [1, 2, 3, 11]},
        "name": {"case": "upper", "enum": ["A", "BB"], "pattern": "[A-Z]"},
        "at": {"min": "2024-01-01"},
    }});
    let rows = "{\"id\":1,\"name\":\"a\"}\n{\"id\":0}\n{\"id\":11}\n{\"id\":4}\n{\"name\":\"c\"}\n{\"name\":\"bb\"}\n\
                {\"at\":\"2023-12-31T23:59:59Z\"}\n{}";
    let prepared = with(rows, given);
    assert_eq!(
        errors(&prepared),
        [
            "2|id|`0` is not one of the allowed values",
            "3|id|`11` is more than 10",
            "4|id|`4` is not one of the allowed values",
            "5|name|`C` is not one of the allowed values",
            "6|name|`BB` does not match the column's pattern",
            "7|at|`2023-12-31T23:59:59Z` is less than 2024-01-01",
        ]
    );
    assert_eq!(prepared.batch.num_rows(), 2);
}

#[test]
fn times_of_zones_and_units_are_one_time() {
    let rows = "{\"at\":\"2024-07-01T12:00:00\"}\n{\"at\":\"2024-07-01T10:00:00Z\"}\n{\"at\":\"2024-07-01 12:00:00+02:00\"}\n\
                {\"at\":1719828000}\n{\"at\":\"1719828000\"}\n{\"at\":1719828000.5}";
    let prepared = with(
        rows,
        json!({
            "columns": {"at": {"time_zone": "Europe/Berlin", "unit": "s"}},
            "day": {"from": "at"},
        }),
    );
    assert_eq!(errors(&prepared), [""; 0]);
    let mut expected = vec!["2024-07-01T10:00:00Z"; 5];
    expected.push("2024-07-01T10:00:00.500Z");
    assert_eq!(column(&prepared, "at"), some(&expected));
    assert_eq!(column(&prepared, "date"), some(&["2024-07-01"; 6]));
}

#[test]
fn days_begin_in_the_zone_of_the_column() {
    let plan = plan(&columns(), &rules(json!({"columns": {"at": {"time_zone": "Europe/Berlin"}}})));
    let batch = |days: ArrayRef| RecordBatch::try_from_iter([("at", days)]).unwrap();
    // 2024-06-01.
    let days = batch(Arc::new(Date32Array::from(vec![19_875])));
    let mut bodies = super::formats::in_every_format(&days);
    let days = batch(Arc::new(Date64Array::from(vec![1_717_200_000_000])));
    bodies.push((RowsFormat::Arrow, super::formats::ipc(&days)));
    for (format, bytes) in bodies {
        let prepared = prepared(format, bytes, &plan);
        assert_eq!(errors(&prepared), [""; 0], "{format:?}");
        assert_eq!(column(&prepared, "at"), some(&["2024-05-31T22:00:00Z"]), "{format:?}");
    }
}

#[test]
fn times_that_clocks_show_twice_or_never_are_named() {
    let plan = plan(&columns(), &rules(json!({"columns": {"at": {"time_zone": "Europe/Berlin"}}})));
    // The first two of the rows below.
    let times = TimestampMicrosecondArray::from(vec![1_729_996_200_000_000, 1_711_852_200_000_000, 0]);
    let times = RecordBatch::try_from_iter([("at", Arc::new(times) as ArrayRef)]).unwrap();
    let csv = "at\n2024-10-27 02:30:00\n2024-03-31 02:30:00\n1970-01-01\n".as_bytes().to_vec();
    let json = "[{\"at\":\"2024-10-27 02:30:00\"},{\"at\":\"2024-03-31 02:30:00\"},{\"at\":\"1970-01-01\"}]";
    for (format, bytes) in [
        (RowsFormat::Csv, csv),
        (RowsFormat::Json, json.as_bytes().to_vec()),
        (RowsFormat::Arrow, super::formats::ipc(&times)),
    ] {
        let prepared = prepared(format, bytes, &plan);
        assert_eq!(
            errors(&prepared),
            [
                "1|at|`2024-10-27 02:30:00` stands twice in Europe/Berlin: send it with an offset",
                "2|at|`2024-03-31 02:30:00` is left out in Europe/Berlin: send it with an offset",
            ],
            "{format:?}"
        );
        assert_eq!(column(&prepared, "at"), some(&["1969-12-31T23:00:00Z"]), "{format:?}");
    }
    let offset =
        with("{\"at\":\"2024-10-27T02:30:00+01:00\"}", json!({"columns": {"at": {"time_zone": "Europe/Berlin"}}}));
    assert_eq!(column(&offset, "at"), some(&["2024-10-27T01:30:00Z"]));
}

#[test]
fn units_are_brought_to_one() {
    let prepared = with("{\"weight\":1500}\n{\"weight\":\"250\"}", json!({"columns": {"weight": {"scale": 0.001}}}));
    assert_eq!(column(&prepared, "weight"), some(&["1.5", "0.25"]));
}

#[test]
fn unknown_fields_are_kept_in_a_column() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("extra", DataType::Utf8, true)]));
    let plan = plan(&schema, &rules(json!({"unknown": {"column": "extra"}})));
    let lines =
        prepared(RowsFormat::NdJson, "{\"id\":1,\"a\":[1,{\"b\":2}]}\n{\"id\":2}\n{\"id\":\"x\",\"a\":1}", &plan);
    assert_eq!(column(&lines, "extra"), [Some("{\"a\":[1,{\"b\":2}]}".into()), None]);
    assert_eq!(errors(&lines), ["3|id|`x` is not a value of the type BIGINT"]);
    let csv = prepared(RowsFormat::Csv, "a,id\nx,1\n,2\n", &plan);
    assert_eq!(column(&csv, "extra"), [Some("{\"a\":\"x\"}".into()), None]);
}

#[test]
fn unknown_fields_become_columns() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let plan = plan(&schema, &rules(json!({"unknown": "add"})));
    let rows = "{\"id\":1,\"n\":1,\"f\":1,\"nothing\":null}\n{\"id\":2,\"f\":1.5,\"t\":\"x\",\"flag\":true}\n{\"id\":3,\"n\":\"x\"}";
    let prepared = prepared(RowsFormat::NdJson, rows, &plan);
    let added: Vec<_> = prepared.added.iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
    assert_eq!(
        added,
        [("n", DataType::Utf8), ("f", DataType::Float64), ("t", DataType::Utf8), ("flag", DataType::Boolean),]
    );
    assert_eq!(column(&prepared, "f"), [Some("1.0".into()), Some("1.5".into()), None]);
    assert_eq!(column(&prepared, "n"), [Some("1".into()), None, Some("x".into())]);
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    for (given, what) in [
        (json!({"columns": {"nobody": {}}}), "no such column"),
        (json!({"columns": {"id": {"trim": true}}}), "are for columns of the type VARCHAR"),
        (json!({"columns": {"name": {"pattern": "("}}}), "not a regular expression"),
        (json!({"columns": {"id": {"default": "x"}}}), "`default`: `x` is not a value"),
        (json!({"columns": {"id": {"enum": [[1]]}}}), "is not a single value"),
        (json!({"columns": {"id": {"aliases": ["name"]}}}), "is a name of"),
        (json!({"columns": {"at": {"time_zone": "Mars/North"}}}), "not a zone"),
        (json!({"columns": {"name": {"scale": 2.0}}}), "for columns of numbers"),
        (json!({"sort": ["nobody"]}), "no such column to sort by"),
        (json!({"day": {"from": "id"}}), "times or dates"),
        (json!({"day": {"from": "at", "column": "name"}}), "of the type DATE"),
        (json!({"unknown": {"column": "id"}}), "VARCHAR"),
    ] {
        let error = Plan::new(columns(), &rules(given.clone()), 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{given}");
        assert!(error.message().contains(what), "{given}: {error:?}");
    }
    assert!(serde_json::from_value::<TableRules>(json!({"colums": {}})).is_err());
}

#[test]
fn rules_read_back() {
    let given = json!({
        "columns": {"id": {"type": "BIGINT", "required": true, "default": 1, "aliases": ["x"], "enum": [1], "min": 0,
                           "max": 9, "scale": 2.0}, "at": {"unit": "ms", "time_zone": "+02:00"},
                    "name": {"pattern": "a", "trim": true, "case": "upper"}},
        "unknown": {"column": "rest"}, "day": {"from": "at", "column": "date"}, "sort": ["id"], "retention_days": 3,
        "merge": {"off": true, "files": 2, "target_bytes": 5, "after_seconds": 7},
    });
    assert_eq!(serde_json::to_value(rules(given.clone())).unwrap(), given);
}
