//! Queries over a store that goes wrong: each answer is right, or an error that says what the store did.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lakebed_access::{Access, AdmitOptions, Limits, Principal};
use lakebed_catalog::{Catalog, CatalogSettings, CrawlRequest, Freshness};
use lakebed_query::{CachePolicy, QueryOptions, QueryService, QuerySettings, SqlLimits};
use lakebed_storage::{Location, Mode, Storage, StorageSettings};
use lakebed_testkit::{Fault, FaultyStore, csv_bytes, parquet_bytes};
use lakebed_types::{DatabaseName, ErrorKind, Result, SystemClock};
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::lake::{collect, options};

const QUESTIONS: [&str; 5] = [
    "SELECT count(*), sum(n), min(n), max(n) FROM t",
    "SELECT n, s FROM t WHERE n % 97 = 3 ORDER BY n LIMIT 20",
    "SELECT count(DISTINCT s) FROM t WHERE n > 400",
    "SELECT count(*), sum(n) FROM c",
    "SELECT count(*), max(t.s) FROM t JOIN c USING (n)",
];

/// What an error under faults may be; `internal` is not among it, nor is a file that would be called damaged.
const CLEAR: [ErrorKind; 3] = [ErrorKind::StoreFailed, ErrorKind::StoreUnreachable, ErrorKind::Conflict];

type Answers = Vec<Vec<Vec<String>>>;

fn numbers(first: i64, rows: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
    let s: ArrayRef = Arc::new(StringArray::from_iter_values((first..first + rows).map(|n| format!("text {n}"))));
    RecordBatch::try_from_iter([("n", n), ("s", s)]).unwrap()
}

/// Many row groups, so that a query sends many requests.
fn table_bytes(first: i64, rows: i64) -> Vec<u8> {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(200)).build();
    parquet_bytes(&[numbers(first, rows)], Some(properties)).unwrap()
}

/// The lake's files, and the changes that follow, one by one.
async fn fill(store: &FaultyStore) {
    for part in 0..3 {
        let rows = table_bytes(part * 1000, 1000);
        store.write(&format!("data/t/part-{part}.parquet"), rows).await.unwrap();
    }
    store.write("data/c/c.csv", csv_bytes(&[numbers(500, 40_000)]).unwrap()).await.unwrap();
    store.settle().await;
}

async fn change(store: &FaultyStore, step: usize) {
    let (name, first, rows) = [("part-3", 3000, 500), ("part-0", 7000, 1000)][step];
    let rows = table_bytes(first, rows);
    store.write(&format!("data/t/{name}.parquet"), rows).await.unwrap();
}

/// An engine over a store in memory, behind the block cache.
struct World {
    store: Arc<FaultyStore>,
    service: QueryService,
    who: Principal,
    _dir: TempDir,
}

impl World {
    async fn new(seed: u64) -> Self {
        let (dir, clock) = (TempDir::new().unwrap(), Arc::new(SystemClock));
        let store = Arc::new(FaultyStore::new(seed));
        fill(&store).await;
        let storage = Storage::new(StorageSettings { cache_bytes: 4 << 20, ..StorageSettings::default() });
        storage.allow_through(store.clone(), &Location::parse("s3://lake/").unwrap(), Mode::ReadWrite);
        let freshness = Freshness::OnQuery { min_age: Duration::ZERO };
        let settings = CatalogSettings { default_freshness: freshness, ..CatalogSettings::default() };
        let catalog = Catalog::in_memory(storage, settings, clock.clone()).await.unwrap();
        let crawl = CrawlRequest {
            crawler: "test".into(),
            location: Location::parse("s3://lake/data/").unwrap(),
            database: DatabaseName::default_database(),
            table: None,
            files: None,
            dry_run: false,
        };
        catalog.crawl(&crawl, &|_| {}).await.unwrap();
        let who = Principal::local();
        let access = Access::new(Limits::default(), who.clone(), clock.clone());
        let settings = QuerySettings {
            memory_bytes: 256 << 20,
            memory_per_query_bytes: 256 << 20,
            resident_memory_bytes: None,
            spill_dir: dir.path().join("spill"),
            spill_bytes: 1 << 30,
            spool_dir: None,
            spool_bytes: 0,
            spool_lifetime: Duration::ZERO,
            result_cache_bytes: 4 << 20,
            threads: 2,
            // Batches of the usual size let columns be kept.
            batch_rows: if seed.is_multiple_of(2) { 16_384 } else { 512 },
            metadata_cache_bytes: 1 << 20,
            column_cache_bytes: 1 << 20,
            price_per_tib_usd: 5.0,
            history_entries: 10,
            lake: Some(Location::parse("s3://lake/managed/").unwrap()),
            sql: SqlLimits::default(),
        };
        let service = QueryService::new(settings, catalog, access, clock).unwrap();
        Self { store, service, who, _dir: dir }
    }

    async fn ask(&self, sql: &str, result_cache: CachePolicy) -> Result<Vec<Vec<String>>> {
        let options = QueryOptions { result_cache, ..options() };
        let prepared = self.service.prepare(&self.who, sql, &options).await?;
        let admitted = self.service.access().admit(&self.who, &AdmitOptions::default()).await?;
        Ok(collect(self.service.run(admitted, prepared).await?).await?.rows)
    }

    async fn answers(&self) -> Answers {
        let mut answers = Vec::new();
        for sql in QUESTIONS {
            answers.push(self.ask(sql, CachePolicy::Bypass).await.unwrap());
        }
        answers
    }

    /// Asks everything a few times; each answer is that of one of these states of the lake. How many were answers.
    async fn ask_under_faults(&self, seed: u64, states: &[Answers]) -> usize {
        let mut answered = 0;
        for round in 0..6 {
            let policy = if round % 2 == 0 { CachePolicy::Bypass } else { CachePolicy::Use };
            for (number, sql) in QUESTIONS.iter().enumerate() {
                match self.ask(sql, policy).await {
                    Ok(rows) => {
                        answered += 1;
                        let known = states.iter().any(|answers| answers[number] == rows);
                        assert!(known, "seed {seed}: {sql} gave {rows:?}");
                    }
                    Err(error) => {
                        assert!(CLEAR.contains(&error.kind()), "seed {seed}: {sql} gave {:?} {error:?}", error.kind());
                    }
                }
            }
        }
        answered
    }

    /// A table from a query is there as a whole or not at all, and so are rows that are put into it.
    async fn write_under_faults(&self, seed: u64, rows: u64) {
        let created = self.ask("CREATE TABLE copied AS SELECT * FROM t", CachePolicy::Use).await;
        let added = self.ask("INSERT INTO copied SELECT * FROM t WHERE n >= 7000", CachePolicy::Use).await;
        self.store.set_faults(0);
        let count = self.ask("SELECT count(*) FROM copied", CachePolicy::Bypass).await;
        match (created, added, count) {
            (Ok(_), Ok(_), Ok(count)) => assert_eq!(count, [[(rows + 1000).to_string()]], "seed {seed}"),
            (Ok(_), Err(error), Ok(count)) => {
                assert!(CLEAR.contains(&error.kind()), "seed {seed}: {:?} {error:?}", error.kind());
                assert_eq!(count, [[rows.to_string()]], "seed {seed}");
            }
            (Err(error), Err(not_added), Err(missing)) => {
                for error in [error, not_added].iter().filter(|error| error.kind() != ErrorKind::TableNotFound) {
                    assert!(CLEAR.contains(&error.kind()), "seed {seed}: {:?} {error:?}", error.kind());
                }
                assert_eq!(missing.kind(), ErrorKind::TableNotFound, "seed {seed}");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

/// The answers of each state, from a store where all is well.
async fn states() -> Vec<Answers> {
    let mut states = Vec::new();
    for steps in 0..=2 {
        let world = World::new(0).await;
        for step in 0..steps {
            change(&world.store, step).await;
        }
        states.push(world.answers().await);
    }
    states
}

async fn run(seeds: std::ops::Range<u64>) {
    let states = states().await;
    let (mut answered, mut happened) = (0, BTreeMap::<Fault, usize>::new());
    for seed in seeds.clone() {
        let world = World::new(seed).await;
        world.store.set_faults(20 + (seed % 7) as u32 * 25);
        answered += world.ask_under_faults(seed, &states[..1]).await;
        for step in 0..2 {
            change(&world.store, step).await;
            answered += world.ask_under_faults(seed, &states[..step + 2]).await;
        }
        world.write_under_faults(seed, 3500).await;
        // Nothing that went wrong is left behind: neither half a block nor half an answer.
        for policy in [CachePolicy::Use, CachePolicy::Bypass] {
            for (number, sql) in QUESTIONS.iter().enumerate() {
                assert_eq!(world.ask(sql, policy).await.unwrap(), states[2][number], "seed {seed}: {sql}");
            }
        }
        for (fault, count) in world.store.happened() {
            *happened.entry(fault).or_default() += count;
        }
    }
    let asked = (seeds.end - seeds.start) as usize * QUESTIONS.len() * 18;
    assert!(answered > asked / 4 && answered < asked, "{answered} of {asked} answered: {happened:?}");
    assert!(happened.len() >= 6, "{happened:?}");
}

#[tokio::test]
async fn a_bad_store_gives_right_answers_or_clear_errors() {
    run(1..41).await;
}

#[tokio::test]
#[ignore = "takes minutes: cargo nextest run --run-ignored only"]
async fn a_thousand_bad_stores() {
    run(1..1001).await;
}
