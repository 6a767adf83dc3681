//! Fairness and bounds of the queue.

use std::{future::Future, pin::Pin, task::Poll};

use lakebed_testkit::MockClock;

use super::*;
use crate::{GroupLimits, Limits, Role};

type Wait = Pin<Box<dyn Future<Output = Result<Place, Refused>>>>;

fn places(running: usize, per_principal: usize, queue_length: usize) -> Places {
    let limits = Limits {
        running_queries: running,
        running_queries_per_principal: per_principal,
        queue_length,
        ..Limits::default()
    };
    with(limits, ServerMemory::default()).0
}

fn with(limits: Limits, memory: ServerMemory) -> (Places, Workgroups) {
    let workgroups = Workgroups::in_memory(Arc::new(MockClock::new()));
    workgroups.set_default(limits);
    (Places::new(workgroups.clone(), Arc::new(memory)), workgroups)
}

/// `a`, or `batch/a` of the workgroup `batch`. All are administrators' keys.
fn who(name: &str) -> Principal {
    let (workgroup, _) = name.rsplit_once('/').unwrap_or((DEFAULT_WORKGROUP, name));
    // The names of principals in different workgroups differ.
    Principal::named(name, Role::Admin).in_workgroup(workgroup)
}

async fn take(places: &Places, name: &str) -> Result<Place, Refused> {
    places.take(&who(name), places.ticket()).await
}

/// Asks for a place and gets in line, in this order.
async fn line_up(places: &Places, principal: &'static str) -> Wait {
    let places = places.clone();
    let mut wait: Wait = Box::pin(async move { take(&places, principal).await });
    assert!(poll_once(&mut wait).await.is_pending(), "{principal} should wait");
    wait
}

async fn poll_once(wait: &mut Wait) -> Poll<Result<Place, Refused>> {
    std::future::poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await
}

/// The place, if it is this one's turn now.
async fn turn(wait: &mut Wait) -> Option<Place> {
    match poll_once(wait).await {
        Poll::Ready(place) => Some(place.unwrap()),
        Poll::Pending => None,
    }
}

/// Gives one place on and on until all were served.
async fn order_of(waits: &mut Vec<(&'static str, Wait)>, mut place: Place) -> Vec<&'static str> {
    let mut order = Vec::new();
    while !waits.is_empty() {
        drop(place);
        let mut next = None;
        for (at, (_, wait)) in waits.iter_mut().enumerate() {
            if let Some(place) = turn(wait).await {
                assert!(next.is_none(), "two places were given for one");
                next = Some((at, place));
            }
        }
        let (at, given) = next.expect("somebody's turn");
        place = given;
        order.push(waits.remove(at).0);
    }
    order
}

#[tokio::test]
async fn principals_take_turns_and_each_is_served_in_order() {
    let places = places(1, 1, 10);
    let place = take(&places, "a").await.unwrap();
    let mut waits = vec![
        ("a1", line_up(&places, "a").await),
        ("a2", line_up(&places, "a").await),
        ("a3", line_up(&places, "a").await),
        ("b1", line_up(&places, "b").await),
        ("c1", line_up(&places, "c").await),
        ("b2", line_up(&places, "b").await),
    ];
    let order = order_of(&mut waits, place).await;
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    assert_eq!((places.running(), places.queued()), (0, 0));
}

#[tokio::test]
async fn one_principal_at_its_cap_does_not_hold_up_others() {
    let places = places(2, 1, 10);
    let first = take(&places, "a").await.unwrap();
    let mut second = line_up(&places, "a").await;
    let other = take(&places, "b").await.unwrap();
    assert_eq!((places.running(), places.queued()), (2, 1));
    drop(other);
    assert!(turn(&mut second).await.is_none(), "a runs one already");
    drop(first);
    assert!(turn(&mut second).await.is_some());
}

#[tokio::test]
async fn who_leaves_the_queue_is_not_served() {
    let places = places(1, 1, 2);
    let place = take(&places, "a").await.unwrap();
    let gone = line_up(&places, "a").await;
    let mut next = line_up(&places, "b").await;
    assert_eq!(take(&places, "c").await.unwrap_err(), Refused::Full(2));
    drop(gone);
    assert_eq!(places.queued(), 1);
    drop(place);
    assert!(turn(&mut next).await.is_some());
    assert_eq!((places.running(), places.queued()), (0, 0));
}

#[tokio::test]
async fn who_leaves_after_the_call_passes_the_place_on() {
    let places = places(1, 1, 10);
    let place = take(&places, "a").await.unwrap();
    let called = line_up(&places, "a").await;
    let mut next = line_up(&places, "b").await;
    drop(place);
    assert_eq!((places.running(), places.queued()), (1, 1));
    drop(called);
    assert!(turn(&mut next).await.is_some());
    assert_eq!(places.running(), 0);
}

#[tokio::test]
async fn closing_sends_everyone_away() {
    let places = places(1, 1, 10);
    let place = take(&places, "a").await.unwrap();
    let mut waiting = line_up(&places, "b").await;
    places.close();
    assert!(matches!(poll_once(&mut waiting).await, Poll::Ready(Err(Refused::Closed))));
    assert_eq!(take(&places, "c").await.unwrap_err(), Refused::Closed);
    assert_eq!((places.running(), places.queued()), (1, 0));
    drop(place);
    places.all_returned().await;
}

#[tokio::test]
async fn workgroups_take_turns_before_principals_do() {
    let places = places(1, 1, 10);
    let place = take(&places, "x").await.unwrap();
    let mut waits = Vec::new();
    for name in ["many/a", "many/b", "many/c", "many/a", "few/d", "few/d", "e"] {
        waits.push((name, line_up(&places, name).await));
    }
    let order = order_of(&mut waits, place).await;
    assert_eq!(order, ["many/a", "few/d", "e", "many/b", "few/d", "many/c", "many/a"]);
}

#[tokio::test]
async fn positions_are_those_of_the_turns() {
    let places = places(1, 1, 10);
    let place = take(&places, "x").await.unwrap();
    let mut waits = Vec::new();
    let mut tickets = Vec::new();
    for name in ["many/a", "many/a", "many/b", "few/d", "e"] {
        let (waiting, ticket) = (places.clone(), places.ticket());
        let mut wait: Wait = Box::pin(async move { waiting.take(&who(name), ticket).await });
        assert!(poll_once(&mut wait).await.is_pending());
        waits.push((name, wait));
        tickets.push(ticket);
    }
    let positions = places.positions();
    let told: Vec<usize> = tickets.iter().map(|ticket| positions[ticket]).collect();
    assert_eq!(told, [1, 5, 4, 2, 3]);
    assert_eq!(order_of(&mut waits, place).await, ["many/a", "few/d", "e", "many/b", "many/a"]);
}

#[tokio::test]
async fn a_workgroup_at_its_limit_does_not_hold_up_others_and_a_change_holds_at_once() {
    let limits = Limits { running_queries: 3, running_queries_per_principal: 3, ..Limits::default() };
    let (places, workgroups) = with(limits, ServerMemory::default());
    let set = async |concurrent: u64, length: u64| {
        let limits =
            GroupLimits { concurrent_queries: Some(concurrent), queue_length: Some(length), ..GroupLimits::default() };
        workgroups.put(&Principal::local(), "slow", limits).await.unwrap();
    };
    set(1, 2).await;
    let _first = take(&places, "slow/a").await.unwrap();
    let mut second = line_up(&places, "slow/b").await;
    let mut third = line_up(&places, "slow/c").await;
    assert_eq!(take(&places, "slow/d").await.unwrap_err(), Refused::Full(2));
    assert_eq!(places.counts("slow"), (1, 2));
    let other = take(&places, "x").await.unwrap();

    set(2, 2).await;
    places.look_again();
    let _second = turn(&mut second).await.expect("two may run now");
    assert!(turn(&mut third).await.is_none());
    set(3, 2).await;
    places.look_again();
    assert!(turn(&mut third).await.is_none(), "the server runs three already");
    drop(other);
    assert!(turn(&mut third).await.is_some());
}

#[tokio::test]
async fn a_query_waits_for_the_memory_that_it_begins_with() {
    let limits = Limits { running_queries: 10, running_queries_per_principal: 10, ..Limits::default() };
    let (places, _) = with(limits, ServerMemory::new(1000, 1000));
    let first = take(&places, "a").await.unwrap();
    assert_eq!(first.memory_bytes(), 50);
    let memory = places.shared.memory.clone();
    assert!(memory.try_reserve(850, 850));
    let _second = take(&places, "a").await.unwrap();
    let _third = take(&places, "b").await.unwrap();
    let mut fourth = line_up(&places, "a").await;
    let mut fifth = line_up(&places, "c").await;
    drop(first);
    assert!(turn(&mut fourth).await.is_some(), "it has the memory of the one that ended");
    let _fifth = turn(&mut fifth).await.expect("and this one that of the one before");
    let mut sixth = line_up(&places, "d").await;
    memory.release(850, 850);
    places.look_again();
    assert!(turn(&mut sixth).await.is_some());
}
