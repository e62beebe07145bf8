//! What tests of ledgers share.

mod entries;
mod limits;
mod model;
mod on_the_api_server;

mod races;

use std::collections::BTreeMap;

use super::{Book, Change, Claim, Firing, Outcome, Refused, ScheduleId, Skip, Term, Time};
use crate::run::RunId;

type Data = BTreeMap<String, String>;

/// So many seconds after some noon.
fn at(seconds: i64) -> Time {
    Time::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

fn schedule(number: u64) -> ScheduleId {
    ScheduleId::new(&number.to_string())
}

fn id(number: u64) -> RunId {
    format!("00000000-0000-7000-8000-{number:012x}").parse().expect("an id")
}

/// The id that every scheduler gives to this instant of this schedule, a number below 1,000.
fn id_of(schedule: u64, instant: i64) -> RunId {
    id(schedule * 1_000_000 + instant.unsigned_abs())
}

fn firing(number: u64, instant: i64, term: Term) -> Claim {
    let firing = Firing {
        schedule: schedule(number),
        trigger: None,
        instant: at(instant),
        term,
        lateness_ms: 7,
        again: false,
        alone: false,
    };
    Claim {
        id: id_of(number, instant),
        at: at(instant),
        deadline: at(instant + 600),
        by: String::new(),
        firing: Some(firing),
    }
}

/// The same, which may be claimed again after an interruption.
fn again(claim: Claim) -> Claim {
    let firing = claim.firing.map(|firing| Firing { again: true, ..firing });
    Claim { firing, ..claim }
}

/// A run of `wf_run`.
fn called(number: u64, now: i64) -> Claim {
    Claim { id: id(number), at: at(now), deadline: at(now + 120), by: "ann@x.io".to_owned(), firing: None }
}

fn skip(number: u64, first: i64, last: i64, reason: &str, term: Term) -> Skip {
    Skip {
        id: id_of(number, first),
        at: at(last),
        schedule: schedule(number),
        trigger: None,
        first: at(first),
        last: at(last),
        count: u32::try_from(last - first + 1).expect("few"),
        reason: reason.to_owned(),
        term,
    }
}

fn ended(success: bool, now: i64) -> Outcome {
    let reason = (!success).then(|| "the engine answered 500".to_owned());
    Outcome { success, at: at(now), duration_ms: 1_500, reason }
}

/// What a merge patch does.
fn patch(data: &mut Data, change: &Change) {
    for (key, text) in change.data() {
        match text {
            Some(text) => drop(data.insert(key.clone(), text.clone())),
            None => drop(data.remove(key)),
        }
    }
}

/// Writes what `judge` makes of `data`.
fn write(data: &mut Data, judge: impl FnOnce(&Book) -> Result<Change, Refused>) {
    let change = judge(&Book::read(data)).expect("allowed");
    patch(data, &change);
}
