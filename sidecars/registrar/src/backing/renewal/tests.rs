//! The agenda, at times that are passed in.

use serde_json::json;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// A Secret that was made at 0, with this annotation.
fn seen(tentacle: &str, record: &str) -> Seen {
    let metadata = json!({
        "name": secret_name(tentacle), "namespace": "team-a", "creationTimestamp": "1970-01-01T00:00:00Z",
        "labels": { keys::RELEASE: tentacle }, "annotations": { keys::CREDENTIALS: record },
    });
    Seen::of(serde_json::from_value(json!({ "metadata": metadata })).unwrap()).unwrap()
}

fn agenda(longest_age: Option<TimeDelta>) -> Agenda {
    Agenda { longest_age, entries: BTreeMap::new() }
}

/// What is due of that one alone.
fn due(agenda: &mut Agenda, seen: &Seen, seconds: i64) -> Option<Wanted> {
    let due = agenda.due([seen].into_iter(), at(seconds));
    due.into_iter().next().map(|(_, wanted)| wanted)
}

const HOUR: i64 = 3600;
const OF_1000: &str = r#"{"postgres":{"since":"1970-01-01T00:16:40Z"}}"#;
const TO_REVOKE: &str = r#"{"postgres":{"since":"1970-01-01T00:16:40Z","revoke":true}}"#;

#[test]
fn only_the_servers_own_secret_counts() {
    for (name, release) in [("tentacular-exoskeleton-a", "b"), ("a-secrets", "a"), ("tentacular-exoskeleton-", "")] {
        let metadata = json!({ "name": name, "namespace": "team-a", "creationTimestamp": "1970-01-01T00:00:00Z",
            "labels": { keys::RELEASE: release } });
        assert_eq!(Seen::of(serde_json::from_value(json!({ "metadata": metadata })).unwrap()), None, "{name}");
    }
}

#[test]
fn credentials_are_looked_at_every_hour_or_so() {
    let (mut agenda, one) = (agenda(None), seen("report", OF_1000));
    assert_eq!(due(&mut agenda, &one, 1000), None, "they are new");
    assert_eq!(due(&mut agenda, &one, 1000 + HOUR - 1), None);
    let first = 1000 + HOUR + HOUR / 10;
    assert_eq!(due(&mut agenda, &one, first), Some(Wanted::All));
    agenda.looked(&one.tenant, Wanted::All, Some(Looked::Settled), at(first));
    assert_eq!(due(&mut agenda, &one, first + HOUR - 1), None);
    assert_eq!(due(&mut agenda, &one, first + HOUR + HOUR / 10), Some(Wanted::All));
}

#[test]
fn one_that_was_not_looked_at_for_long_is_due_at_once() {
    assert_eq!(due(&mut agenda(None), &seen("report", OF_1000), 10 * HOUR), Some(Wanted::All));
    assert_eq!(due(&mut agenda(None), &seen("report", ""), 10 * HOUR), Some(Wanted::All), "of an older server");
}

#[test]
fn what_becomes_too_old_is_due_then_and_not_all_the_time() {
    let (mut agenda, one) = (agenda(Some(TimeDelta::minutes(10))), seen("report", OF_1000));
    assert_eq!(due(&mut agenda, &one, 1000 + 539), None);
    assert_eq!(due(&mut agenda, &one, 1000 + 600), Some(Wanted::All));
    // It had nothing to renew, such as a token that all share.
    agenda.looked(&one.tenant, Wanted::All, Some(Looked::Settled), at(1600));
    assert_eq!(due(&mut agenda, &one, 1600 + HOUR - 1), None);
    let renewed = seen("report", r#"{"postgres":{"since":"1970-01-01T00:26:40Z","revoke":true}}"#);
    assert_eq!(due(&mut agenda, &renewed, 1601), Some(Wanted::Pending), "what is recorded now counts");
}

#[test]
fn one_that_waits_for_its_pods_is_looked_at_soon_and_then_less_often() {
    let (mut agenda, one) = (agenda(None), seen("report", TO_REVOKE));
    assert_eq!(due(&mut agenda, &one, 1000), Some(Wanted::Pending));
    let (mut now, mut pauses) = (1000, Vec::new());
    for _ in 0..9 {
        agenda.looked(&one.tenant, Wanted::Pending, Some(Looked::Waiting), at(now));
        let before = now;
        while due(&mut agenda, &one, now).is_none() {
            now += 1;
        }
        pauses.push(now - before);
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
    agenda.looked(&one.tenant, Wanted::Pending, Some(Looked::Settled), at(now));
    assert_eq!(due(&mut agenda, &one, now + 300), None);
    assert_eq!(agenda.failing(), 0, "waiting is no failure");
}

#[test]
fn one_that_failed_is_tried_again_and_counted_until_it_succeeds() {
    let (mut agenda, one, other) = (agenda(None), seen("report", OF_1000), seen("other", OF_1000));
    let now = 10 * HOUR;
    assert_eq!(agenda.due([&one, &other].into_iter(), at(now)).len(), 2);
    agenda.looked(&one.tenant, Wanted::All, None, at(now));
    agenda.looked(&other.tenant, Wanted::All, Some(Looked::Settled), at(now));
    assert_eq!(agenda.failing(), 1);
    assert!(agenda.due([&one, &other].into_iter(), at(now + 1)).is_empty());
    let again = agenda.due([&one, &other].into_iter(), at(now + 2));
    assert_eq!(again, [(one.tenant.clone(), Wanted::All)]);
    agenda.looked(&one.tenant, Wanted::All, Some(Looked::Settled), at(now + 2));
    assert_eq!(agenda.failing(), 0);
    // One that is gone is forgotten with its failures.
    agenda.looked(&one.tenant, Wanted::All, None, at(now + 2));
    assert!(agenda.due([&other].into_iter(), at(now + 3)).is_empty());
    assert_eq!(agenda.failing(), 0);
}

#[test]
fn of_many_that_are_due_those_come_first_that_wait_longest() {
    let mut agenda = agenda(None);
    let many: Vec<_> = (0..100).map(|number| seen(&format!("a{number}"), "")).collect();
    let waits = seen("waits", TO_REVOKE);
    let there = || many.iter().chain([&waits]);
    let mut now = 10 * HOUR;
    let mut looks: BTreeMap<Tenant, u32> = BTreeMap::new();
    while looks.len() < 101 {
        let due = agenda.due(there(), at(now));
        assert!(!due.is_empty() && due.len() <= BATCH, "{} of {}", due.len(), looks.len());
        for (tenant, wanted) in due {
            // None of them can be reached.
            agenda.looked(&tenant, wanted, None, at(now + 20));
            *looks.entry(tenant).or_default() += 1;
        }
        now += 20;
    }
    assert!(looks.values().all(|looks| *looks <= 2), "{looks:?}");
}

#[test]
fn a_clock_that_was_put_right_holds_nothing_up() {
    let (mut agenda, one) = (agenda(None), seen("report", OF_1000));
    assert_eq!(due(&mut agenda, &one, 1_000_000), Some(Wanted::All));
    agenda.looked(&one.tenant, Wanted::All, Some(Looked::Settled), at(1_000_000));
    assert_eq!(due(&mut agenda, &one, 2000), None);
    assert_eq!(due(&mut agenda, &one, 2000 + HOUR + HOUR / 10), Some(Wanted::All));
}

#[tokio::test]
async fn a_look_that_fails_or_panics_comes_to_nothing_and_harms_no_other() {
    let tenant = seen("report", "").tenant;
    assert_eq!(outcome(&tenant, async { Ok(Looked::Settled) }).await, Some(Looked::Settled));
    assert_eq!(outcome(&tenant, async { Err(ToolError::new("no")) }).await, None);
    assert_eq!(outcome(&tenant, async { panic!("a defect") }).await, None);
}
