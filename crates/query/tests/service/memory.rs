//! Small memory: what spills succeeds, what cannot spill says what it lacked.

use lakebed_types::ErrorKind;

use crate::lake::{Lake, Setup};

fn small() -> Setup {
    Setup { memory_bytes: 48 << 20, ..Setup::default() }
}

#[tokio::test]
async fn a_sort_larger_than_the_memory_spills() {
    let lake = Lake::with(small()).await;
    // 3,000,000 rows of some 40 bytes: three times what the query may reserve.
    let sql = "SELECT max(n), min(s) FROM (SELECT n, s, row_number() OVER (ORDER BY s, n) AS r FROM \
               (SELECT a.vendorid * 1000 + b.vendorid AS n, concat('text of the row ', a.vendorid * b.vendorid) AS s \
                FROM trips a, trips b WHERE b.vendorid < 1000)) WHERE r > 0";
    let answer = lake.query(sql).await.unwrap();
    assert_eq!(answer.rows, [["2999999", "text of the row 0"]]);
    let stats = answer.stats.snapshot();
    assert!(stats.spilled_bytes > 0, "{stats:?}");
    assert!(stats.peak_memory_bytes > 0 && stats.peak_memory_bytes <= 60 << 20, "{stats:?}");
    assert_eq!(lake.service.memory_reserved(), 0);
}

#[tokio::test]
async fn an_aggregate_that_does_not_fit_says_so_or_spills() {
    let lake = Lake::with(Setup { memory_bytes: 2 << 20, ..Setup::default() }).await;
    let sql = "SELECT array_agg(a.note) FROM trips a, trips b";
    let error = lake.fails(sql).await;
    assert_eq!(error.kind(), ErrorKind::MemoryExhausted, "{error:?}");
    assert!(error.message().contains("2.00 MiB") && error.hint().is_some(), "{error:?}");
    assert_eq!(lake.rows("SELECT count(*) FROM trips").await, ["3000"]);
}
