//! Statements and their kinds.

use lakebed_types::{ErrorKind, StatementKind as K};

use super::{super::*, limits, parsed};

#[test]
fn statements_have_kinds() {
    let cases = [
        ("SELECT 1", K::Select),
        ("select 1;", K::Select),
        ("(SELECT 1) UNION SELECT 2", K::Select),
        ("WITH a AS (SELECT 1) SELECT * FROM a", K::Select),
        ("FROM t", K::Select),
        ("FROM t SELECT a", K::Select),
        ("TABLE t", K::Select),
        ("VALUES (1), (2)", K::Select),
        ("-- a comment\nSELECT 1", K::Select),
        ("EXPLAIN SELECT 1", K::Explain),
        ("EXPLAIN VERBOSE SELECT 1", K::Explain),
        ("EXPLAIN (SELECT 1)", K::Explain),
        ("EXPLAIN (FORMAT tree) SELECT 1", K::Explain),
        ("EXPLAIN (ANALYZE false) SELECT 1", K::Explain),
        ("EXPLAIN FORMAT TREE FROM t", K::Explain),
        ("EXPLAIN ANALYZE SELECT 1", K::ExplainAnalyze),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1", K::ExplainAnalyze),
        ("EXPLAIN VERBOSE ANALYZE SELECT 1", K::ExplainAnalyze),
        ("EXPLAIN (VERBOSE, ANALYZE) SELECT 1", K::ExplainAnalyze),
        ("SHOW DATABASES", K::Show),
        ("SHOW SCHEMAS LIKE 'a%'", K::Show),
        ("SHOW TABLES", K::Show),
        ("SHOW TABLES IN db LIKE 'x%'", K::Show),
        ("SHOW TABLES FROM db 'x%'", K::Show),
        ("SHOW VIEWS IN db", K::Show),
        ("SHOW COLUMNS FROM t", K::Show),
        ("SHOW COLUMNS IN t FROM db", K::Show),
        ("SHOW CREATE TABLE db.t", K::Show),
        ("SHOW CREATE VIEW v", K::Show),
        ("SHOW PARTITIONS t", K::Show),
        ("SHOW FUNCTIONS", K::Show),
        ("SHOW ALL", K::Show),
        ("SHOW timezone", K::Show),
        ("DESCRIBE t", K::Describe),
        ("DESC db.t", K::Describe),
        ("DESCRIBE EXTENDED t", K::Describe),
        ("DESCRIBE SELECT 1", K::Describe),
        ("DESCRIBE 's3://b/x.parquet'", K::Describe),
        ("SET timezone = 'UTC'", K::Set),
        ("SET datafusion.execution.batch_size TO 100", K::Set),
        ("SET TIME ZONE 'UTC'", K::Set),
        ("INSERT INTO t VALUES (1)", K::Insert),
        ("INSERT INTO db.t (a, b) SELECT 1, 2", K::Insert),
        ("INSERT INTO t (SELECT 1)", K::Insert),
        ("COPY t TO 's3://b/x.parquet'", K::CopyTo),
        ("COPY (SELECT 1) TO 's3://b/x' STORED AS CSV", K::CopyTo),
        ("COPY t TO 's3://b/x' (FORMAT parquet, COMPRESSION zstd)", K::CopyTo),
        ("CREATE DATABASE d", K::CreateDatabase),
        ("CREATE SCHEMA IF NOT EXISTS d COMMENT 'x' LOCATION 's3://b/'", K::CreateDatabase),
        ("DROP DATABASE IF EXISTS d CASCADE", K::DropDatabase),
        ("DROP SCHEMA d", K::DropDatabase),
        ("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://b/t/'", K::CreateExternalTable),
        ("CREATE EXTERNAL TABLE t LOCATION 's3://b/t/'", K::CreateExternalTable),
        (
            "CREATE OR REPLACE EXTERNAL TABLE t (A int, b varchar) PARTITIONED BY (dt date) STORED AS CSV LOCATION 's3://b/t/'",
            K::CreateExternalTable,
        ),
        ("CREATE TABLE t AS SELECT 1", K::CreateTableAs),
        ("CREATE OR REPLACE TABLE t AS FROM u", K::CreateTableAs),
        (
            "CREATE TABLE t WITH (format = 'PARQUET', partitioned_by = ARRAY['a', 'b']) AS SELECT 1 a, 2 b",
            K::CreateTableAs,
        ),
        ("CREATE VIEW v AS SELECT 1", K::CreateView),
        ("CREATE OR REPLACE VIEW v (a) AS SELECT 1", K::CreateView),
        ("DROP TABLE IF EXISTS db.t", K::DropTable),
        ("DROP VIEW v", K::DropView),
    ];
    for (sql, kind) in cases {
        assert_eq!(parsed(sql).kind, kind, "{sql}");
    }
}

#[test]
fn other_statements_are_unsupported_by_name() {
    let cases = [
        ("UPDATE t SET a = 1", "UPDATE"),
        ("DELETE FROM t", "DELETE"),
        ("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "MERGE"),
        ("TRUNCATE TABLE t", "TRUNCATE"),
        ("GRANT SELECT ON t TO u", "GRANT"),
        ("REVOKE SELECT ON t FROM u", "REVOKE"),
        ("BEGIN", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXECUTE p", "EXECUTE"),
        ("DEALLOCATE p", "DEALLOCATE"),
        ("COPY t FROM 's3://b/x'", "COPY FROM"),
        ("COPY INTO t FROM x", "COPY INTO"),
        ("LOAD DATA INPATH 'x' INTO TABLE t", "LOAD DATA"),
        ("LOAD httpfs", "LOAD HTTPFS"),
        ("INSTALL httpfs", "INSTALL"),
        ("ATTACH 'x.db'", "ATTACH"),
        ("DETACH x", "DETACH"),
        ("CREATE FUNCTION f() RETURNS INT RETURN 1", "CREATE FUNCTION"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS INT RETURN 1", "CREATE FUNCTION"),
        ("CREATE INDEX i ON t (a)", "CREATE INDEX"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED"),
        ("CREATE SECRET s (TYPE s3)", "CREATE SECRET"),
        ("CREATE TEMP TABLE t AS SELECT 1", "CREATE TEMP"),
        ("CREATE TABLE t (a INT)", "CREATE TABLE without a query"),
        ("DROP FUNCTION f", "DROP FUNCTION"),
        ("ALTER TABLE t ADD COLUMN a INT", "ALTER TABLE"),
        ("USE db", "USE"),
        ("RESET ALL", "RESET"),
        ("PRAGMA x", "PRAGMA"),
        ("CALL f()", "CALL"),
        ("VACUUM", "VACUUM"),
        ("KILL 5", "KILL"),
        ("MSCK REPAIR TABLE t", "MSCK"),
        ("EXPLAIN EXPLAIN SELECT 1", "EXPLAIN EXPLAIN"),
        ("EXPLAIN COPY t TO 'x'", "EXPLAIN COPY"),
        ("EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "EXPLAIN INSERT"),
        ("SELECT 1 INTO t", "SELECT INTO"),
        ("SELECT * FROM t TABLESAMPLE (10)", "TABLESAMPLE"),
        ("SELECT * FROM t FOR UPDATE", "FOR UPDATE"),
        ("SELECT * FROM read_text('x')", "table function read_text"),
        ("SELECT * FROM glob('*')", "table function glob"),
        ("SELECT * FROM t, LATERAL secrets()", "table function secrets"),
        ("CREATE VIEW v AS SELECT $1", "parameters"),
    ];
    for (sql, name) in cases {
        let error = parse(sql, &limits()).expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error}");
        assert!(error.message().contains(name), "{sql}: {error}");
    }
}

#[test]
fn clauses_that_a_planner_would_leave_out_are_errors() {
    for sql in [
        "SELECT a FROM t GROUP BY a WITH ROLLUP",
        "SELECT a FROM t PREWHERE a > 1",
        "SELECT a FROM t CONNECT BY a = 1",
        "SELECT a FROM t SETTINGS x = 1",
        "SELECT a FROM t FORMAT JSON",
        "SELECT a FROM t LIMIT 1 BY a",
        "SELECT a FROM t VERSION AS OF 5",
        "SELECT * FROM t PARTITION (p)",
        "SELECT a FROM t WITH (NOLOCK)",
        "SELECT a FROM t UNION SELECT * FROM u ORDER BY ALL FETCH FIRST 5 PERCENT ROWS ONLY",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
    ] {
        assert!(parse(sql, &limits()).is_err(), "{sql}");
    }
}

#[test]
fn show_and_describe_say_what_is_asked_for() {
    let name = |parts: &[&str]| QualifiedName::new(parts.iter().map(|part| (*part).to_owned()).collect()).unwrap();
    let cases = [
        ("SHOW TABLES IN Db LIKE 'X%'", Show::Tables { database: Some("db".into()), like: Some("X%".into()) }),
        ("SHOW DATABASES", Show::Databases { like: None }),
        ("SHOW COLUMNS FROM T IN Db", Show::Columns { table: name(&["db", "t"]) }),
        ("SHOW COLUMNS IN \"Db\".\"T\"", Show::Columns { table: name(&["db", "t"]) }),
        ("SHOW CREATE TABLE t", Show::CreateTable { table: name(&["t"]) }),
        ("SHOW PARTITIONS a.b.c", Show::Partitions { table: name(&["a", "b", "c"]) }),
        (
            "SHOW datafusion.execution.batch_size",
            Show::Setting { name: Some("datafusion.execution.batch_size".into()) },
        ),
        ("SHOW ALL", Show::Setting { name: None }),
    ];
    for (sql, expected) in cases {
        match parsed(sql).ast {
            Ast::Show(show) => assert_eq!(show, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
    assert!(parse("SHOW TABLES IN a b c", &limits()).is_err());
}

#[test]
fn statements_that_write_keep_their_clauses() {
    let Ast::CopyTo(copy) = parsed("COPY t TO 's3://B/X' (FORMAT PARQUET, compression 'ZSTD', header)").ast else {
        panic!()
    };
    assert_eq!((copy.target.as_str(), copy.format.as_deref()), ("s3://B/X", Some("parquet")));
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(copy.options, [option("compression", "ZSTD"), option("header", "true")]);
    assert_eq!(copy.source.references.tables[0].to_string(), "t");

    let sql = "CREATE EXTERNAL TABLE IF NOT EXISTS Db.T (VendorID BIGINT, \"Name\" VARCHAR) PARTITIONED BY (Dt DATE) LOCATION 's3://B/T/'";
    let Ast::CreateExternalTable(table) = parsed(sql).ast else { panic!() };
    let column = |name: &str, sql_type: &str| ColumnDefinition { name: name.to_owned(), sql_type: sql_type.to_owned() };
    assert_eq!(table.columns, [column("vendorid", "BIGINT"), column("name", "VARCHAR"), column("dt", "DATE")]);
    assert_eq!((table.format, table.location.as_str()), (None, "s3://B/T/"));
    assert_eq!((table.partitioned_by, table.if_not_exists), (vec!["dt".to_owned()], true));

    let Ast::CreateView(view) = parsed("CREATE VIEW v AS\n  SELECT VendorID, 'ü' FROM T -- end\n;").ast else {
        panic!()
    };
    assert_eq!(view.query_sql, "SELECT VendorID, 'ü' FROM T");

    let sql = "CREATE TABLE t WITH (format = 'PARQUET', partitioned_by = ARRAY['a','b'], external_location = 's3://X/') AS SELECT 1 a, 2 b";
    let Ast::CreateTableAs(table) = parsed(sql).ast else { panic!() };
    assert_eq!((table.format.as_deref(), table.location.as_deref()), (Some("parquet"), Some("s3://X/")));
    assert_eq!(table.partitioned_by, ["a", "b"]);

    let Ast::Set { name, value } = parsed("SET Datafusion.X = -5").ast else { panic!() };
    assert_eq!((name.as_str(), value.as_str()), ("datafusion.x", "-5"));
}
