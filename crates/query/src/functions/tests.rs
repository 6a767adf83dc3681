//! Bombs end in an error that names the function and the limit; everything else answers as before.

use datafusion::{error::DataFusionError, execution::SessionStateBuilder, prelude::SessionContext};
use lakebed_types::{Error, ErrorKind};

use super::*;

fn session() -> SessionContext {
    let mut state = SessionStateBuilder::new().with_default_features().build();
    register(&mut state).unwrap();
    SessionContext::new_with_state(state)
}

async fn run(session: &SessionContext, sql: &str) -> Result<String, DataFusionError> {
    let batches = session.sql(sql).await?.collect().await?;
    let table = datafusion::arrow::util::pretty::pretty_format_batches(&batches)?.to_string();
    Ok(table.lines().nth(3).unwrap_or_default().trim_matches(['|', ' ']).to_owned())
}

#[tokio::test]
async fn bombs_are_refused() {
    let session = session();
    let rows = "(SELECT * FROM generate_series(1, 8192)) AS s (n)";
    let cases = [
        ("SELECT repeat('x', 1000000000)".to_owned(), ErrorKind::MemoryExhausted),
        ("SELECT length(repeat('x', 2000000000))".to_owned(), ErrorKind::MemoryExhausted),
        (format!("SELECT count(repeat('xy', n * 100000)) FROM {rows}"), ErrorKind::MemoryExhausted),
        ("SELECT lpad('a', 1073741824, 'a')".to_owned(), ErrorKind::MemoryExhausted),
        (format!("SELECT count(rpad(n::varchar, 1000000, 'ä')) FROM {rows}"), ErrorKind::MemoryExhausted),
        ("SELECT replace(repeat('a', 1000000), 'a', repeat('b', 1000000))".to_owned(), ErrorKind::MemoryExhausted),
        (
            "SELECT regexp_replace(repeat('a', 1000000), 'a', repeat('b', 1000000), 'g')".to_owned(),
            ErrorKind::MemoryExhausted,
        ),
        ("SELECT generate_series(9876543210)".to_owned(), ErrorKind::MemoryExhausted),
        ("SELECT range(0, 9223372036854775807)".to_owned(), ErrorKind::MemoryExhausted),
        ("SELECT range(9223372036854775807, -9223372036854775807, -1)".to_owned(), ErrorKind::MemoryExhausted),
        (
            "SELECT generate_series(TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 microsecond')"
                .to_owned(),
            ErrorKind::MemoryExhausted,
        ),
        (format!("SELECT count(range(n * 1000)) FROM {rows}"), ErrorKind::MemoryExhausted),
        ("SELECT array_repeat(1, 1000000000)".to_owned(), ErrorKind::MemoryExhausted),
        ("SELECT array_repeat(repeat('x', 1000000), 1000)".to_owned(), ErrorKind::MemoryExhausted),
        ("SELECT list_resize([1], 1000000000, 0)".to_owned(), ErrorKind::MemoryExhausted),
        (
            format!(
                "SELECT sum(length(concat(repeat('x', 8000), repeat('y', 8000), n, d.s))) FROM {rows}, (SELECT repeat('z', 60000) AS s) AS d"
            ),
            ErrorKind::MemoryExhausted,
        ),
        (format!("SELECT regexp_like('a', '{}')", "a".repeat(10_001)), ErrorKind::QueryTooComplex),
        (
            format!("SELECT sum(length(d.s || d.s || n)) FROM {rows}, (SELECT repeat('z', 40000) AS s) AS d"),
            ErrorKind::MemoryExhausted,
        ),
        (
            format!("SELECT sum(array_length(d.l || d.l)) FROM {rows}, (SELECT range(5000) AS l) AS d"),
            ErrorKind::MemoryExhausted,
        ),
        ("SELECT levenshtein(repeat('a', 100000), repeat('b', 100000))".to_owned(), ErrorKind::QueryTooComplex),
    ];
    for (sql, kind) in cases {
        let error = run(&session, &sql).await.expect_err(&sql);
        let DataFusionError::External(cause) = error.find_root() else { panic!("{sql}: {error}") };
        let cause = cause.downcast_ref::<Error>().unwrap_or_else(|| panic!("{sql}: {cause}"));
        assert_eq!(cause.kind(), kind, "{sql}: {cause}");
        assert!(cause.message().starts_with("function "), "{cause}");
    }
}

#[tokio::test]
async fn ordinary_calls_answer_as_the_engine_does() {
    let (ours, engine) = (session(), SessionContext::new());
    for sql in [
        "SELECT repeat('ab', 3)",
        "SELECT repeat('ab', -1)",
        "SELECT repeat(NULL, 3)",
        "SELECT lpad('hi', 5, 'xy'), rpad('hi', 5), lpad('hi', -5)",
        "SELECT replace('banana', 'an', 'AN')",
        "SELECT regexp_replace('banana', '(an)', '[\\1]', 'g')",
        "SELECT regexp_like('banana', '^ban'), regexp_count('banana', 'a')",
        "SELECT concat('a', NULL, 1), concat_ws('-', 'a', 'b')",
        "SELECT array_to_string([1, 2, 3], ', ')",
        "SELECT [1, 2], array_concat([1], [2]), array_append([1], 2), array_prepend(0, [1]), list_cat([1], [2])",
        "SELECT 'a' || 'b', 'a' || NULL, 'a' || 1, 2 || 'b', [1] || [2], [1] || 2, arrow_cast('a', 'Utf8View') || 'b'",
        "SELECT s || s, count(*) FROM (VALUES ('a'), ('a')) AS t (s) GROUP BY s || s ORDER BY s || s",
        "SELECT array_repeat('x', 3), array_resize([1], 3, 0), list_repeat(1, 2)",
        "SELECT generate_series(1, 5), range(5), range(5, 1, -2), range(NULL)",
        "SELECT generate_series(DATE '2024-01-01', DATE '2024-03-01', INTERVAL '1 month')",
        "SELECT levenshtein('kitten', 'sitting'), encode('ab', 'hex'), overlay('abc' placing 'x' from 2)",
        "SELECT replace(repeat('abc', 100000), 'b', repeat('x', 200)) = replace(repeat('abc', 100000), 'b', repeat('x', 200))",
        "SELECT sum(length(replace(repeat('abc', 1000), 'b', repeat('x', n)))) FROM (SELECT * FROM generate_series(1, 100)) AS s (n)",
    ] {
        assert_eq!(run(&ours, sql).await.unwrap(), run(&engine, sql).await.unwrap(), "{sql}");
    }
}

#[tokio::test]
async fn functions_that_name_files_are_gone() {
    assert!(run(&session(), "SELECT input_file_name()").await.is_err());
}
