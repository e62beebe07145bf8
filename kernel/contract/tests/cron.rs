//! The cron dialect and its instants, against vectors of robfig/cron v3, the parser that clients' schedules were written
//! for. To make the vectors again: `cd kernel/contract/tests/data/cron && go run . > vectors.jsonl`; cases are in
//! `cases.go`, and `main.go` says what a vector holds.

use std::collections::BTreeSet;

use chrono::{DateTime, Offset, TimeZone, Utc};
use serde::Deserialize;
use serde_json::Value;
use tentacular_contract::cron::{self, Schedule, Splits};

const INSTANTS: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    schedule: String,
    annotation: Option<String>,
    timezone: Option<String>,
    after: DateTime<Utc>,
    next: Option<Vec<DateTime<Utc>>>,
    robfig: Option<Value>,
    why: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("data/cron/vectors.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

impl Vector {
    /// The annotation's only schedule, or the one of several; `None` where the annotation is refused.
    fn read(&self) -> Option<Schedule> {
        let splits = cron::parse(self.annotation.as_ref().unwrap_or(&self.schedule)).ok()?;
        let Splits::One(schedules) = splits else { panic!("{self:?} is ambiguous") };
        let alone = self.annotation.is_none();
        assert_eq!(schedules.len() == 1, alone, "{self:?}");
        schedules.into_iter().find(|schedule| alone || schedule.to_string() == self.schedule)
    }
}

#[test]
fn schedules_are_read_and_fire_as_the_vectors_say() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        let zone = vector.timezone.as_deref().map(|zone| cron::timezone(zone).expect(zone));
        let found =
            vector.read().map(|schedule| schedule.instants(vector.after, zone).take(INSTANTS).collect::<Vec<_>>());
        if found != vector.next {
            wrong.push(format!("{vector:?}\nfound {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_vectors_are_enough() {
    let vectors = vectors();
    assert!(vectors.len() >= 300, "{}", vectors.len());
    let mut changed = BTreeSet::new();
    for vector in &vectors {
        assert_eq!(vector.robfig.is_some(), vector.why.is_some(), "a difference and its reason: {vector:?}");
        assert!(vector.next.as_ref().is_none_or(|next| matches!(next.len(), 0 | INSTANTS)), "{vector:?}");
        if let (Some(name), Some(last)) = (&vector.timezone, vector.next.iter().flatten().last()) {
            let zone = cron::timezone(name).expect(name);
            let offset = |instant: &DateTime<Utc>| zone.offset_from_utc_datetime(&instant.naive_utc()).fix();
            let (before, after) = (offset(&vector.after).local_minus_utc(), offset(last).local_minus_utc());
            if before != after {
                changed.insert((name.clone(), after > before));
            }
        }
    }
    let both = changed.iter().filter(|(zone, forward)| *forward && changed.contains(&(zone.clone(), false))).count();
    assert!(both >= 4, "zones with both changes: {changed:?}");
    let recorded = "0 2 * * *,*/15 9-17 * * 1,3,5";
    assert!(vectors.iter().any(|vector| vector.annotation.as_deref() == Some(recorded)));
}
