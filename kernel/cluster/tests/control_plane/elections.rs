//! One leader among several processes, each played by an [`Election`] of its own.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tentacular_cluster::{Delete, Election, ElectionTimes, Leadership};
use tokio::time::{Instant, timeout};

use crate::{
    place::{NAME, Place},
    support::until,
    way::Way,
};

const TIMES: ElectionTimes = ElectionTimes {
    duration: Duration::from_secs(10),
    pause: Duration::from_millis(100),
    // A busy machine is slower than one would think.
    give_up: Duration::from_secs(8),
};

fn candidate(place: &Place, identity: &str) -> Election {
    Election::new(&place.world.admin, &place.namespace, NAME, identity, TIMES)
}

/// A leadership that is to come about, in a time that only a hang reaches.
async fn leads(election: &Election) -> Leadership {
    timeout(Duration::from_mins(2), election.lead()).await.unwrap()
}

/// Whether this one leads, and no other may.
fn is_leader(leadership: &Leadership) -> bool {
    Instant::now() < *leadership.until().borrow()
}

#[tokio::test]
async fn one_leads_at_a_time_and_each_has_a_higher_term() {
    let place = Place::new().await;
    let candidates = ["one", "two", "three"].map(|identity| candidate(&place, identity));
    let mut before = 0;
    for _ in 0..5 {
        let [one, two, three] = &candidates;
        let leader = tokio::select! {
            leader = leads(one) => leader,
            leader = leads(two) => leader,
            leader = leads(three) => leader,
        };
        assert!(is_leader(&leader) && leader.term() > before, "{} after {before}", leader.term());
        before = leader.term();
        leader.resign(0).await;
        until("it is left to whoever comes", async || place.holder().await.as_deref() == Some("")).await;
    }
}

#[tokio::test]
async fn a_leader_that_lives_keeps_the_others_out() {
    let place = Place::new().await;
    let leader = leads(&candidate(&place, "one")).await;
    let other = candidate(&place, "two");
    // Longer than the Lease is good without a renewal.
    timeout(TIMES.duration + Duration::from_secs(2), other.lead()).await.unwrap_err();
    assert!(is_leader(&leader));
    leader.resign(0).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_ends_before_another_begins() {
    let place = Place::new().await;
    let control_plane = place.world.control_plane;
    let way = Way::to(control_plane.url()).await;
    let cut_off = way.cluster(control_plane.admin_kubeconfig(), control_plane.url()).await;
    let leader = leads(&Election::new(&cut_off, &place.namespace, NAME, "one", TIMES)).await;
    way.open.send_replace(false);
    let next = leads(&candidate(&place, "two")).await;
    // By the first one's own watch: when this test looks at it is another matter.
    assert!(*leader.until().borrow() < Instant::now(), "the second began while the first could still lead");
    timeout(Duration::from_mins(2), leader.lost()).await.unwrap();
    assert!(next.term() > leader.term());
    next.resign(0).await;
}

#[tokio::test]
async fn a_leader_whose_lease_is_taken_or_deleted_knows_and_terms_go_on() {
    let place = Place::new().await;
    let leader = leads(&candidate(&place, "one")).await;
    place.steal().await;
    timeout(Duration::from_mins(2), leader.lost()).await.unwrap();
    assert!(!is_leader(&leader));
    leader.resign(0).await;
    assert_eq!(place.holder().await.as_deref(), Some("thief"), "it gives nothing away that is not its own");

    let leases = place.world.admin.namespaced::<Lease>(&place.namespace);
    leases.delete(NAME, &Delete::default()).await.unwrap();
    let second = leads(&candidate(&place, "two")).await;
    let term = second.term();
    leases.delete(NAME, &Delete::default()).await.unwrap();
    until("the leader notices", async || !is_leader(&second)).await;
    let third = leads(&candidate(&place, "two")).await;
    assert!(third.term() >= term, "a Lease that is made anew counts on");
    let above = third.term() + 1000;
    third.resign(above).await;
    until("it is given back", async || place.holder().await.as_deref() == Some("")).await;
    assert!(leads(&candidate(&place, "two")).await.term() > above);
}
