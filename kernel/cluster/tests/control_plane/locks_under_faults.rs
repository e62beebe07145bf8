//! Locks when a holder dies, is robbed or cut off, when answers are lost and when nothing can be made.

use std::{cell::Cell, time::Duration};

use http::Method;
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{ConfigMap, Namespace},
    },
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;
use tentacular_cluster::{Delete, Error, LockError, Locks};
use tokio::time::Instant;

use crate::{
    place::{NAME, Place},
    proxy::Proxy,
    support::{object, until},
    way::Way,
};

const LONG: Duration = Duration::from_mins(2);
const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_process_that_was_started_again_takes_over_at_once() {
    let place = Place::new().await;
    let before = Locks::with_duration(place.world.admin.clone(), "one", SHORT);
    let old = before.take(&place.namespace, NAME, Duration::ZERO).await.unwrap();
    let new = place.locks("one").take(&place.namespace, NAME, Duration::ZERO).await.unwrap();
    let spec = place.lease().await.unwrap().spec.unwrap();
    assert_eq!((spec.lease_transitions, spec.lease_duration_seconds), (Some(1), Some(15)));
    until("the old one notices", async || !old.is_held()).await;
    old.release().await;
    assert_eq!(place.holder().await.as_deref(), Some("one"), "the old one releases nothing");
    assert!(new.is_held());
    new.release().await;
    assert_eq!(place.lease().await, None);
}

#[tokio::test]
async fn a_lease_that_was_left_behind_is_taken_after_its_time_and_not_before() {
    let place = Place::new().await;
    let renewed = Timestamp::now();
    place.left_behind(renewed, 2).await;
    let lock = place.locks("one").take(&place.namespace, NAME, LONG).await.unwrap();
    assert!(Timestamp::now().duration_since(renewed) >= SignedDuration::from_secs(2));
    let spec = place.lease().await.unwrap().spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("one"), Some(5)));
    assert!(spec.acquire_time.unwrap().0.duration_since(renewed) >= SignedDuration::from_secs(2));
    assert!(lock.is_held());
    lock.release().await;
}

#[tokio::test]
async fn a_lease_whose_time_is_long_over_is_taken_at_once() {
    let place = Place::new().await;
    place.left_behind(Timestamp::now() - SignedDuration::from_mins(1), 30).await;
    let lock = place.locks("one").take(&place.namespace, NAME, Duration::ZERO).await.unwrap();
    lock.release().await;
    assert_eq!(place.lease().await, None);
}

#[tokio::test]
async fn a_lease_from_the_future_is_taken_when_it_did_not_change_for_its_time() {
    let place = Place::new().await;
    place.left_behind(Timestamp::now() + SignedDuration::from_hours(1), 1).await;
    let locks = place.locks("one");
    let start = Instant::now();
    assert!(matches!(locks.take(&place.namespace, NAME, Duration::ZERO).await, Err(LockError::Busy { .. })));
    // What one call has seen, the next one knows.
    let taken = Cell::new(None);
    until("it is taken", async || {
        taken.set(locks.take(&place.namespace, NAME, Duration::ZERO).await.ok());
        let lock = taken.take();
        let is_taken = lock.is_some();
        taken.set(lock);
        is_taken
    })
    .await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    taken.take().unwrap().release().await;
}

#[tokio::test]
async fn a_step_whose_answer_was_lost_is_recognized() {
    let place = Place::new().await;
    let proxy = Proxy::new(place.world.control_plane).await;
    // Renewed every 3 s, and after a failure within one.
    let locks = Locks::with_duration(proxy.cluster.clone(), "one", Duration::from_secs(9));
    proxy.lose(Method::POST);
    let lock = locks.take(&place.namespace, NAME, LONG).await.unwrap();
    assert!(proxy.has_lost_all());

    let renewal = async || place.lease().await.unwrap().spec.unwrap().renew_time;
    let before = renewal().await;
    proxy.lose(Method::PATCH);
    until("a renewal's answer is lost", async || proxy.has_lost_all()).await;
    let unknown = renewal().await;
    assert_ne!(unknown, before);
    until("the next is made", async || renewal().await != unknown).await;
    until("it is still held", async || lock.is_held()).await;

    proxy.lose(Method::DELETE);
    lock.release().await;
    until("it is gone", async || place.lease().await.is_none()).await;
}

#[tokio::test]
async fn a_holder_whose_lock_was_taken_notices_and_leaves_it_alone() {
    let place = Place::new().await;
    let locks = Locks::with_duration(place.world.admin.clone(), "one", Duration::from_secs(6));
    let lock = locks.take(&place.namespace, NAME, Duration::ZERO).await.unwrap();
    assert!(lock.is_held());
    place.steal().await;
    until("it notices", async || !lock.is_held()).await;
    lock.release().await;
    assert_eq!(place.holder().await.as_deref(), Some("thief"));

    // Also one that has not noticed.
    place.world.admin.namespaced::<Lease>(&place.namespace).delete(NAME, &Delete::default()).await.unwrap();
    let lock = place.locks("one").take(&place.namespace, NAME, Duration::ZERO).await.unwrap();
    place.steal().await;
    lock.release().await;
    assert_eq!(place.holder().await.as_deref(), Some("thief"));
}

#[tokio::test]
async fn a_holder_that_was_cut_off_knows_before_others_can_take_the_lock() {
    let place = Place::new().await;
    let control_plane = place.world.control_plane;
    let way = Way::to(control_plane.url()).await;
    let cut_off = way.cluster(control_plane.admin_kubeconfig(), control_plane.url()).await;
    let locks = Locks::with_duration(cut_off, "one", SHORT);
    let lock = locks.take(&place.namespace, NAME, LONG).await.unwrap();
    way.open.send_replace(false);

    let next = place.locks("two").take(&place.namespace, NAME, LONG).await.unwrap();
    assert!(!lock.is_held());
    way.open.send_replace(true);
    lock.release().await;
    assert_eq!(place.holder().await.as_deref(), Some("two"));
    next.release().await;
    assert_eq!(place.lease().await, None);
}

#[tokio::test]
async fn an_outage_is_waited_out() {
    let place = Place::new().await;
    let control_plane = place.world.control_plane;
    let way = Way::to(control_plane.url()).await;
    let locks = Locks::new(way.cluster(control_plane.admin_kubeconfig(), control_plane.url()).await, "one");
    way.open.send_replace(false);
    let refused = locks.take(&place.namespace, NAME, Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, LockError::Api(Error::Unavailable { .. })), "{refused}");
    let begun = way.refused();
    let (lock, ()) = tokio::join!(locks.take(&place.namespace, NAME, LONG), async {
        until("it is tried again", async || way.refused() >= begun + 2).await;
        way.open.send_replace(true);
    });
    lock.unwrap().release().await;
}

#[tokio::test]
async fn no_lock_is_taken_where_nothing_can_be_made() {
    let place = Place::new().await;
    let locks = place.locks("one");
    let missing = locks.take("no-such-namespace", NAME, LONG).await.unwrap_err();
    assert_eq!(missing.to_string(), "Namespace no-such-namespace does not exist");

    let maps = place.world.admin.namespaced::<ConfigMap>(&place.namespace);
    let kept = json!({ "metadata": { "name": "kept", "finalizers": ["example.com/kept"] } });
    maps.create(&object(kept)).await.unwrap();
    place.world.admin.all::<Namespace>().delete(&place.namespace, &Delete::default()).await.unwrap();
    let ending = locks.take(&place.namespace, NAME, LONG).await.unwrap_err();
    assert_eq!(
        ending.to_string(),
        format!("Lease {}/{NAME} cannot be made: its namespace is being deleted", place.namespace)
    );
    maps.patch("kept", &json!({ "metadata": { "finalizers": null } })).await.unwrap();
}
