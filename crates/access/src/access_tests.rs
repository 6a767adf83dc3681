//! Deadlines, waits and draining, as callers of `Access` see them.

use lakebed_testkit::MockClock;

use super::*;
use crate::{GroupLimits, Role};

fn access(limits: Limits) -> (Access, Arc<MockClock>) {
    let clock = Arc::new(MockClock::new());
    (Access::new(limits, Principal::anonymous(Role::Read), clock.clone()), clock)
}

fn one_at_a_time() -> Limits {
    let queue_wait = Duration::from_millis(50);
    Limits { running_queries: 1, running_queries_per_principal: 1, queue_length: 1, queue_wait, ..Limits::default() }
}

async fn admit(access: &Access) -> Result<Admitted> {
    access.admit(&access.authenticate(None, None).await?, &AdmitOptions::default()).await
}

#[tokio::test]
async fn the_smaller_of_wish_and_limit_is_the_deadline() {
    let (access, clock) = access(Limits::default());
    let second = Duration::from_secs(1);
    for (asked, background, expected) in [
        (None, false, Duration::from_secs(60)),
        (Some(second), false, second),
        (Some(Duration::from_secs(3600)), false, Duration::from_secs(60)),
        (None, true, Duration::from_secs(1800)),
        (Some(Duration::from_secs(3600)), true, Duration::from_secs(1800)),
    ] {
        let options = AdmitOptions { timeout: asked, background, ticket: None };
        let admitted = access.admit(&Principal::local(), &options).await.unwrap();
        assert_eq!(admitted.run_time(), expected);
        assert_eq!(admitted.deadline(), clock.instant() + expected);
        assert_eq!(admitted.queued(), Duration::ZERO);
        assert_eq!(admitted.principal().name(), "local");
    }
    assert_eq!(access.running(), 0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (access, _clock) = access(Limits { queue_length: 0, ..one_at_a_time() });
    let running = admit(&access).await.unwrap();
    let refused = admit(&access).await.unwrap_err();
    let message = "0 queries wait already (workgroup `default`: queue_length = 0)";
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::QueueFull, message));
    drop(running);
    assert!(admit(&access).await.is_ok());
}

#[tokio::test]
async fn a_wait_has_an_end() {
    let (access, _clock) = access(one_at_a_time());
    let running = admit(&access).await.unwrap();
    let late = admit(&access).await.unwrap_err();
    let message = "the query waited 50ms for its turn (workgroup `default`: queue_wait = 50ms)";
    assert_eq!((late.kind(), late.message()), (ErrorKind::QueueTimeout, message));
    assert_eq!(access.queued(), 0);
    drop(running);
    assert!(admit(&access).await.is_ok());
}

#[tokio::test]
async fn the_time_in_the_queue_is_told() {
    let (access, clock) = access(Limits { queue_wait: Duration::from_secs(30), ..one_at_a_time() });
    let running = admit(&access).await.unwrap();
    let waiting = tokio::spawn({
        let access = access.clone();
        async move { admit(&access).await }
    });
    while access.queued() == 0 {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_millis(250));
    drop(running);
    assert_eq!(waiting.await.unwrap().unwrap().queued(), Duration::from_millis(250));
}

#[tokio::test]
async fn draining_waits_for_the_running_and_refuses_the_rest() {
    let (access, _clock) = access(one_at_a_time());
    let running = admit(&access).await.unwrap();
    let drained = tokio::spawn({
        let access = access.clone();
        async move { access.drain(Duration::from_secs(3600)).await }
    });
    while !access.is_draining() {
        tokio::task::yield_now().await;
    }
    let refused = admit(&access).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(!drained.is_finished());
    let cancellation = running.cancellation().clone();
    drop(running);
    drained.await.unwrap();
    assert!(!cancellation.is_cancelled());
}

#[tokio::test]
async fn after_the_grace_the_rest_is_cancelled() {
    let (access, _clock) = access(one_at_a_time());
    let running = admit(&access).await.unwrap();
    let cancelled = running.cancellation().clone();
    let query = tokio::spawn(async move { running.cancellation().cancelled().await });
    access.drain(Duration::from_millis(50)).await;
    assert!(cancelled.is_cancelled());
    query.await.unwrap();
    assert_eq!(access.running(), 0);
}

#[tokio::test]
async fn who_waits_is_under_the_limits_of_now() {
    let (access, _clock) = access(Limits { queue_wait: Duration::from_secs(3600), ..one_at_a_time() });
    let by = Principal::local();
    let who = Principal::anonymous(Role::Read).in_workgroup("slow");
    access.workgroups().put(&by, "slow", GroupLimits::default()).await.unwrap();
    let running = access.admit(&who, &AdmitOptions::default()).await.unwrap();
    let wait = || {
        let (access, who) = (access.clone(), who.clone());
        tokio::spawn(async move { access.admit(&who, &AdmitOptions::default()).await })
    };
    let queued = async || {
        while access.queued() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let first = wait();
    queued().await;
    for queue_wait_ms in [3_600_000, 20] {
        let limits = GroupLimits { queue_wait_ms: Some(queue_wait_ms), ..GroupLimits::default() };
        access.workgroups().put(&by, "slow", limits).await.unwrap();
    }
    let late = first.await.unwrap().unwrap_err();
    assert_eq!(late.message(), "the query waited 20ms for its turn (workgroup `slow`: queue_wait = 20ms)");

    let limits = GroupLimits { queue_wait_ms: Some(3_600_000), ..GroupLimits::default() };
    access.workgroups().put(&by, "slow", limits).await.unwrap();
    let second = wait();
    queued().await;
    let limits = GroupLimits { run_time_ms: Some(7000), ..limits };
    access.workgroups().put(&by, "slow", limits).await.unwrap();
    drop(running);
    let admitted = second.await.unwrap().unwrap();
    assert_eq!((admitted.run_time(), admitted.run_time_limit()), (Duration::from_secs(7), Some(Limit::RunTime)));
}

#[tokio::test]
async fn a_starved_server_lets_queries_wait() {
    let (access, _clock) = access(one_at_a_time());
    access.set_starved(true);
    assert_eq!(admit(&access).await.unwrap_err().kind(), ErrorKind::QueueTimeout);
    access.set_starved(false);
    assert!(admit(&access).await.is_ok());
}
