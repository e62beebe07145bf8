//! Locks between processes, each played by a [`Locks`] of its own.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use http::Method;
use tentacular_cluster::{LockError, Locks};
use tokio::time::sleep;

use crate::{
    place::{NAME, Place},
    proxy::Proxy,
    support::until,
};

const LONG: Duration = Duration::from_mins(2);

#[tokio::test]
async fn two_processes_exclude_each_other() {
    let place = Place::new().await;
    let (inside, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let turn = async |locks: &Locks| {
        let lock = locks.take(&place.namespace, NAME, LONG).await.unwrap();
        assert!(!inside.swap(true, Ordering::SeqCst), "two are inside");
        let before = count.load(Ordering::SeqCst);
        sleep(Duration::from_millis(3)).await;
        count.store(before + 1, Ordering::SeqCst);
        assert!(lock.is_held());
        assert!(inside.swap(false, Ordering::SeqCst));
        lock.release().await;
    };
    let (one, two) = (place.locks("one"), place.locks("two"));
    for _ in 0..50 {
        // Two calls of each process, so that both the queue and the Lease are contended.
        tokio::join!(turn(&one), turn(&two), turn(&one), turn(&two));
    }
    assert_eq!(count.into_inner(), 200);
    assert_eq!(place.lease().await, None);
}

#[tokio::test]
async fn a_call_waits_for_the_lock_and_is_told_when_it_does_not_come() {
    let place = Place::new().await;
    let (one, two) = (place.locks("one"), place.locks("two"));
    let lock = one.take(&place.namespace, NAME, Duration::ZERO).await.unwrap();
    let wait = Duration::from_millis(200);
    let Err(LockError::Busy { lease, held, waited }) = two.take(&place.namespace, NAME, wait).await else {
        panic!("it is held");
    };
    assert_eq!((lease, waited), (format!("{}/{NAME}", place.namespace), wait));
    assert!(held.is_some());
    let queued = one.take(&place.namespace, NAME, wait).await;
    assert!(matches!(queued, Err(LockError::Busy { held: None, .. })), "{queued:?}");

    let (first, ()) = tokio::join!(two.take(&place.namespace, NAME, LONG), lock.release());
    first.unwrap().release().await;
}

#[tokio::test]
async fn a_lock_that_nobody_wants_costs_two_writes() {
    let place = Place::new().await;
    let proxy = Proxy::new(place.world.control_plane).await;
    let locks = Locks::new(proxy.cluster.clone(), "one");
    locks.take(&place.namespace, NAME, Duration::ZERO).await.unwrap().release().await;
    assert_eq!(proxy.seen(), [Method::POST, Method::DELETE]);
    assert_eq!(place.lease().await, None);
}

#[tokio::test]
async fn a_holder_that_ends_without_release_leaves_nothing_behind() {
    let place = Place::new().await;
    let locks = place.locks("one");
    let gone = async || place.lease().await.is_none();

    drop(locks.take(&place.namespace, NAME, Duration::ZERO).await.unwrap());
    until("it is gone after a drop", gone).await;

    let lock = locks.take(&place.namespace, NAME, LONG).await.unwrap();
    let panicked = tokio::spawn(async move {
        let _lock = lock;
        panic!("the holder's own");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    until("it is gone after a panic", gone).await;

    let lock = locks.take(&place.namespace, NAME, LONG).await.unwrap();
    let cancelled = tokio::spawn(async move {
        let _lock = lock;
        std::future::pending::<()>().await;
    });
    cancelled.abort();
    until("it is gone after a cancellation", gone).await;
}
