//! Fairness and bounds of the queue.

use std::{future::Future, pin::Pin, task::Poll};

use super::*;

type Wait = Pin<Box<dyn Future<Output = Result<Place, Refused>>>>;

fn places(running: usize, per_principal: usize, queue_length: usize) -> Places {
    let limits = Limits {
        running_queries: running,
        running_queries_per_principal: per_principal,
        queue_length,
        ..Limits::default()
    };
    Places::new(&limits)
}

/// Asks for a place and gets in line, in this order.
async fn line_up(places: &Places, principal: &'static str) -> Wait {
    let places = places.clone();
    let mut wait: Wait = Box::pin(async move { places.take(principal).await });
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

#[tokio::test]
async fn principals_take_turns_and_each_is_served_in_order() {
    let places = places(1, 1, 10);
    let mut place = places.take("a").await.unwrap();
    let mut waits = vec![
        ("a1", line_up(&places, "a").await),
        ("a2", line_up(&places, "a").await),
        ("a3", line_up(&places, "a").await),
        ("b1", line_up(&places, "b").await),
        ("c1", line_up(&places, "c").await),
        ("b2", line_up(&places, "b").await),
    ];
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
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    drop(place);
    assert_eq!((places.running(), places.queued()), (0, 0));
}

#[tokio::test]
async fn one_principal_at_its_cap_does_not_hold_up_others() {
    let places = places(2, 1, 10);
    let first = places.take("a").await.unwrap();
    let mut second = line_up(&places, "a").await;
    let other = places.take("b").await.unwrap();
    assert_eq!((places.running(), places.queued()), (2, 1));
    drop(other);
    assert!(turn(&mut second).await.is_none(), "a runs one already");
    drop(first);
    assert!(turn(&mut second).await.is_some());
}

#[tokio::test]
async fn who_leaves_the_queue_is_not_served() {
    let places = places(1, 1, 2);
    let place = places.take("a").await.unwrap();
    let gone = line_up(&places, "a").await;
    let mut next = line_up(&places, "b").await;
    assert_eq!(places.take("c").await.unwrap_err(), Refused::Full);
    drop(gone);
    assert_eq!(places.queued(), 1);
    drop(place);
    assert!(turn(&mut next).await.is_some());
    assert_eq!((places.running(), places.queued()), (0, 0));
}

#[tokio::test]
async fn who_leaves_after_the_call_passes_the_place_on() {
    let places = places(1, 1, 10);
    let place = places.take("a").await.unwrap();
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
    let place = places.take("a").await.unwrap();
    let mut waiting = line_up(&places, "b").await;
    places.close();
    assert!(matches!(poll_once(&mut waiting).await, Poll::Ready(Err(Refused::Closed))));
    assert_eq!(places.take("c").await.unwrap_err(), Refused::Closed);
    assert_eq!((places.running(), places.queued()), (1, 0));
    drop(place);
    places.all_returned().await;
}
