//! Statements that try to break the server: each ends in a clear error in time, and the next query answers.

use lakebed_types::ErrorKind as K;

use crate::lake::Lake;

#[tokio::test]
async fn hostile_statements_end_in_clear_errors() {
    let lake = Lake::new().await;
    let secret = lake.path("secret.csv");
    std::fs::write(&secret, "password\nhunter2\n").unwrap();
    let endless = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";
    let cross =
        "SELECT count(*) FROM trips a, trips b, trips c, trips d, trips e WHERE a.note || b.note <> c.note || d.note";
    let statements: Vec<(String, &[K])> = vec![
        (format!("SELECT 1{}", "+1".repeat(100_000)), &[K::QueryTooComplex]),
        (format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)), &[K::QueryTooComplex]),
        ("SELECT generate_series(9876543210)".into(), &[K::MemoryExhausted]),
        ("SELECT repeat('x', 1000000000)".into(), &[K::MemoryExhausted]),
        (cross.into(), &[K::QueryTooComplex]),
        (endless.into(), &[K::DeadlineExceeded, K::MemoryExhausted]),
        ("COPY (SELECT 1) TO '/etc/x.csv'".into(), &[K::LocationNotAllowed]),
        (format!("COPY (SELECT 1) TO '{}'", lake.path("data/x.csv")), &[K::LocationNotAllowed]),
        ("SELECT * FROM '/etc/passwd'".into(), &[K::LocationNotAllowed]),
        (format!("SELECT * FROM read_csv('{secret}')"), &[K::LocationNotAllowed]),
        (format!("SELECT * FROM '{}'", lake.path("data/../secret.csv")), &[K::LocationNotAllowed]),
        (format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{secret}'"), &[K::LocationNotAllowed]),
        ("SELECT * FROM 's3://elsewhere/x.parquet'".into(), &[K::LocationNotAllowed]),
        ("SELECT * FROM 'http://169.254.169.254/latest'".into(), &[K::LocationNotAllowed, K::InvalidRequest]),
        ("SET datafusion.runtime.memory_limit = '100G'".into(), &[K::Unsupported]),
        ("SELECT 1; DROP TABLE trips".into(), &[K::SyntaxError, K::Unsupported]),
        ("DELETE FROM trips".into(), &[K::Unsupported]),
        ("CREATE FUNCTION f() RETURNS INT RETURN 1".into(), &[K::Unsupported]),
    ];
    for (sql, kinds) in statements {
        let shown: String = sql.chars().take(60).collect();
        println!("{shown}");
        let error = lake.fails(&sql).await;
        assert!(kinds.contains(&error.kind()), "{shown}: {error:?}");
        assert!(!error.message().contains("hunter2"));
        assert_eq!(lake.rows("SELECT count(*) FROM trips").await, ["3000"], "after {shown}");
    }
}
