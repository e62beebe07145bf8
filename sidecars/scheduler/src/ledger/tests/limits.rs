//! What bounds a ledger: in the cluster and in the memory of the process that holds thousands.

use proptest::prelude::*;

use super::*;
use crate::ledger::{State, book, bounds, run};

/// What takes most room as JSON, in every text.
fn long(claim: Claim) -> Claim {
    let text = "\"\u{1}ä\\".repeat(200);
    let firing = claim.firing.map(|firing| Firing {
        schedule: ScheduleId::new(&format!("{text}{}", firing.schedule)),
        trigger: Some(text.clone()),
        lateness_ms: u64::MAX,
        ..firing
    });
    Claim { by: text, firing, at: claim.at + chrono::TimeDelta::microseconds(123_456), ..claim }
}

#[test]
fn a_ledger_stays_below_64_kib_whatever_is_written() {
    let mut data = Data::new();
    for number in 0..130 {
        let instant = i64::try_from(number).expect("few");
        let claim = long(firing(number, instant, Term::MAX));
        write(&mut data, |book| book.claim(&claim));
        let reason = Some("\\ü\n".repeat(500));
        let outcome = Outcome { duration_ms: u64::MAX, reason, ..ended(false, instant) };
        write(&mut data, |book| book.finish(claim.id, &outcome));
        let book = Book::read(&data);
        assert!(book.unreadable.is_empty(), "{:?}", book.unreadable);
        assert!(book.runs.len() <= 50 && book.newest.len() <= 100);
    }
    let size: usize = data.iter().map(|(key, text)| key.len() + text.len()).sum();
    assert!((50_000..65_536).contains(&size), "{size}");
    let book = Book::read(&data);
    let left: Vec<_> = book.runs().map(|run| run.id).collect();
    assert_eq!(
        left,
        (80..130).rev().map(|number| id_of(number, i64::try_from(number).expect("few"))).collect::<Vec<_>>()
    );
    // The longest that is ever written is what the limits allow for.
    let most = 50 * (40 + run::RUN_BYTES) + 100 * (23 + book::NEWEST_BYTES) + 100;
    assert!(most < 65_536, "{most}");
}

proptest! {
    #[test]
    fn a_schedule_of_any_text_is_told_from_others_and_fits(text in any::<String>(), more in "[ -~]{90,300}") {
        for text in [&text, &more] {
            let schedule = ScheduleId::new(text);
            let json = serde_json::to_string(&schedule).expect("JSON");
            prop_assert!(json.len() <= 98, "{}", json);
            prop_assert_eq!(serde_json::from_str::<ScheduleId>(&json).expect("a schedule"), schedule.clone());
        }
        if more.len() > 96 {
            prop_assert_ne!(ScheduleId::new(&more), ScheduleId::new(&format!("{more} ")));
        }
    }
}

#[test]
fn runs_that_go_on_stay_when_others_must_go() {
    let mut data = Data::new();
    patch(&mut data, &Book::default().claim(&firing(0, 0, 1)).expect("allowed"));
    write(&mut data, |book| book.claim(&firing(1, 1, 1)));
    write(&mut data, |book| book.interrupt(1, at(600)));
    for number in 2..70 {
        let claim = called(number, 1_000 - i64::try_from(number).expect("few"));
        write(&mut data, |book| book.claim(&claim));
        assert!(data.contains_key(&format!("run.{}", claim.id)), "a clock that goes back takes no run away");
        write(&mut data, |book| book.finish(claim.id, &ended(true, 1_000)));
    }
    let book = Book::read(&data);
    assert_eq!((book.runs().count(), book.claimed().next().map(|run| run.id)), (50, Some(id_of(1, 1))));
    assert_eq!(book.interrupted().count(), 0);
}

#[test]
fn a_ledger_that_a_person_filled_is_cut_by_the_next_change() {
    let mut data = Data::new();
    let whole = Book::default().claim(&firing(0, 0, 1)).expect("allowed");
    for number in 0..300 {
        let one = Book::default().claim(&firing(number, 0, 1)).expect("allowed");
        patch(&mut data, &one);
    }
    patch(&mut data, &whole);
    let book = Book::read(&data);
    assert_eq!((book.runs.len(), book.newest.len()), (300, 300));
    patch(&mut data, &book.interrupt(2, at(1)).expect("allowed"));
    let book = Book::read(&data);
    assert_eq!((book.runs.len(), book.newest.len()), (50, 100));
    assert!(book.runs().all(|run| run.state == State::Interrupted));
}

#[test]
fn a_schedule_for_which_there_is_no_room_takes_none_away_that_is_as_far() {
    let mut data = Data::new();
    for number in 0..100 {
        write(&mut data, |book| book.claim(&firing(number, 60, 1)));
    }
    let book = Book::read(&data);
    assert_eq!(book.claim(&firing(100, 60, 1)), Err(Refused::Full));
    assert_eq!(book.since(&schedule(100), at(59), 1, |_| true), Err(Refused::Full));
    assert_eq!(book.skip(&skip(100, 60, 60, "overlap", 1)), Err(Refused::Full));
    patch(&mut data, &book.claim(&firing(100, 120, 1)).expect("allowed"));
    let book = Book::read(&data);
    let gone: Vec<u64> = (0..100).filter(|number| book.newest(&schedule(*number)).is_none()).collect();
    let [gone] = gone[..] else { panic!("{gone:?}") };
    // Its run is gone, too, or not: it is not claimed again either way, nor by being seen anew.
    let other = Claim { id: id(1), ..firing(gone, 60, 1) };
    assert_eq!(book.claim(&other), Err(Refused::NotNewer(at(60))));
    patch(&mut data, &book.since(&schedule(gone), at(61), 1, |_| true).expect("allowed"));
    assert_eq!(Book::read(&data).claim(&other), Err(Refused::NotNewer(at(61))));
}

#[test]
fn schedules_that_are_there_no_more_take_no_room_from_one_that_is() {
    let (mut data, monthly) = (Data::new(), schedule(0));
    write(&mut data, |book| book.claim(&firing(0, 1, 1)));
    // One that is changed again and again, each time under another name.
    for number in 1..=150 {
        let changed = [schedule(number), monthly.clone()];
        let instant = at(10_000 - i64::try_from(number).expect("few"));
        write(&mut data, |book| book.since(&changed[0], instant, 1, |schedule| changed.contains(schedule)));
        let book = Book::read(&data);
        assert_eq!((book.newest(&monthly), book.newest(&changed[0])), (Some(at(1)), Some(instant)), "{number}");
        assert_eq!(book.newest.len(), 2);
    }
    assert_eq!(Book::read(&data).since(&monthly, at(0), 1, |_| false), Ok(Change::default()), "nothing to write");
}

#[test]
fn ledgers_of_5000_tentacles_take_less_than_20_mb() {
    let mut data = Data::new();
    // More than are kept, the last two of them open, and then instants that are skipped.
    for number in 0..60 {
        let claim = firing(1, number, 1);
        write(&mut data, |book| book.claim(&claim));
        if number < 58 {
            write(&mut data, |book| book.finish(claim.id, &ended(true, number)));
        }
    }
    write(&mut data, |book| book.interrupt(2, at(61)));
    write(&mut data, |book| book.claim(&firing(1, 62, 2)));
    write(&mut data, |book| book.skip(&skip(1, 63, 70, "the run before it was still going on", 2)));
    let mut kept = Book::read(&data);
    assert_eq!(kept.runs.len(), bounds::RUNS);
    kept.compact();
    let states: Vec<State> = kept.runs().map(|run| run.state).collect();
    assert_eq!(states, [State::Skipped, State::Claimed, State::Interrupted, State::Interrupted]);
    let text = |run: &run::Run| run.by.capacity() + run.reason.as_ref().map_or(0, String::capacity) + 2 * 32;
    let size = size_of::<crate::ledger::Held>()
        + kept.runs.capacity() * size_of::<book::Entry>()
        + kept.runs().map(|run| size_of::<run::Run>() + text(run)).sum::<usize>()
        + kept.newest.capacity() * (size_of::<book::Newest>() + 32)
        + 4 * 64;
    assert!(size < 20_000_000 / 5_000, "{size} bytes for each");
}
