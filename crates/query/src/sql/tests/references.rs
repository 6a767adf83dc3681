//! What statements read.

use super::{super::*, limits, parsed, query_text};

fn tables(sql: &str) -> Vec<String> {
    parsed(sql).references.tables.iter().map(ToString::to_string).collect()
}

#[test]
fn every_table_is_listed_once_and_ctes_are_not() {
    assert_eq!(
        tables("SELECT * FROM A, b JOIN \"C\".d ON true WHERE x IN (SELECT 1 FROM e) AND EXISTS (FROM a)"),
        ["a", "b", "c.d", "e"]
    );
    assert_eq!(tables("WITH t AS (SELECT * FROM t) SELECT * FROM t"), ["t"]);
    assert_eq!(tables("WITH a AS (SELECT * FROM x), b AS (SELECT * FROM a) SELECT * FROM b, a"), ["x"]);
    assert_eq!(tables("WITH a AS (SELECT 1) SELECT * FROM db.a"), ["db.a"]);
    assert_eq!(tables("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) s, a"), ["a"]);
    assert_eq!(tables("WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r"), [""; 0]);
    assert_eq!(tables("SELECT * FROM generate_series(1, 5), unnest([1, 2])"), [""; 0]);
    assert_eq!(tables("TABLE t"), ["t"]);
    assert_eq!(tables("EXPLAIN SELECT * FROM t"), ["t"]);
    assert_eq!(tables("CREATE VIEW v AS SELECT * FROM t"), ["t"]);
    assert_eq!(tables("FROM a UNION ALL FROM b ORDER BY 1"), ["a", "b"]);
}

#[test]
fn locations_become_tables() {
    let statement = parsed(
        "SELECT * FROM 's3://B/x y.parquet' AS a JOIN read_csv('file:///T/*.csv') b ON a.id = b.id JOIN Read_JSON('x') USING (id)",
    );
    let locations: Vec<_> =
        statement.references.locations.iter().map(|l| (l.function, l.text.as_str(), l.placeholder.as_str())).collect();
    assert_eq!(
        locations,
        [
            (None, "s3://B/x y.parquet", "__location_0"),
            (Some(ReadFunction::Csv), "file:///T/*.csv", "__location_1"),
            (Some(ReadFunction::Json), "x", "__location_2"),
        ]
    );
    assert!(statement.references.tables.is_empty());
    assert!(!query_text(&statement).contains("s3:"));
    for sql in [
        "SELECT * FROM read_parquet(a)",
        "SELECT * FROM read_parquet('a', 'b')",
        "SELECT * FROM read_parquet(['a'])",
        "SELECT * FROM a.'b'",
        "SELECT * FROM read_csv('a', header := true)",
    ] {
        assert!(parse(sql, &limits()).is_err(), "{sql}");
    }
    let described = parsed("DESCRIBE '/etc/passwd'").references;
    assert_eq!(described.locations[0].text, "/etc/passwd");
}

#[test]
fn answers_that_change_with_time_are_known() {
    for sql in [
        "SELECT now()",
        "SELECT current_date",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT random() FROM t",
        "SELECT * FROM t WHERE a < (SELECT Today())",
        "SELECT uuid()",
    ] {
        assert!(parsed(sql).references.volatile, "{sql}");
    }
    for sql in ["SELECT 1", "SELECT nowhere(a) FROM t", "SELECT \"now\" FROM t"] {
        assert!(!parsed(sql).references.volatile, "{sql}");
    }
}

#[test]
fn filters_are_expressions_of_safe_functions() {
    for text in [
        "a > 1 AND Lower(B) LIKE 'x%'",
        "a IN (1, 2) OR b IS NULL",
        "date_trunc('day', ts) = DATE '2024-01-01'",
        "\"Weird Name\" BETWEEN 1 AND 2",
    ] {
        assert!(expression(text, &limits()).is_ok(), "{text}");
    }
    assert_eq!(expression("VendorID = 'A'", &limits()).unwrap().to_string(), "vendorid = 'A'");
    for text in [
        "a IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "(SELECT true)",
        "repeat('x', 10) = a",
        "a = $1",
        "row_number() OVER () = 1",
        "true; DROP TABLE t",
        "true UNION SELECT 1",
        "a AS b",
        "",
        "count(*) > 1",
    ] {
        assert!(expression(text, &limits()).is_err(), "{text}");
    }
}
