//! The dialect against the engine: what is rewritten here must plan and run there.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema},
        util::pretty::pretty_format_batches,
    },
    execution::SessionStateBuilder,
    prelude::{SessionConfig, SessionContext},
    sql::parser::Statement as EngineStatement,
};
use serde_json::json;

use super::{super::*, limits, parsed};
use crate::Parameters;

/// A session as the engine sets it up, with tables `t(vendorid, fare, name)` and `u(vendorid, tip)`.
fn session() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    planner_options(config.options_mut(), &limits());
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    crate::functions::register(&mut state).unwrap();
    let session = SessionContext::new_with_state(state);
    let ints = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as _;
    let t = Schema::new(vec![
        Field::new("vendorid", DataType::Int64, true),
        Field::new("fare", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ]);
    let names = Arc::new(StringArray::from(vec!["a", "b", "a"]));
    let t = RecordBatch::try_new(
        Arc::new(t),
        vec![ints(vec![Some(1), Some(2), Some(3)]), ints(vec![Some(10), None, Some(30)]), names],
    );
    session.register_batch("t", t.unwrap()).unwrap();
    let u = Schema::new(vec![Field::new("vendorid", DataType::Int64, true), Field::new("tip", DataType::Int64, true)]);
    let u = RecordBatch::try_new(Arc::new(u), vec![ints(vec![Some(1), Some(3)]), ints(vec![Some(5), Some(6)])]);
    session.register_batch("u", u.unwrap()).unwrap();
    session
}

/// Runs a query; its first line holds the result's names.
async fn answer(sql: &str, parameters: Parameters) -> Result<Vec<String>, String> {
    let session = session();
    let statement = parse(sql, &limits()).map_err(|error| error.to_string())?;
    let Ast::Query(ast) = &statement.ast else { return Err("no query".to_owned()) };
    let plan = session.state().statement_to_plan(EngineStatement::Statement(ast.clone())).await;
    let plan = plan.map_err(|error| error.to_string())?;
    let values = bind(&plan, &parameters).map_err(|error| error.to_string())?;
    let plan = plan.with_param_values(values).map_err(|error| error.to_string())?;
    let fields: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    let spelling = HashMap::from([("vendorid".to_owned(), "VendorID".to_owned())]);
    let names = output_names(&statement, fields.iter().map(String::as_str), &spelling);
    let frame = session.execute_logical_plan(plan).await.map_err(|error| error.to_string())?;
    let batches = frame.collect().await.map_err(|error| error.to_string())?;
    let table = pretty_format_batches(&batches).map_err(|error| error.to_string())?.to_string();
    let rows = table.lines().skip(3).filter(|line| line.starts_with('|'));
    let rows = rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(","));
    Ok(std::iter::once(names.join(",")).chain(rows).collect())
}

#[tokio::test]
async fn friendly_queries_run() {
    let cases: Vec<(&str, &[&str])> = vec![
        ("FROM T", &["VendorID,fare,name", "1,10,a", "2,,b", "3,30,a"]),
        ("FROM t SELECT \"VendorID\" LIMIT 1", &["VendorID", "1"]),
        ("SELECT name, sum(fare) FROM t GROUP BY ALL ORDER BY ALL", &["name,sum(fare)", "a,40", "b,"]),
        ("SELECT fare FROM t ORDER BY fare", &["fare", "10", "30", ""]),
        ("SELECT fare FROM t ORDER BY fare DESC", &["fare", "30", "10", ""]),
        ("SELECT * EXCLUDE (name) FROM t LIMIT 1", &["VendorID,fare", "1,10"]),
        ("SELECT * EXCLUDE name FROM t LIMIT 1", &["VendorID,fare", "1,10"]),
        ("SELECT * REPLACE (fare + 1 AS fare) FROM t LIMIT 1", &["VendorID,fare,name", "1,11,a"]),
        (
            "SELECT vendorid FROM t QUALIFY row_number() OVER (PARTITION BY name ORDER BY vendorid) = 1 ORDER BY 1",
            &["VendorID", "1", "2"],
        ),
        ("SELECT vendorid, VENDORID, t.vendorid FROM t LIMIT 1", &["VendorID,VendorID_1,VendorID_2", "1,1,1"]),
        ("SELECT *, vendorid FROM t LIMIT 1", &["VendorID,fare,name,VendorID_1", "1,10,a,1"]),
        (
            "SELECT * FROM t JOIN u ON t.vendorid = u.vendorid ORDER BY 1 LIMIT 1",
            &["VendorID,fare,name,VendorID_1,tip", "1,10,a,1,5"],
        ),
        (
            "SELECT t.vendorid, u.vendorid FROM t JOIN u USING (vendorid) ORDER BY 1 LIMIT 1",
            &["VendorID,VendorID_1", "1,1"],
        ),
        (
            "SELECT s.vendorid_1 FROM (SELECT t.vendorid, u.vendorid FROM t JOIN u USING (vendorid)) s ORDER BY 1 LIMIT 1",
            &["vendorid_1", "1"],
        ),
        ("SELECT \"sum(fare)\" FROM (SELECT sum(fare) FROM t)", &["sum(fare)", "40"]),
        ("SELECT count(*), count(*) FROM t", &["count(*),count(*)_1", "3,3"]),
        ("SELECT count(*) AS N, avg(fare) FROM t HAVING count(*) > 1", &["N,avg(fare)", "3,20.0"]),
        ("SELECT DISTINCT fare + 1 FROM t ORDER BY fare + 1", &["fare + 1", "11", "31", ""]),
        ("SELECT fare + 1 FROM t GROUP BY fare + 1 ORDER BY fare + 1", &["fare + 1", "11", "31", ""]),
        ("SELECT sum(fare) FROM t GROUP BY name ORDER BY sum(fare)", &["sum(fare)", "40", ""]),
        (
            "SELECT DISTINCT ON (name) name, vendorid FROM t ORDER BY name, vendorid DESC",
            &["name,VendorID", "a,3", "b,2"],
        ),
        ("SELECT name, count(*) FROM t GROUP BY ROLLUP (name) ORDER BY 1", &["name,count(*)", "a,2", "b,1", ",3"]),
        ("SELECT (SELECT max(tip) FROM u)", &["(SELECT max(tip) FROM u)", "6"]),
        (
            "SELECT vendorid FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.vendorid = t.vendorid) ORDER BY 1",
            &["VendorID", "1", "3"],
        ),
        ("SELECT vendorid FROM t WHERE vendorid IN (SELECT max(tip) - 3 FROM u)", &["VendorID", "3"]),
        ("SELECT array_transform([1, 2], x -> x + 1) AS l", &["l", "[2, 3]"]),
        ("SELECT unnest([1, 2])", &["unnest([1, 2])", "1", "2"]),
        ("SELECT * FROM unnest([1, 2]) AS s (x)", &["x", "1", "2"]),
        ("SELECT * FROM generate_series(1, 2)", &["value", "1", "2"]),
        ("SELECT s['B'] FROM (SELECT {'B': 7} AS s)", &["s['B']", "7"]),
        ("SELECT s.b FROM (SELECT {'b': 7} AS s)", &["b", "7"]),
        ("SELECT 1 + 1, 'x', 0.1 + 0.2 = 0.3", &["1 + 1,'x',0.1 + 0.2 = 0.3", "2,x,true"]),
        ("SELECT CASE WHEN fare > 10 THEN 'big' ELSE 'small' END AS Size FROM t LIMIT 1", &["Size", "small"]),
        ("SELECT rank() OVER w FROM t WINDOW w AS (ORDER BY vendorid) LIMIT 1", &["rank() OVER w", "1"]),
        ("SELECT sum(fare) FILTER (WHERE name = 'a') FROM t", &["sum(fare) FILTER (WHERE name = 'a')", "40"]),
        ("WITH C AS (SELECT fare AS Amount FROM t) SELECT amount FROM c ORDER BY 1 LIMIT 1", &["Amount", "10"]),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r ORDER BY n",
            &["n", "1", "2", "3"],
        ),
        ("SELECT name FROM t UNION SELECT 'z' ORDER BY ALL", &["name", "a", "b", "z"]),
        ("SELECT * FROM t ORDER BY ALL LIMIT 1", &["VendorID,fare,name", "1,10,a"]),
        ("FROM t |> WHERE fare > 10 |> SELECT vendorid", &["VendorID", "3"]),
        ("SELECT fare, FROM t LIMIT 1", &["fare", "10"]),
        ("SELECT vendorid FROM t LIMIT 1, 1", &["VendorID", "2"]),
        ("SELECT vendorid FROM t OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY", &["VendorID", "2"]),
        ("SELECT 1_000", &["1_000", "1000"]),
        ("SELECT EXTRACT(YEAR FROM DATE '2024-05-06') AS y", &["y", "2024"]),
        ("SELECT name || '!' FROM t LIMIT 1", &["name || '!'", "a!"]),
        ("SELECT vendorid NOTNULL FROM t LIMIT 1", &["VendorID IS NOT NULL", "true"]),
        ("VALUES (1, 'a')", &["column1,column2", "1,a"]),
        ("SELECT t.* FROM t LIMIT 1", &["VendorID,fare,name", "1,10,a"]),
        ("SELECT count(DISTINCT name) FROM t", &["count(DISTINCT name)", "2"]),
        ("SELECT max(vendorid) - min(vendorid) AS \"Span\" FROM t", &["Span", "2"]),
    ];
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        match answer(sql, Parameters::None).await {
            Ok(rows) if rows == expected => {}
            other => wrong.push(format!("{sql}\n   {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn parameters_are_bound_by_type() {
    let positional = |values: &[serde_json::Value]| Parameters::Positional(values.to_vec());
    let named = |values: &[(&str, serde_json::Value)]| {
        Parameters::Named(values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let cases: Vec<(&str, Parameters, &[&str])> = vec![
        ("SELECT vendorid FROM t WHERE vendorid = $1", positional(&[json!(2)]), &["VendorID", "2"]),
        (
            "SELECT vendorid FROM t WHERE vendorid = ? AND name = ?",
            positional(&[json!("2"), json!("b")]),
            &["VendorID", "2"],
        ),
        ("SELECT vendorid FROM t WHERE fare > $1", positional(&[json!(10.5)]), &["VendorID", "3"]),
        (
            "SELECT vendorid FROM t WHERE name = :Name AND vendorid > $low",
            named(&[("name", json!("a")), ("$low", json!(1))]),
            &["VendorID", "3"],
        ),
        (
            "SELECT vendorid FROM t WHERE vendorid IN ($1, $2) ORDER BY 1 LIMIT $3",
            positional(&[json!(1), json!(3), json!(1)]),
            &["VendorID", "1"],
        ),
        ("SELECT $1 AS a, $2 AS b", positional(&[json!("x"), json!(null)]), &["a,b", "x,"]),
        ("SELECT vendorid FROM t WHERE name = $1", positional(&[json!("' OR 1=1 --")]), &["VendorID"]),
        ("SELECT DATE '2024-01-02' = $1 AS a", positional(&[json!("2024-01-02")]), &["a", "true"]),
    ];
    for (sql, parameters, expected) in cases {
        assert_eq!(
            answer(sql, parameters).await.as_deref(),
            Ok(expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().as_slice()),
            "{sql}"
        );
    }
    let wrong = [
        ("SELECT vendorid FROM t WHERE vendorid = $1", Parameters::None, "parameter $1 has no value"),
        ("SELECT vendorid FROM t WHERE vendorid = $1", positional(&[]), "parameter $1 has no value"),
        (
            "SELECT vendorid FROM t WHERE vendorid = $1",
            positional(&[json!(1), json!(2)]),
            "2 parameters are given, the statement has 1",
        ),
        ("SELECT vendorid FROM t WHERE vendorid = $1", positional(&[json!("x")]), "parameter $1: \"x\" is not BIGINT"),
        (
            "SELECT vendorid FROM t WHERE name = $1",
            positional(&[json!({"a": 1})]),
            "parameter $1: {\"a\":1} is not VARCHAR",
        ),
        ("SELECT vendorid FROM t WHERE name = $a", named(&[("b", json!(1))]), "the statement has no parameter $b"),
        ("SELECT vendorid FROM t WHERE name = $a", named(&[]), "parameter $a has no value"),
        ("SELECT 1", positional(&[json!(1)]), "1 parameters are given, the statement has 0"),
    ];
    for (sql, parameters, message) in wrong {
        assert_eq!(answer(sql, parameters).await, Err(message.to_owned()), "{sql}");
    }
}

#[tokio::test]
async fn columns_that_differ_by_case_keep_their_spelling() {
    let session = session();
    let columns = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("A", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(
        Arc::new(columns),
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(Int64Array::from(vec![2]))],
    );
    session.register_batch("c", batch.unwrap()).unwrap();
    let mut statement = parsed("SELECT a, A FROM C");
    fold(&mut statement, &["A".to_owned()].into()).unwrap();
    // The fold also leaves the table's name alone where it is spelled so; here it is not.
    let Ast::Query(ast) = statement.ast else { panic!() };
    let plan = session.state().statement_to_plan(EngineStatement::Statement(ast)).await.unwrap();
    let batches = session.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
    assert!(pretty_format_batches(&batches).unwrap().to_string().contains("| 1 | 2 |"));
}
