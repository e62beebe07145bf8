//! When a Lease may be taken.

use super::*;

fn claim() -> Claim {
    let client = kube::Client::new(tower::service_fn(never), "default");
    Claim::new(&Cluster::new(client), "team-a", "tentacular-report", "us", Duration::from_secs(15))
}

async fn never(_: http::Request<kube::client::Body>) -> Result<http::Response<kube::client::Body>, tower::BoxError> {
    Err("nothing is sent here".into())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Held by `holder` since second 100, renewed at second 200, good for 10 s.
fn held_by(holder: &str) -> Lease {
    let spec = json!({
        "holderIdentity": holder, "leaseDurationSeconds": 10, "leaseTransitions": 3,
        "acquireTime": MicroTime(at(100)), "renewTime": MicroTime(at(200)),
    });
    Lease { metadata: ObjectMeta::default(), spec: serde_json::from_value(spec).unwrap() }
}

#[tokio::test]
async fn a_lease_that_is_made_anew_long_after_a_candidate_began_counts_from_then_on() {
    let counted = |claim: Claim, minute: i64| transitions(&claim.fresh(at(60 * minute)));
    let candidate = claim().counting_on();
    assert_eq!((counted(candidate.clone(), 7), counted(candidate, 43_207)), (7, 43_207));
    assert_eq!(counted(claim(), 7), 0);
}

#[tokio::test]
async fn a_lease_of_somebody_else_is_free_when_its_time_is_over() {
    let lease = held_by("them");
    assert!(!claim().may_take(&lease, at(209), Duration::ZERO));
    assert!(claim().may_take(&lease, at(210), Duration::ZERO));
    assert_eq!(held_for(&lease, at(209)), Some(Duration::from_secs(109)));
    assert_eq!(held_for(&lease, at(1)), Some(Duration::ZERO));
}

#[tokio::test]
async fn a_lease_that_does_not_change_for_its_time_is_free_whatever_the_clock_says() {
    for now in [at(-1_000_000), at(200)] {
        assert!(!claim().may_take(&held_by("them"), now, Duration::from_millis(9_999)));
        assert!(claim().may_take(&held_by("them"), now, Duration::from_secs(10)));
    }
}

#[tokio::test]
async fn a_lease_that_says_nothing_of_its_time_is_watched_for_ours() {
    let spec = LeaseSpec { holder_identity: Some("them".to_owned()), ..LeaseSpec::default() };
    let lease = Lease { metadata: ObjectMeta::default(), spec: Some(spec) };
    assert!(!claim().may_take(&lease, at(1_000_000), Duration::from_secs(14)));
    assert!(claim().may_take(&lease, at(0), Duration::from_secs(15)));
}

#[tokio::test]
async fn our_own_lease_and_one_without_holder_are_free() {
    for lease in [held_by("us"), held_by(""), Lease::default()] {
        assert!(claim().may_take(&lease, at(200), Duration::ZERO), "{lease:?}");
    }
}

#[tokio::test]
async fn taking_over_counts_a_transition_and_holds_on_to_what_was_read() {
    let mut lease = held_by("them");
    lease.metadata.resource_version = Some("7".to_owned());
    let patch = claim().taking(&lease);
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    assert_eq!(patch["spec"]["leaseTransitions"], 4);
    assert_eq!(patch["spec"]["holderIdentity"], "us");
    assert_eq!(patch["spec"]["leaseDurationSeconds"], 15);
}
