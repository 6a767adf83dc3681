//! Kept answers: given again only where they are the same answer, and never past a limit.

use std::{
    cell::Cell,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures::StreamExt;
use lakebed_access::{AdmitOptions, DEFAULT_WORKGROUP, Limits};
use lakebed_catalog::Freshness;
use lakebed_query::{CachePolicy, Parameters, QueryOptions};
use lakebed_types::{ErrorKind, Result, ResultCacheUse};
use proptest::prelude::*;

use crate::lake::{Answer, Lake, Setup, collect, options};

async fn lake() -> Lake {
    lake_with(Setup::default()).await
}

/// Each query looks for changed files.
async fn lake_with(setup: Setup) -> Lake {
    let lake = Lake::with(Setup { freshness: Freshness::OnQuery { min_age: Duration::ZERO }, ..setup }).await;
    for table in ["trips", "zones", "events"] {
        age_all(&PathBuf::from(lake.path(&format!("data/{table}"))), 100);
    }
    lake
}

async fn ask(lake: &Lake, sql: &str, policy: CachePolicy) -> Result<Answer> {
    ask_with(lake, sql, QueryOptions { result_cache: policy, ..options() }).await
}

async fn ask_with(lake: &Lake, sql: &str, options: QueryOptions) -> Result<Answer> {
    let prepared = lake.service.prepare(&lake.who, sql, &options).await?;
    collect(lake.service.run(lake.admit().await, prepared).await?).await
}

async fn used(lake: &Lake, sql: &str) -> ResultCacheUse {
    ask(lake, sql, CachePolicy::Use).await.unwrap().stats.snapshot().result_cache
}

/// Files that were written long ago: those of a moment ago are not trusted.
fn age(file: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
    File::options().append(true).open(file).unwrap().set_modified(time).unwrap();
}

fn age_all(folder: &Path, seconds: u64) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { age_all(&entry, seconds) } else { age(&entry, seconds) }
    }
}

#[tokio::test]
async fn the_same_question_is_answered_again_without_a_scan() {
    let lake = lake().await;
    let first =
        ask(&lake, "SELECT zone, sum(fare) AS s FROM trips GROUP BY zone ORDER BY zone", CachePolicy::Use).await;
    let again = "select ZONE, /* all of them */ SUM(fare) as S\nfrom Trips group by zone order by zone";
    let again = ask(&lake, again, CachePolicy::Use).await.unwrap();
    let first = first.unwrap();
    assert_eq!(first.rows, again.rows);
    let (cold, warm) = (first.stats.snapshot(), again.stats.snapshot());
    assert_eq!((cold.result_cache, warm.result_cache), (ResultCacheUse::Miss, ResultCacheUse::Hit));
    assert!(cold.rows_scanned == 3000 && cold.bytes_scanned > 0);
    assert_eq!((warm.rows_scanned, warm.bytes_scanned, warm.files_scanned, warm.rows_returned), (0, 0, 0, 4));
    let newest = &lake.service.history(&lake.who, 1, None)[0];
    assert_eq!(newest.statistics.result_cache, ResultCacheUse::Hit);
    let sql = "SELECT count(*) FROM system.queries WHERE result_cache = 'hit'";
    assert_eq!(lake.rows(sql).await, ["1"]);
}

#[tokio::test]
async fn answers_are_named_as_each_statement_names_them() {
    let lake = lake().await;
    let first = ask(&lake, "SELECT vendorid, fare AS Price FROM trips LIMIT 1", CachePolicy::Use).await.unwrap();
    let second = ask(&lake, "SELECT VENDORID, fare AS price FROM trips LIMIT 1", CachePolicy::Use).await.unwrap();
    let fresh = ask(&lake, "SELECT VENDORID, fare AS price FROM trips LIMIT 1", CachePolicy::Bypass).await.unwrap();
    assert_eq!(first.columns[0], "VendorID");
    assert_eq!((second.columns, second.rows.len()), (fresh.columns, 1));
}

#[tokio::test]
async fn what_may_answer_otherwise_is_never_kept() {
    let lake = lake().await;
    lake.rows("CREATE VIEW dice AS SELECT random() AS r, fare FROM trips LIMIT 1").await;
    lake.rows("CREATE VIEW over_dice AS SELECT * FROM dice").await;
    let statements = [
        "SELECT now()",
        "SELECT current_date",
        "SELECT CURRENT_TIMESTAMP, fare FROM trips LIMIT 1",
        "SELECT random()",
        "SELECT uuid()",
        "SELECT count(*) FROM trips WHERE random() < 2",
        "SELECT count(*) FROM trips WHERE fare > (SELECT random())",
        "WITH t AS (SELECT now() AS n) SELECT count(*) FROM t",
        "SELECT fare FROM trips ORDER BY random() LIMIT 1",
        "SELECT r FROM dice",
        "SELECT count(*) FROM over_dice",
        "SELECT count(*) FROM system.queries",
        "SELECT count(*) FROM information_schema.tables",
        "SHOW TABLES",
        "EXPLAIN SELECT count(*) FROM trips",
        "EXPLAIN ANALYZE SELECT count(*) FROM trips",
    ];
    for sql in statements {
        for _ in 0..2 {
            assert_eq!(used(&lake, sql).await, ResultCacheUse::Bypass, "{sql}");
        }
    }
    let table = "CREATE TABLE IF NOT EXISTS copied AS SELECT * FROM zones";
    assert_eq!(used(&lake, table).await, ResultCacheUse::Bypass);
    assert_eq!(used(&lake, "INSERT INTO copied SELECT * FROM zones").await, ResultCacheUse::Bypass);
}

#[tokio::test]
async fn a_request_can_refuse_a_kept_answer() {
    let lake = lake().await;
    let sql = "SELECT sum(fare) FROM trips";
    let run = async |policy| ask(&lake, sql, policy).await.unwrap().stats.snapshot().result_cache;
    assert_eq!(run(CachePolicy::Bypass).await, ResultCacheUse::Bypass);
    assert_eq!(run(CachePolicy::Use).await, ResultCacheUse::Miss, "what was bypassed is not kept");
    assert_eq!(run(CachePolicy::Refresh).await, ResultCacheUse::Bypass);
    assert_eq!(run(CachePolicy::Use).await, ResultCacheUse::Hit);
    let off = lake_with(Setup { result_cache_bytes: 0, ..Setup::default() }).await;
    for _ in 0..2 {
        assert_eq!(used(&off, sql).await, ResultCacheUse::Bypass);
    }
}

#[tokio::test]
async fn parameters_and_locations_are_part_of_the_question() {
    let lake = lake().await;
    let with = async |value: i64| {
        let options = QueryOptions { parameters: Parameters::Positional(vec![value.into()]), ..options() };
        let answer = ask_with(&lake, "SELECT count(*) FROM trips WHERE vendorid < $1", options).await.unwrap();
        (answer.rows[0][0].clone(), answer.stats.snapshot().result_cache)
    };
    assert_eq!(with(5).await, ("5".into(), ResultCacheUse::Miss));
    assert_eq!(with(6).await, ("6".into(), ResultCacheUse::Miss));
    assert_eq!(with(5).await, ("5".into(), ResultCacheUse::Hit));

    let path = PathBuf::from(lake.path("data/zones/zones.csv"));
    let sql = format!("SELECT count(*) FROM '{}'", path.display());
    assert_eq!((used(&lake, &sql).await, used(&lake, &sql).await), (ResultCacheUse::Miss, ResultCacheUse::Hit));
    fs::write(&path, "zone,Borough\n0,Queens\n").unwrap();
    age(&path, 500);
    assert_eq!(lake.rows(&sql).await, ["1"]);
}

#[tokio::test]
async fn files_of_a_moment_ago_are_not_trusted() {
    let lake = lake().await;
    let path = PathBuf::from(lake.path("data/zones/zones.csv"));
    fs::write(&path, "zone,Borough\n0,Queens\n").unwrap();
    let sql = "SELECT borough FROM zones";
    for _ in 0..2 {
        assert_eq!(used(&lake, sql).await, ResultCacheUse::Bypass);
    }
    age(&path, 500);
    assert_eq!((used(&lake, sql).await, used(&lake, sql).await), (ResultCacheUse::Miss, ResultCacheUse::Hit));
}

#[tokio::test]
async fn a_result_over_the_limit_is_not_kept() {
    let limits = Limits { result_rows: Some(2000), ..Limits::default() };
    let lake = lake_with(Setup { limits, ..Setup::default() }).await;
    for _ in 0..2 {
        let error = ask(&lake, "SELECT vendorid FROM trips", CachePolicy::Use).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ResultTooLarge);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_read_to_its_end_is_not_kept() {
    let lake = lake().await;
    let sql = "SELECT a.fare FROM trips a CROSS JOIN zones b";
    let prepared = lake.prepare(sql).await.unwrap();
    let mut running = lake.service.run(lake.admit().await, prepared).await.unwrap();
    running.batches.next().await.unwrap().unwrap();
    drop(running);
    let whole = ask(&lake, sql, CachePolicy::Use).await.unwrap();
    assert_eq!(whole.rows.len(), 12_000);
}

/// What may happen between two questions.
#[derive(Debug, Clone)]
enum Step {
    /// Writes a file of a table anew: under a name, with so many rows from this number on.
    Write {
        table: usize,
        file: usize,
        first: u32,
        rows: u32,
    },
    Remove {
        table: usize,
        file: usize,
    },
    /// The table is dropped, and declared over another folder.
    Redeclare {
        table: usize,
        folder: usize,
    },
    View {
        divisor: u32,
        table: usize,
    },
    Ask(usize),
}

const TABLES: [&str; 2] = ["one", "two"];
const QUESTIONS: [&str; 7] = [
    "SELECT count(*) AS n, sum(n) AS s FROM one",
    "SELECT count(*) AS n, sum(n) AS s FROM two",
    "SELECT n FROM one WHERE n > 50 ORDER BY n LIMIT 7",
    "SELECT count(*) FROM one JOIN two USING (n)",
    "SELECT count(*), min(n) FROM v",
    "SELECT a.c, b.c FROM (SELECT count(*) AS c FROM v) a, (SELECT count(*) AS c FROM two) b",
    "SELECT sum(n) FROM one WHERE n IN (SELECT n FROM v)",
];

fn step() -> impl Strategy<Value = Step> {
    let table = 0..TABLES.len();
    prop_oneof![
        3 => (table.clone(), 0..3usize, 0..200u32, 1..40u32)
            .prop_map(|(table, file, first, rows)| Step::Write { table, file, first, rows }),
        1 => (table.clone(), 0..3usize).prop_map(|(table, file)| Step::Remove { table, file }),
        1 => (table.clone(), 0..2usize).prop_map(|(table, folder)| Step::Redeclare { table, folder }),
        1 => (2..5u32, table).prop_map(|(divisor, table)| Step::View { divisor, table }),
        8 => (0..QUESTIONS.len()).prop_map(Step::Ask),
    ]
}

struct World {
    lake: Lake,
    folders: [usize; 2],
    time: u64,
    hits: usize,
}

impl World {
    async fn new() -> Self {
        let mut world = Self { lake: lake().await, folders: [0, 0], time: 1000, hits: 0 };
        for table in 0..2 {
            for folder in 0..2 {
                world.folders[table] = folder;
                world.write(table, 0, 0, 10 + folder as u32);
            }
            world.declare(table, 0).await;
        }
        world.view(2, 0).await;
        world
    }

    fn folder(&self, table: usize) -> PathBuf {
        PathBuf::from(self.lake.path(&format!("data/cached/{}-{}", TABLES[table], self.folders[table])))
    }

    /// Rows have all the same length, so that only the content tells many files apart.
    fn write(&mut self, table: usize, file: usize, first: u32, rows: u32) {
        let text: String = (first..first + rows).map(|n| format!("{n:04}\n")).collect();
        fs::create_dir_all(self.folder(table)).unwrap();
        let path = self.folder(table).join(format!("{file}.csv"));
        fs::write(&path, format!("n\n{text}")).unwrap();
        self.time += 1;
        age(&path, self.time);
    }

    async fn declare(&mut self, table: usize, folder: usize) {
        self.folders[table] = folder;
        self.lake.rows(&format!("DROP TABLE IF EXISTS {}", TABLES[table])).await;
        let location = self.folder(table).display().to_string();
        let sql = format!("CREATE EXTERNAL TABLE {} (n BIGINT) STORED AS CSV LOCATION '{location}/'", TABLES[table]);
        self.lake.rows(&sql).await;
    }

    async fn view(&mut self, divisor: u32, table: usize) {
        let sql = format!("CREATE OR REPLACE VIEW v AS SELECT n FROM {} WHERE n % {divisor} = 0", TABLES[table]);
        self.lake.rows(&sql).await;
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Write { table, file, first, rows } => self.write(table, file, first, rows),
            // A table without any file is another matter.
            Step::Remove { file: 0, .. } => {}
            Step::Remove { table, file } => drop(fs::remove_file(self.folder(table).join(format!("{file}.csv")))),
            Step::Redeclare { table, folder } => self.declare(table, folder).await,
            Step::View { divisor, table } => self.view(divisor, table).await,
            Step::Ask(question) => self.ask(QUESTIONS[question]).await,
        }
    }

    async fn ask(&mut self, sql: &str) {
        let kept = ask(&self.lake, sql, CachePolicy::Use).await.unwrap();
        let fresh = ask(&self.lake, sql, CachePolicy::Bypass).await.unwrap();
        assert_eq!(kept.rows, fresh.rows, "{sql}");
        let used = kept.stats.snapshot().result_cache;
        assert_ne!(used, ResultCacheUse::Bypass, "{sql}");
        self.hits += usize::from(used == ResultCacheUse::Hit);
    }
}

/// Interleaves what changes answers with questions: a kept answer is always the one that a run gives now.
#[test]
fn no_answer_is_ever_stale() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    const CASES: u32 = 12;
    let hits = Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        ProptestConfig { cases: CASES, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let steps = proptest::collection::vec(step(), 30..60);
    let outcome = runner.run(&steps, |steps| {
        let found = runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
            }
            world.hits
        });
        hits.set(hits.get() + found);
        Ok(())
    });
    outcome.unwrap();
    let hits = hits.get();
    assert!(hits > CASES as usize, "only {hits} answers came from the cache: the test shows nothing");
}

#[tokio::test]
async fn who_may_not_see_a_table_gets_no_kept_answer_of_it() {
    use lakebed_access::{Grants, NewKey, Principal, Role};
    let lake = lake().await;
    let sql = "SELECT count(*) FROM trips";
    assert_eq!((used(&lake, sql).await, used(&lake, sql).await), (ResultCacheUse::Miss, ResultCacheUse::Hit));
    let keys = lake.service.access().keys();
    let admin = NewKey {
        name: "root".into(),
        role: Role::Admin,
        grants: Grants::everything(),
        workgroup: DEFAULT_WORKGROUP.into(),
        expires: None,
    };
    keys.create(&Principal::local(), admin).await.unwrap();
    let only_zones = Grants::only(vec!["default.zones".parse().unwrap()]).unwrap();
    let reader = NewKey {
        name: "reader".into(),
        role: Role::Read,
        grants: only_zones,
        workgroup: DEFAULT_WORKGROUP.into(),
        expires: None,
    };
    let (_, text) = keys.create(&Principal::local(), reader).await.unwrap();
    let reader = lake.service.access().authenticate(Some(&format!("Bearer {text}")), None).await.unwrap();
    let error = lake.service.prepare(&reader, sql, &options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableNotFound);
    let prepared = lake.service.prepare(&reader, "SELECT count(*) FROM zones", &options()).await.unwrap();
    let admitted = lake.service.access().admit(&reader, &AdmitOptions::default()).await.unwrap();
    assert_eq!(collect(lake.service.run(admitted, prepared).await.unwrap()).await.unwrap().rows, [["4"]]);
}
