//! What survives a restart, and who may have the file.

use std::sync::Arc;

use lakebed_access::{Grants, GroupLimits, Keys, NewKey, Principal, Role, Workgroups};
use lakebed_storage::{Storage, StorageSettings};
use lakebed_types::{Clock, ErrorKind};

use super::lake::{Lake, ints, name, texts};
use crate::{Catalog, CatalogSettings, RunState, store::runs};

#[tokio::test]
async fn a_restart_reads_no_footer_and_gives_the_same_version() {
    let lake = Lake::new().await;
    lake.parquet("t/day=2024-01-01/1.parquet", &[("x", ints(&[1])), ("s", texts(&["a"]))]);
    lake.parquet("t/day=2024-01-02/1.parquet", &[("x", ints(&[2])), ("s", texts(&["b"]))]);
    lake.write("people.csv", "id,name\n1,Ada\n");
    lake.crawl().await;
    let before = lake.catalog.snapshot(&name("t")).await.unwrap();
    let table = lake.catalog.table(&name("t")).await.unwrap();

    let lake = lake.reopen().await;
    let after = lake.catalog.snapshot(&name("t")).await.unwrap();
    assert_eq!((after.version(), after.rows()), (before.version(), before.rows()));
    assert_eq!(after.schema(), before.schema());
    assert_eq!(lake.requests(), 0, "the last look is young enough");
    assert_eq!(lake.catalog.snapshot(&name("people")).await.unwrap().files().len(), 1);
    assert_eq!(lake.requests(), 0);

    lake.later(60);
    let looked = lake.catalog.snapshot(&name("t")).await.unwrap();
    assert_eq!((looked.version(), lake.bytes_read()), (before.version(), 0), "a look lists, and reads nothing");
    assert_eq!(lake.catalog.table(&name("t")).await.unwrap().changed, table.changed);
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_catalog() {
    let lake = Lake::new().await;
    let (lake_file, lake_clock) = (lake.catalog_file(), lake.clock.clone());
    let open = || {
        let storage = Storage::new(StorageSettings::default());
        Catalog::open(&lake_file, storage, CatalogSettings::default(), lake_clock.clone())
    };
    let error = open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let expected = format!("catalog {} is in use by process {}", lake_file.display(), std::process::id());
    assert_eq!(error.message(), expected);
    drop(lake.catalog.clone());
    assert!(open().await.is_err(), "a clone that is dropped does not give it away");
}

#[tokio::test]
async fn keys_survive_a_restart_as_they_were() {
    let lake = Lake::new().await;
    let keys = keys_of(&lake).await;
    let by = Principal::local();
    let everything = Grants::everything();
    let workgroup = || "default".to_owned();
    let root =
        NewKey { name: "root".into(), role: Role::Admin, grants: everything, workgroup: workgroup(), expires: None };
    keys.create(&by, root).await.unwrap();
    let grants = Grants::only(vec!["sales".parse().unwrap(), "hr.people".parse().unwrap()]).unwrap();
    let expires = Some(lake.clock.now() + chrono::TimeDelta::days(1));
    let limits = GroupLimits { result_rows: Some(7), scan_bytes_per_day: Some(100), ..GroupLimits::default() };
    keys.workgroups().put(&by, "reports", limits).await.unwrap();
    let reader = NewKey {
        name: "reader".into(),
        role: Role::Read,
        grants: grants.clone(),
        workgroup: "reports".into(),
        expires,
    };
    let (reader, _) = keys.create(&by, reader).await.unwrap();
    let revoked = keys.revoke(&by, "reader").await.unwrap().revoked;
    drop(keys);

    let lake = lake.reopen().await;
    let keys = keys_of(&lake).await;
    assert!(keys.are_required());
    let found = keys.get("reader").unwrap();
    assert_eq!((found.id, found.role, found.grants), (reader.id, Role::Read, grants));
    assert_eq!((found.expires, found.revoked, found.created), (expires, revoked, reader.created));
    assert_eq!(found.workgroup, "reports");
    assert!(revoked.is_some() && found.digest.as_bytes() == reader.digest.as_bytes());
}

async fn keys_of(lake: &Lake) -> Keys {
    let workgroups = Workgroups::open(Arc::new(lake.catalog.clone()), lake.clock.clone()).await.unwrap();
    Keys::open(Arc::new(lake.catalog.clone()), workgroups, lake.clock.clone()).await.unwrap()
}

#[tokio::test]
async fn workgroups_and_what_they_used_survive_a_restart() {
    let lake = Lake::new().await;
    let keys = keys_of(&lake).await;
    let by = Principal::local();
    let limits = GroupLimits { scan_bytes_per_day: Some(100), run_time_ms: Some(5), ..GroupLimits::default() };
    for (name, limits) in [("reports", GroupLimits::default()), ("reports", limits), ("gone", limits)] {
        keys.workgroups().put(&by, name, limits).await.unwrap();
    }
    for name in ["default", "reports", "gone"] {
        keys.workgroups().charge(name, 60);
    }
    keys.workgroups().save_usage().await.unwrap();
    keys.drop_workgroup(&by, "gone").await.unwrap();
    keys.workgroups().charge("reports", 30);
    keys.workgroups().save_usage().await.unwrap();
    let before = keys.workgroups().get("reports").unwrap();
    drop(keys);

    let lake = lake.reopen().await;
    let workgroups = keys_of(&lake).await.workgroups().clone();
    assert_eq!(workgroups.get("reports").unwrap(), before);
    assert_eq!(workgroups.list().len(), 2);
    assert_eq!((workgroups.usage("default").month_bytes, workgroups.usage("reports").day_bytes), (60, 90));
    let limits = workgroups.limits("reports");
    assert!(workgroups.check_budget("reports", &limits, 10).is_ok());
    assert_eq!(workgroups.check_budget("reports", &limits, 11).unwrap_err().kind(), ErrorKind::BudgetExhausted);
    workgroups.put(&by, "gone", GroupLimits::default()).await.unwrap();
    assert_eq!(workgroups.usage("gone").day_bytes, 0);
}

#[tokio::test]
async fn a_run_whose_process_died_is_interrupted() {
    let lake = Lake::new().await;
    lake.parquet("t/1.parquet", &[("x", ints(&[1]))]);
    let report = lake.crawl().await;
    let mut lost = report.clone();
    lost.id = "lost".to_owned();
    let mut write = lake.catalog.inner.store.write().await.unwrap();
    runs::begin(write.connection(), &lost).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(lake.catalog.run("lost").await.unwrap().state, RunState::Running);

    let lake = lake.reopen().await;
    let run = lake.catalog.run("lost").await.unwrap();
    assert_eq!((run.state, run.ended.is_some()), (RunState::Interrupted, true));
    assert_eq!(lake.catalog.run(&report.id).await.unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn a_crawl_that_is_dropped_is_interrupted_and_can_be_run_again() {
    let lake = Lake::new().await;
    for i in 0..300 {
        lake.parquet(&format!("t/{i}.parquet"), &[("x", ints(&[i]))]);
    }
    let reached = tokio::sync::Notify::new();
    let request = lake.request(false);
    {
        let progress = |progress: crate::CrawlProgress| {
            if progress.inspected == 280 {
                reached.notify_one();
            }
        };
        let crawl = lake.catalog.crawl(&request, &progress);
        tokio::select! {
            biased;
            () = reached.notified() => {}
            _ = crawl => panic!("the crawl was to be dropped"),
        }
    }
    while lake.catalog.runs(None, 1).await.unwrap()[0].state == RunState::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(lake.catalog.runs(None, 1).await.unwrap()[0].state, RunState::Interrupted);
    assert!(lake.catalog.table(&name("t")).await.is_err(), "no half table");
    let again = lake.crawl().await;
    assert!(again.reused > 0, "what was read is not read again");
    assert_eq!(again.inspected + again.reused, 300);
}

#[tokio::test]
async fn a_file_that_is_no_catalog_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    std::fs::write(&file, "not a database, and long enough to be looked at as one ".repeat(100)).unwrap();
    let storage = Storage::new(StorageSettings::default());
    let clock = std::sync::Arc::new(lakebed_types::SystemClock);
    let error = Catalog::open(&file, storage, CatalogSettings::default(), clock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error:?}");
}
