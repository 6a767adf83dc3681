//! Who does a piece of work, on stores with and without conditional replacement.

use lakebed_testkit::TestLake;
use object_store::{ObjectStoreExt, path::Path};

use super::*;
use crate::delta::{Held, Lease, Leased};

const MINUTE: Duration = Duration::from_secs(60);

/// Two nodes with one clock on one store.
struct Nodes {
    clock: Arc<MockClock>,
    one: DeltaTable,
    two: DeltaTable,
    _lake: Option<TestLake>,
}

impl Nodes {
    async fn at(storage: &Storage, location: Location, lake: Option<TestLake>) -> Self {
        let clock = clock();
        let one = DeltaTable::create(storage, location.clone(), schema(), options(), clock.clone()).await.unwrap();
        let two = DeltaTable::open(storage, location, clock.clone()).await.unwrap();
        Self { clock, one, two, _lake: lake }
    }

    /// In memory, where an object is replaced on condition; on a disk, where it is not.
    async fn everywhere() -> Vec<Self> {
        let lake = TestLake::new().unwrap();
        let (disk, folder) = (lake.storage(Mode::ReadWrite).unwrap(), lake.location().unwrap().child("t/").unwrap());
        vec![Self::at(&storage(), location(), None).await, Self::at(&disk, folder, Some(lake)).await]
    }
}

async fn ours(table: &DeltaTable, holder: &str) -> Lease {
    match table.lease("merge-2024-01-01", holder, MINUTE).await.unwrap() {
        Leased::Ours(lease) => *lease,
        Leased::Theirs(held) => panic!("{held:?} has it"),
    }
}

async fn theirs(table: &DeltaTable, holder: &str) -> Held {
    match table.lease("merge-2024-01-01", holder, MINUTE).await.unwrap() {
        Leased::Theirs(held) => held,
        Leased::Ours(lease) => panic!("{lease:?}"),
    }
}

#[tokio::test]
async fn one_node_has_it_until_it_gives_it_back() {
    for Nodes { clock, one, two, _lake } in Nodes::everywhere().await {
        let lease = ours(&one, "a").await;
        let held = Held { holder: "a".to_owned(), until: clock.now() + MINUTE };
        assert_eq!(theirs(&two, "b").await, held);
        let other = two.lease("merge-2024-01-02", "b", MINUTE).await.unwrap();
        assert!(matches!(other, Leased::Ours(_)), "another day is another lease");
        lease.give_back().await;
        ours(&two, "b").await.give_back().await;
        ours(&one, "a").await;
    }
}

#[tokio::test]
async fn one_that_has_ended_is_taken_over() {
    for Nodes { clock, one, two, _lake } in Nodes::everywhere().await {
        let late = ours(&one, "a").await;
        clock.advance(MINUTE - Duration::from_secs(1));
        theirs(&two, "b").await;
        clock.advance(Duration::from_secs(2));
        let lease = ours(&two, "b").await;
        // The first one comes back and thinks that it is still its own.
        late.give_back().await;
        assert_eq!(theirs(&one, "a").await.holder, "b");
        lease.give_back().await;
        ours(&one, "a").await;
    }
}

#[tokio::test]
async fn a_node_that_is_started_again_has_its_own_at_once() {
    for Nodes { clock, one, two, _lake } in Nodes::everywhere().await {
        drop(ours(&one, "a").await);
        clock.advance(Duration::from_secs(30));
        drop(ours(&one, "a").await);
        assert_eq!(theirs(&two, "b").await.until, clock.now() + MINUTE);
    }
}

#[tokio::test]
async fn one_that_works_prolongs_it() {
    let Nodes { clock, one, two, .. } = Nodes::at(&storage(), location(), None).await;
    let short = Duration::from_millis(60);
    let Leased::Ours(lease) = one.lease("x", "a", short).await.unwrap() else { panic!("it is another one's") };
    let until = async || match two.lease("x", "b", short).await.unwrap() {
        Leased::Theirs(held) => held.until,
        Leased::Ours(lease) => panic!("{lease:?}"),
    };
    let first = until().await;
    clock.advance(Duration::from_millis(30));
    let longer = lease.during(async {
        for _ in 0..3000 {
            if until().await > first {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    });
    assert!(longer.await);
    assert!(matches!(two.lease("x", "b", short).await.unwrap(), Leased::Ours(_)), "it was given back");
}

#[tokio::test]
async fn nonsense_keeps_nobody_from_the_work() {
    let storage = storage();
    let Nodes { one, .. } = Nodes::at(&storage, location(), None).await;
    let store = storage.store(&location()).unwrap();
    for text in ["", "{}", r#"{"holder":"b","until":"soon"}"#, r#"{"holder":"b","until":"2124-01-01T00:00:00Z"}"#] {
        let path = Path::from("t/_lakebed/lease-merge-2024-01-01.json");
        store.put(&path, text.as_bytes().to_vec().into()).await.unwrap();
        ours(&one, "a").await;
    }
}

#[tokio::test]
async fn names_of_leases_are_names_of_files() {
    let storage = storage();
    let Nodes { one, .. } = Nodes::at(&storage, location(), None).await;
    let long = format!("merge-{}", "ä/../%".repeat(100));
    assert!(matches!(one.lease(&long, "a", MINUTE).await.unwrap(), Leased::Ours(_)));
    let names = names(&storage).await;
    let lease = names.iter().find(|name| name.starts_with("_lakebed/")).unwrap();
    assert!(lease.starts_with("_lakebed/lease-merge-_") && lease.len() < 120, "{lease}");
}

#[tokio::test]
async fn leases_are_no_part_of_the_table() {
    let storage = storage();
    let table = create(&storage, machine_clock(30 * DAY)).await;
    add(&table, vec![rows(0..5, 1)], "a", 1).await;
    assert!(matches!(table.lease("log", "a", MINUTE).await.unwrap(), Leased::Ours(_)));
    assert_eq!(table.vacuum(DAY).await.unwrap(), 0);
    assert!(names(&storage).await.contains(&"_lakebed/lease-log.json".to_owned()));
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, (0..5).collect::<Vec<_>>());
}
