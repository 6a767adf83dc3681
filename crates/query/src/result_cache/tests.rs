//! Keys and bounds.

use std::collections::HashSet;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use lakebed_access::{Principal, Role};
use lakebed_types::DatabaseName;

use super::*;
use crate::{prepared::Parameters, settings::SqlLimits, sql};

fn digest(text: &str) -> Key {
    let statement = sql::parse(text, &SqlLimits::default()).unwrap();
    key_of(&statement, &Parameters::None, &[])
}

fn key_of(statement: &sql::Statement, parameters: &Parameters, snapshots: &[(String, String)]) -> Key {
    let (who, database) = (Principal::anonymous(Role::Read), DatabaseName::default_database());
    let reads = Reads { parameters, database: &database, who: &who, snapshots };
    Key::new(StatementDigest::of(statement).unwrap(), &reads).unwrap()
}

#[test]
fn spaces_comments_and_the_case_of_words_do_not_count() {
    let plain = digest("SELECT fare, 'Queens' FROM trips WHERE zone = 1 AND note LIKE 'a%'");
    for same in [
        "select FARE,'Queens'\n\tfrom Trips where ZONE=1 and Note like 'a%'",
        "SELECT fare /* what it cost */, 'Queens' -- where\nFROM trips WHERE zone = 1 AND note LIKE 'a%'",
    ] {
        assert_eq!(digest(same), plain, "{same}");
    }
}

#[test]
fn everything_else_counts() {
    let texts = [
        "SELECT fare FROM trips WHERE note = 'a'",
        "SELECT fare FROM trips WHERE note = 'A'",
        "SELECT fare FROM trips WHERE note = 'a '",
        "SELECT fare FROM trips WHERE note = '1'",
        "SELECT fare FROM trips WHERE zone = 1",
        "SELECT fare FROM trips WHERE zone = 1.0",
        "SELECT fare FROM trips WHERE zone = -1",
        "SELECT fare FROM trips WHERE zone - 1 - 1 = 0",
        "SELECT fare FROM trips WHERE zone - (1 - 1) = 0",
        "SELECT fare FROM trips WHERE zone <> 1",
        "SELECT fare FROM trips WHERE zone = 1 LIMIT 1",
        "SELECT fare FROM trips WHERE zone = 1 LIMIT 10",
        "SELECT DISTINCT fare FROM trips WHERE zone = 1",
        "SELECT fare FROM trips UNION SELECT fare FROM trips",
        "SELECT fare FROM trips UNION ALL SELECT fare FROM trips",
        "SELECT fare AS a FROM trips",
        "SELECT fare AS b FROM trips",
        "SELECT fare FROM trips ORDER BY 1",
        "SELECT fare FROM trips ORDER BY 1 DESC",
        "SELECT fare FROM trips ORDER BY 1 NULLS FIRST",
        "SELECT fare FROM a.trips",
        "SELECT CAST(fare AS BIGINT) FROM trips",
        "SELECT CAST(fare AS INTEGER) FROM trips",
        "SELECT TRY_CAST(fare AS INTEGER) FROM trips",
        "SELECT count(fare) FROM trips",
        "SELECT count(DISTINCT fare) FROM trips",
        "SELECT DATE '2024-01-01'",
        "SELECT TIMESTAMP '2024-01-01'",
        "SELECT INTERVAL '1' DAY",
        "SELECT INTERVAL '1' HOUR",
        "SELECT 'ab', 'c'",
        "SELECT 'a', 'bc'",
    ];
    let distinct: HashSet<Key> = texts.iter().map(|text| digest(text)).collect();
    assert_eq!(distinct.len(), texts.len());
}

#[test]
fn parameters_and_versions_count() {
    let statement = sql::parse("SELECT $1 FROM t", &SqlLimits::default()).unwrap();
    let versions = |version: &str| vec![("default.t".to_owned(), version.to_owned())];
    let positional = |value: serde_json::Value| Parameters::Positional(vec![value]);
    let keys = [
        key_of(&statement, &positional(1.into()), &versions("1")),
        key_of(&statement, &positional("1".into()), &versions("1")),
        key_of(&statement, &positional(1.0.into()), &versions("1")),
        key_of(&statement, &Parameters::Named(vec![("1".into(), 1.into())]), &versions("1")),
        key_of(&statement, &positional(1.into()), &versions("2")),
        key_of(&statement, &positional(1.into()), &[versions("1"), versions("2")].concat()),
    ];
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
}

fn numbers(rows: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn ticket(text: &str) -> Ticket {
    let statement = sql::parse(text, &SqlLimits::default()).unwrap();
    let (who, database) = (Principal::anonymous(Role::Read), DatabaseName::default_database());
    let reads = Reads { parameters: &Parameters::None, database: &database, who: &who, snapshots: &[] };
    let key = Key::new(StatementDigest::of(&statement).unwrap(), &reads).unwrap();
    Ticket { key, policy: CachePolicy::Use }
}

async fn kept(cache: &ResultCache, ticket: Ticket) -> Option<u64> {
    let answer = cache.inner.as_ref().unwrap().answers.get(&ticket.key).await?;
    Some(answer.batches.iter().map(|batch| batch.num_rows() as u64).sum())
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_given_up_on_the_way() {
    let cache = ResultCache::new(800 << 10);
    let mut copy = cache.copy(Some(ticket("SELECT 1"))).unwrap();
    for _ in 0..20 {
        copy.add(&numbers(1000));
        assert!(cache.size_bytes().await <= 100 << 10);
    }
    assert_eq!(cache.size_bytes().await, 0, "what was copied is let go at once");
    cache.keep(Some(copy)).await;
    assert_eq!((kept(&cache, ticket("SELECT 1")).await, cache.size_bytes().await), (None, 0));
}

#[tokio::test]
async fn all_answers_and_copies_together_stay_below_the_bound() {
    const BYTES: u64 = 800 << 10;
    let cache = ResultCache::new(BYTES);
    let mut open = Vec::new();
    for n in 0..100 {
        let mut copy = cache.copy(Some(ticket(&format!("SELECT {n}")))).unwrap();
        copy.add(&numbers(5000));
        assert!(cache.size_bytes().await <= BYTES);
        match open.len() < 3 {
            true => open.push(copy),
            false => cache.keep(Some(copy)).await,
        }
        assert!(cache.size_bytes().await <= BYTES);
    }
    assert!(cache.size_bytes().await > BYTES / 2);
    drop(open);
    assert!(cache.size_bytes().await <= BYTES);
}

#[tokio::test]
async fn a_few_rows_do_not_hold_the_buffers_of_many() {
    let cache = ResultCache::new(8 << 20);
    let text: ArrayRef =
        Arc::new(StringViewArray::from_iter_values((0..10_000).map(|n| format!("a text that is not short {n}"))));
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    let batch = RecordBatch::try_from_iter([("n", number), ("text", text)]).unwrap().slice(5000, 10);
    let mut copy = cache.copy(Some(ticket("SELECT 1"))).unwrap();
    copy.add(&batch);
    let (_, batches, bytes) = copy.finish().unwrap();
    assert_eq!(batches, [batch]);
    assert!(bytes < 16 << 10, "{bytes}");
}

#[test]
fn nothing_is_kept_where_it_is_switched_off() {
    assert!(ResultCache::new(0).copy(Some(ticket("SELECT 1"))).is_none());
    let bypass = Ticket { policy: CachePolicy::Bypass, ..ticket("SELECT 1") };
    assert!(ResultCache::new(1 << 20).copy(Some(bypass)).is_none());
    assert!(ResultCache::new(1 << 20).copy(None).is_none());
}
