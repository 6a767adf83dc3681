//! Folding, and the names of results.

use std::collections::{HashMap, HashSet};

use super::{super::*, limits, parsed, query_text};

#[test]
fn queries_are_rewritten() {
    let cases = [
        (
            "SELECT VendorID, \"Fare\" FROM \"Trips\" T WHERE T.\"VendorID\" = 'X'",
            "SELECT vendorid, \"fare\" FROM \"trips\" t WHERE t.\"vendorid\" = 'X'",
        ),
        ("FROM T", "SELECT * FROM t"),
        ("FROM T SELECT A", "SELECT a FROM t"),
        ("TABLE Db.T", "SELECT * FROM db.t"),
        ("FROM t WHERE a > 1", "SELECT * FROM t WHERE a > 1"),
        ("FROM a UNION ALL FROM b LIMIT 1", "SELECT * FROM a UNION ALL SELECT * FROM b LIMIT 1"),
        (
            "SELECT * FROM (FROM t WHERE a = 1) WHERE x IN (FROM u SELECT y)",
            "SELECT * FROM (SELECT * FROM t WHERE a = 1) WHERE x IN (SELECT y FROM u)",
        ),
        ("WITH c AS (FROM t) FROM c ORDER BY 1", "WITH c AS (SELECT * FROM t) SELECT * FROM c ORDER BY 1"),
        (
            "SELECT * EXCEPT (a), substring((b) FROM 2) AS b FROM t",
            "SELECT * EXCEPT (a), SUBSTRING((b) FROM 2) AS b FROM t",
        ),
        ("SELECT Sum(A) FROM t", "SELECT sum(a) AS \"sum(a)\" FROM t"),
        ("SELECT count(*), COUNT(*) FROM t", "SELECT count(*) AS \"count(*)\", count(*) AS \"count(*)_1\" FROM t"),
        ("SELECT x, x, t.x FROM t", "SELECT x, x AS \"x_1\", t.x AS \"x_2\" FROM t"),
        ("SELECT x, x_1, x FROM t", "SELECT x, x_1, x AS \"x_2\" FROM t"),
        ("SELECT a.id, b.id FROM a, b", "SELECT a.id AS \"id\", b.id AS \"id_1\" FROM a, b"),
        ("SELECT *, x FROM t", "SELECT *, x AS \"__column_1\" FROM t"),
        ("SELECT * FROM (SELECT *, x FROM t)", "SELECT * FROM (SELECT *, x FROM t)"),
        ("SELECT a, b FROM t ORDER BY ALL DESC", "SELECT a, b FROM t ORDER BY 1 DESC, 2 DESC"),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY ALL", "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1"),
        ("SELECT DISTINCT a + 1 FROM t ORDER BY a + 1", "SELECT DISTINCT a + 1 AS \"a + 1\" FROM t ORDER BY 1"),
        ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", "SELECT a FROM t LIMIT 5"),
        ("SELECT a FROM t WHERE b = ? AND c = ?", "SELECT a FROM t WHERE b = $1 AND c = $2"),
        ("SELECT a FROM t WHERE b = :Name", "SELECT a FROM t WHERE b = $name"),
        ("SELECT a[1:n], {'k': :v} FROM t", "SELECT a[1:n] AS \"a[1:n]\", {'k': $v} AS \"{'k': $v}\" FROM t"),
        ("WITH C AS (SELECT 1 AS X) SELECT X FROM c", "WITH c AS (SELECT 1 AS x) SELECT x FROM c"),
    ];
    for (sql, expected) in cases {
        assert_eq!(query_text(&parsed(sql)), expected, "{sql}");
    }
}

#[test]
fn exact_names_are_left_alone() {
    let mut statement = parsed("SELECT a, A, \"A\", B FROM T");
    fold(&mut statement, &HashSet::from(["A".to_owned()])).unwrap();
    assert_eq!(query_text(&statement), "SELECT a, A, \"A\" AS \"A_1\", b FROM t");
}

fn names(sql: &str, fields: &[&str]) -> Vec<String> {
    let spelling = ["VendorID", "Fare", "Tip"].map(|name| (name.to_lowercase(), name.to_owned()));
    output_names(&parsed(sql), fields.iter().copied(), &HashMap::from(spelling))
}

#[test]
fn results_are_named_as_people_spell_them() {
    let cases: Vec<(&str, &[&str], &[&str])> = vec![
        ("SELECT vendorid, FARE FROM t", &["vendorid", "fare"], &["VendorID", "Fare"]),
        ("SELECT vendorid AS Vendor, fare \"The Fare\" FROM t", &["vendor", "the fare"], &["Vendor", "The Fare"]),
        ("SELECT * FROM t", &["vendorid", "fare", "other"], &["VendorID", "Fare", "other"]),
        (
            "SELECT SUM(FARE), count(*), \"fare\" + 1 FROM t",
            &["sum(fare)", "count(*)", "fare + 1"],
            &["sum(Fare)", "count(*)", "Fare + 1"],
        ),
        ("SELECT *, fare FROM t", &["vendorid", "fare", "__column_1"], &["VendorID", "Fare", "Fare_1"]),
        (
            "SELECT fare, t.*, tip + 1 AS More, u.* FROM t, u",
            &["__column_0", "vendorid", "fare", "more", "id"],
            &["Fare", "VendorID", "Fare_1", "More", "id"],
        ),
        ("SELECT a.id, b.id FROM a, b", &["id", "id_1"], &["id", "id_1"]),
        ("SELECT * FROM a, b", &["id", "id", "id"], &["id", "id_1", "id_2"]),
        ("SELECT total FROM (SELECT sum(fare) AS Total FROM t)", &["total"], &["Total"]),
        ("WITH c (Total) AS (SELECT 1) FROM c", &["total"], &["Total"]),
        ("SELECT fare AS A FROM t UNION SELECT tip AS B FROM t", &["a"], &["A"]),
        ("SELECT 1, 'x', a::int FROM t", &["1", "'x'", "a::INT"], &["1", "'x'", "a::INT"]),
        ("VALUES (1, 2)", &["column1", "column2"], &["column1", "column2"]),
        ("FROM t |> SELECT fare", &["fare"], &["Fare"]),
    ];
    for (sql, fields, expected) in cases {
        assert_eq!(names(sql, fields), expected, "{sql}");
    }
}

#[test]
fn quoted_locations_keep_their_case() {
    let statement = parse("SELECT * FROM 's3://Bucket/Folder/X.parquet'", &limits()).unwrap();
    assert_eq!(statement.references.locations[0].text, "s3://Bucket/Folder/X.parquet");
}
