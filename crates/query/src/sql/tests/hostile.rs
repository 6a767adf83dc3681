//! Statements that are too long, deep or wide, on a small stack.

use lakebed_types::ErrorKind;

use super::{super::*, limits};

/// Bytes of stack, a fraction of what any thread of the server has.
const STACK: usize = 1 << 20;

fn kind_of(sql: String) -> Result<ErrorKind, String> {
    let run = move || match parse(&sql, &limits()) {
        Ok(_) => Err("it parses".to_owned()),
        Err(error) if error.message().chars().any(|c| c.is_ascii_digit()) => Ok(error.kind()),
        Err(error) => Err(format!("{error} names no number")),
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

fn doubling_ctes(levels: usize) -> String {
    let steps: Vec<_> = (1..levels).map(|n| format!("c{n} AS (SELECT a.x FROM c{0} a, c{0} b)", n - 1)).collect();
    format!("WITH c0 AS (SELECT 1 AS x), {} SELECT * FROM c{}", steps.join(", "), levels - 1)
}

fn nested_withs(levels: usize) -> String {
    (0..levels).fold("SELECT 1".to_owned(), |inner, n| format!("WITH c{n} AS ({inner}) SELECT * FROM c{n}"))
}

#[test]
fn too_complex_statements_name_the_limit_on_a_small_stack() {
    let cases: Vec<(&str, String)> = vec![
        ("bytes", format!("SELECT '{}'", "x".repeat(300_000))),
        ("sum", format!("SELECT 1{}", "+1".repeat(100_000))),
        ("sum, just over", format!("SELECT 1{}", "+1".repeat(501))),
        ("brackets", format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000))),
        ("open brackets", format!("SELECT {}", "(".repeat(5_000))),
        ("brackets in FROM", format!("SELECT * FROM {}t{}", "(".repeat(5_000), ")".repeat(5_000))),
        ("brackets around a query", format!("{}SELECT 1{}", "(".repeat(5_000), ")".repeat(5_000))),
        ("NOT", format!("SELECT {}true", "NOT ".repeat(5_000))),
        ("minus", format!("SELECT {}1", "- ".repeat(5_000))),
        ("CASE", format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(2_000), " END".repeat(2_000))),
        ("OR", format!("SELECT * FROM t WHERE a=0{}", " OR a=1".repeat(20_000))),
        ("AND", format!("SELECT * FROM t WHERE a=0{}", " AND b<>1".repeat(20_000))),
        ("concatenation", format!("SELECT ''{}", "||'a'".repeat(20_000))),
        ("casts", format!("SELECT 1{}", "::int".repeat(20_000))),
        ("subscripts", format!("SELECT a{}", "[1]".repeat(20_000))),
        ("fields", format!("SELECT a{}", ".b".repeat(20_000))),
        ("IS NULL", format!("SELECT a{}", " IS NULL".repeat(20_000))),
        ("DISTINCT FROM", format!("SELECT a{}", " IS DISTINCT FROM b".repeat(10_000))),
        ("BETWEEN", format!("SELECT a{}", " BETWEEN 1 AND 2".repeat(10_000))),
        (
            "chains inside chains",
            (0..40)
                .fold("1".into(), |sql: String, _| format!("({sql}{})", "+1".repeat(400)))
                .replacen('(', "SELECT (", 1),
        ),
        ("UNION", format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5_000))),
        ("joins", format!("SELECT * FROM t{}", " JOIN t ON true".repeat(5_000))),
        ("comma joins", format!("SELECT * FROM t{}", ", t".repeat(5_000))),
        ("pipes", format!("FROM t{}", " |> WHERE a > 1".repeat(5_000))),
        ("list", format!("SELECT a IN (0{})", ",1".repeat(20_000))),
        ("rows", format!("VALUES (0){}", ",(1)".repeat(20_000))),
        ("columns", format!("SELECT 0{}", ",1".repeat(3_000))),
        ("subqueries", format!("SELECT 0{}", ",(SELECT 1)".repeat(1_000))),
        ("functions", format!("SELECT {}1{}", "abs(".repeat(5_000), ")".repeat(5_000))),
        ("types", format!("SELECT CAST(a AS {}INT{})", "ARRAY<".repeat(5_000), ">".repeat(5_000))),
        ("array types", format!("SELECT CAST(a AS INT{})", "[]".repeat(20_000))),
        ("arrays", format!("SELECT {}1{}", "[".repeat(5_000), "]".repeat(5_000))),
        ("structs", format!("SELECT {}1{}", "{a:".repeat(5_000), "}".repeat(5_000))),
        ("lambdas", format!("SELECT f({}1)", "x -> ".repeat(5_000))),
        ("intervals", format!("SELECT {}'1'", "INTERVAL ".repeat(5_000))),
        (
            "CTEs",
            format!(
                "WITH c AS (SELECT 1){} SELECT 1",
                (0..200).map(|n| format!(", c{n} AS (SELECT 1)")).collect::<String>()
            ),
        ),
        ("doubling CTEs", doubling_ctes(30)),
        ("WITH inside WITH", nested_withs(20)),
        ("PRIOR", format!("SELECT {}1", "PRIOR ".repeat(5_000))),
        ("COLLATE", format!("SELECT a{}", " COLLATE x".repeat(10_000))),
        ("AT TIME ZONE", format!("SELECT a{}", " AT TIME ZONE 'x'".repeat(10_000))),
        ("LIKE", format!("SELECT a{}", " LIKE 'x'".repeat(10_000))),
        ("arrows", format!("SELECT a{}", "->'x'".repeat(10_000))),
    ];
    let outcomes = cases.into_iter().map(|(name, sql)| (name, kind_of(sql)));
    let wrong: Vec<_> = outcomes.filter(|(_, kind)| *kind != Ok(ErrorKind::QueryTooComplex)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn deep_nesting_that_tempts_the_parser_to_try_again_and_again_ends_quickly() {
    let cases = [
        format!("SELECT * FROM {}t{}", "(".repeat(45), ")".repeat(45)),
        format!("SELECT * FROM {}t JOIN u ON true{}", "(".repeat(45), ")".repeat(45)),
        format!("SELECT {}1{}", "IF(".repeat(45), ",1,1)".repeat(45)),
        format!("SELECT {}1{}", "ARRAY(".repeat(45), ")".repeat(45)),
        format!("SELECT {}1{}", "f(x -> ".repeat(45), ")".repeat(45)),
        format!("SELECT {}1{}", "(a, ".repeat(45), ")".repeat(45)),
        format!("SELECT {}1{}", "CAST(".repeat(45), " AS INT)".repeat(45)),
        format!("SELECT {}1{}", "STRUCT(".repeat(45), ")".repeat(45)),
        format!("SELECT {}1{}", "MAP{'a':".repeat(45), "}".repeat(45)),
        format!("SELECT a{}1{}", ".b(".repeat(45), ")".repeat(45)),
        format!("SELECT {}1", "CASE ".repeat(45)),
        format!("SELECT {}1", "INTERVAL ".repeat(45)),
        format!("SELECT {}'1'{}", "INTERVAL (".repeat(45), ")".repeat(45)),
        format!("SELECT {}1{}", "INTERVAL -(".repeat(45), ")".repeat(45)),
        format!("SELECT {}1", "NOT EXISTS (".repeat(45)),
        format!("SELECT {}1", "x IN (".repeat(45)),
        format!("SELECT {}1", "POSITION(".repeat(45)),
        format!("SELECT {}1", "OVERLAY(".repeat(45)),
        format!("SELECT {}1", "CONVERT(".repeat(45)),
        format!("SELECT {}1", "CONVERT(POSITION(OVERLAY(".repeat(15)),
        format!("SELECT {}1", "EXTRACT(x FROM ".repeat(45)),
        format!("SELECT a.{}", "b.(".repeat(45)),
        format!("SELECT {}", "SUBSTRING(x FROM ".repeat(45)),
        format!("SELECT {}x", "DATE ".repeat(45)),
        format!("SELECT {}x", "a -> ".repeat(45)),
    ];
    for sql in cases {
        // Whether it parses is not the point; that it comes back is.
        let done = std::thread::Builder::new().stack_size(STACK).spawn({
            let sql = sql.clone();
            move || drop(parse(&sql, &limits()))
        });
        done.unwrap().join().unwrap_or_else(|_| panic!("{sql}"));
    }
}

#[test]
fn large_statements_within_the_limits_parse_on_a_small_stack() {
    let cases = vec![
        format!("SELECT 1{}", "+1".repeat(498)),
        format!("SELECT * FROM t WHERE a=0{}", " OR a=1".repeat(490)),
        format!("SELECT a IN (0{})", ",1".repeat(9_000)),
        format!("SELECT 0{}", ",1".repeat(1_900)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(90)),
        format!("SELECT {}1{}", "(".repeat(40), ")".repeat(40)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(20), " END".repeat(20)),
        doubling_ctes(9),
        nested_withs(7),
    ];
    for sql in cases {
        let start: String = sql.chars().take(60).collect();
        let parse_it =
            move || parse(&sql, &limits()).map(|statement| drop(statement.clone())).map_err(|e| e.to_string());
        let outcome = std::thread::Builder::new().stack_size(STACK).spawn(parse_it).unwrap().join().unwrap();
        assert_eq!(outcome, Ok(()), "{start}");
    }
}

#[test]
fn what_is_not_sql_is_a_syntax_error() {
    for sql in [
        "",
        "   ",
        ";",
        "-- nothing",
        "SELECT",
        "SELECT 1 FROM",
        "SELECT 1; SELECT 2",
        "'",
        "(",
        "SELECT ((1)",
        "1",
        "SELECT 1 2 3",
        "SELECT $1, ?",
        "/* open",
    ] {
        let error = parse(sql, &limits()).expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::SyntaxError, "{sql}: {error}");
    }
}
