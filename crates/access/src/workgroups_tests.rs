//! Workgroups as an administrator and the server's duties see them.

use lakebed_testkit::MockClock;
use parking_lot::Mutex;

use super::*;

/// A store that remembers, counts what it is asked, and fails when told to.
#[derive(Debug, Default)]
struct Shelf {
    usage: Mutex<Vec<(String, Usage)>>,
    saves: Mutex<usize>,
    broken: Mutex<bool>,
}

#[async_trait::async_trait]
impl WorkgroupStore for Shelf {
    async fn load(&self) -> Result<Vec<Workgroup>> {
        Ok(Vec::new())
    }

    async fn load_usage(&self) -> Result<Vec<(String, Usage)>> {
        Ok(self.usage.lock().clone())
    }

    async fn put(&self, _: &Workgroup) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn save_usage(&self, usage: &[(String, Usage)]) -> Result<()> {
        if *self.broken.lock() {
            return Err(Error::new(ErrorKind::DiskFailed, "full"));
        }
        *self.saves.lock() += 1;
        let mut kept = self.usage.lock();
        kept.retain(|(name, _)| usage.iter().all(|(new, _)| new != name));
        kept.extend_from_slice(usage);
        Ok(())
    }
}

fn by() -> Principal {
    Principal::local()
}

#[tokio::test]
async fn what_a_workgroup_does_not_set_follows_the_default() {
    let workgroups = Workgroups::in_memory(Arc::new(MockClock::new()));
    let own = GroupLimits { result_rows: Some(5), run_time_ms: Some(1500), ..GroupLimits::default() };
    assert!(workgroups.put(&by(), "g", own).await.unwrap());
    let second = Duration::from_secs(1);
    workgroups.set_default(Limits {
        result_rows: Some(9),
        scan_bytes: Some(7),
        queue_wait: second,
        ..Limits::default()
    });
    let limits = workgroups.limits("g");
    assert_eq!((limits.result_rows, limits.scan_bytes, limits.queue_wait), (Some(5), Some(7), second));
    assert_eq!(limits.run_time, Duration::from_millis(1500));
    assert_eq!(workgroups.limits("gone").result_rows, Some(9));
    assert!(!workgroups.put(&by(), "g", GroupLimits::default()).await.unwrap());
    assert_eq!(*workgroups.limits("g"), *workgroups.limits("default"));
    assert_eq!(GroupLimits::shown(&limits).result_rows, Some(5));
}

#[tokio::test]
async fn bad_names_and_limits_are_refused() {
    let workgroups = Workgroups::in_memory(Arc::new(MockClock::new()));
    let none = GroupLimits::default();
    for name in ["", "a b", "a/b", &"x".repeat(65)] {
        assert_eq!(workgroups.put(&by(), name, none).await.unwrap_err().kind(), ErrorKind::InvalidRequest, "{name}");
    }
    assert_eq!(workgroups.put(&by(), "default", none).await.unwrap_err().kind(), ErrorKind::Conflict);
    for limits in [
        GroupLimits { concurrent_queries: Some(0), ..none },
        GroupLimits { run_time_ms: Some(0), ..none },
        GroupLimits { run_time_ms: Some(u64::MAX), ..none },
        GroupLimits { queue_wait_ms: Some(u64::MAX), ..none },
        GroupLimits { memory_bytes: Some(0), ..none },
    ] {
        assert_eq!(workgroups.put(&by(), "g", limits).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
    workgroups.put(&by(), "g", GroupLimits { queue_length: Some(0), scan_bytes: Some(0), ..none }).await.unwrap();
    assert_eq!(workgroups.list().iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["default", "g"]);
}

#[tokio::test]
async fn usage_survives_and_is_written_when_there_is_something_new() {
    let (shelf, clock) = (Arc::new(Shelf::default()), Arc::new(MockClock::new()));
    let workgroups = Workgroups::open(shelf.clone(), clock.clone()).await.unwrap();
    workgroups.put(&by(), "g", GroupLimits::default()).await.unwrap();
    workgroups.save_usage().await.unwrap();
    assert_eq!(*shelf.saves.lock(), 0, "nothing was scanned");
    workgroups.charge("default", 5);
    *shelf.broken.lock() = true;
    assert!(workgroups.save_usage().await.is_err());
    *shelf.broken.lock() = false;
    workgroups.save_usage().await.unwrap();
    workgroups.save_usage().await.unwrap();
    assert_eq!((*shelf.saves.lock(), shelf.usage.lock().len()), (1, 1));

    let again = Workgroups::open(shelf, clock.clone()).await.unwrap();
    assert_eq!((again.usage("default").day_bytes, again.usage("default").month_bytes), (5, 5));
    clock.advance(Duration::from_secs(86_400));
    assert_eq!((again.usage("default").day_bytes, again.usage("default").month_bytes), (0, 5));
    clock.advance(Duration::from_secs(31 * 86_400));
    assert_eq!(again.usage("default").month_bytes, 0);
}

#[tokio::test]
async fn a_change_keeps_what_was_used() {
    let workgroups = Workgroups::in_memory(Arc::new(MockClock::new()));
    let one = GroupLimits { requests_per_second: Some(1), ..GroupLimits::default() };
    workgroups.put(&by(), "g", one).await.unwrap();
    workgroups.charge("g", 3);
    workgroups.count_request("g").unwrap();
    let error = workgroups.count_request("g").unwrap_err();
    assert_eq!(error.message(), "too many requests came in a second (workgroup `g`: requests_per_second = 1)");
    assert!(error.retry_after().is_some_and(|wait| wait <= Duration::from_secs(1)));
    workgroups.count_request("default").unwrap();
    let budget = GroupLimits { scan_bytes_per_month: Some(3), ..one };
    workgroups.put(&by(), "g", budget).await.unwrap();
    assert!(workgroups.count_request("g").is_err());
    let check = |more| workgroups.check_budget("g", &workgroups.limits("g"), more);
    check(0).unwrap();
    assert_eq!(check(1).unwrap_err().kind(), ErrorKind::BudgetExhausted);
}
