//! How often an apply asks the API server to write, or whether it would.

use http::Method;

use super::{
    manifests::six,
    place::{Place, counts},
};

/// How many objects, and how many locks, the registrar asked to write since the first `skip` of its requests; dry runs
/// count.
fn asked(place: &Place, skip: usize) -> (usize, usize) {
    let calls = place.calls();
    let writing = calls[skip..].iter().filter(|call| call.is_write() || call.is_dry_run());
    let (locks, objects): (Vec<_>, Vec<_>) = writing.partition(|call| call.resource() == "leases");
    // On a slow machine a lock is renewed, too.
    (objects.len(), locks.into_iter().filter(|call| call.method != Method::PATCH).count())
}

#[tokio::test]
async fn e2e_apply_asks_to_write_each_object_once_when_nothing_changed() -> anyhow::Result<()> {
    let place = Place::new("counted").await?;
    let before = place.calls().len();
    place.apply("report", &six("report")).await?;
    let (objects, locks) = asked(&place, before);
    assert!(objects <= 4 * 6 && locks <= 4, "a first apply: {objects} for objects, {locks} for locks");

    let before = place.calls().len();
    let again = place.apply("report", &six("report")).await?;
    assert_eq!(counts(&again), [0, 0, 0, 6], "{again}");
    assert_eq!(asked(&place, before), (6, 2));
    Ok(())
}
