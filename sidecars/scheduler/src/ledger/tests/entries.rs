//! What one entry says, what is refused, and what a person's edits do.

use super::*;
use crate::ledger::{Cursor, Run, State, page::InvalidCursor};

type Judge = fn(&Book) -> Result<Change, Refused>;

/// A book that took these changes.
struct Written {
    book: Book,
}

impl Written {
    fn new() -> Self {
        Self { book: Book::default() }
    }

    fn then<E: std::fmt::Debug>(mut self, judge: impl FnOnce(&Book) -> Result<Change, E>) -> Self {
        let change = judge(&self.book).expect("allowed");
        self.book.apply(&change);
        self
    }
}

fn run(book: &Book, wanted: RunId) -> &Run {
    book.runs().find(|run| run.id == wanted).expect("the run")
}

#[test]
fn an_instant_is_claimed_once_and_none_before_it() {
    let book = Written::new().then(|book| book.claim(&firing(1, 20, 1))).book;
    assert_eq!(book.claim(&firing(1, 20, 1)), Err(Refused::Taken));
    assert_eq!(book.claim(&again(firing(1, 20, 1))), Err(Refused::Taken));
    assert_eq!(book.claim(&Claim { id: id(9), ..firing(1, 20, 1) }), Err(Refused::NotNewer(at(20))));
    assert_eq!(book.claim(&firing(1, 19, 1)), Err(Refused::NotNewer(at(20))));
    assert_eq!(book.since(&schedule(1), at(10), 1, |_| true), Ok(Change::default()));
    assert!(book.claim(&firing(1, 21, 1)).is_ok());
    assert!(book.claim(&firing(2, 20, 1)).is_ok());
}

#[test]
fn a_lower_term_writes_nothing() {
    let book = Written::new().then(|book| book.claim(&firing(1, 20, 3))).book;
    let refused = Some(Refused::LowerTerm(3));
    assert_eq!(book.claim(&firing(1, 30, 2)).err(), refused);
    assert_eq!(book.skip(&skip(1, 30, 31, "overlap", 2)).err(), refused);
    assert_eq!(book.since(&schedule(2), at(30), 2, |_| true).err(), refused);
    assert_eq!(book.interrupt(2, at(10_000)).err(), refused);
    assert!(book.claim(&firing(1, 30, 3)).is_ok());
    assert!(book.claim(&called(1, 30)).is_ok(), "wf_run needs no lead");
}

#[test]
fn an_instant_that_is_to_run_alone_waits_for_no_other_than_a_call_that_goes_on() {
    let alone = |instant: i64| {
        let claim = firing(1, instant, 1);
        let firing = claim.firing.map(|firing| Firing { alone: true, ..firing });
        Claim { firing, ..claim }
    };
    let book = Written::new().then(|book| book.claim(&firing(2, 0, 1))).then(|book| book.claim(&called(1, 0))).book;
    assert_eq!(book.claim(&alone(119)), Err(Refused::Overlap));
    assert!(book.claim(&firing(1, 119, 1)).is_ok(), "where runs may overlap");
    assert!(book.claim(&alone(120)).is_ok(), "at its deadline");
    let book = Written { book }.then(|book| book.finish(id(1), &ended(true, 5))).book;
    assert!(book.claim(&alone(6)).is_ok(), "it ended");
}

#[test]
fn a_run_that_is_handed_over_counts_until_its_end_or_its_deadline_whoever_leads() {
    let mut alone = firing(1, 10, 2);
    alone.firing.as_mut().expect("a firing").alone = true;
    let book = Written::new().then(|book| book.claim(&firing(1, 0, 1))).book;
    assert!(book.claim(&alone).is_ok(), "of its own runs the leader knows");
    let change = book.hand_over(id_of(1, 0));
    let book = Written { book }.then(|_| Ok::<_, Refused>(change)).book;
    assert_eq!(book.interrupt(2, at(599)), Ok(Change::default()));
    assert_eq!(book.claim(&alone), Err(Refused::Overlap));
    assert_eq!(book.hand_over(id_of(1, 0)), Change::default(), "once");
    let late = Written { book: book.clone() }.then(|book| book.interrupt(2, at(600))).book;
    assert_eq!(run(&late, id_of(1, 0)).state, State::Interrupted);
    let ended = Written { book }.then(|book| book.finish(id_of(1, 0), &ended(true, 9))).book;
    assert!(ended.claim(&alone).is_ok());
    assert_eq!(ended.hand_over(id_of(1, 0)), Change::default(), "it goes on no more");
    assert_eq!(ended.hand_over(id_of(1, 5)), Change::default(), "it is not there");
}

#[test]
fn a_call_is_claimed_and_ends() {
    let book = Written::new().then(|book| book.claim(&called(1, 0))).book;
    assert_eq!(book.claim(&called(1, 5)), Err(Refused::Taken));
    let book = Written { book }.then(|book| book.finish(id(1), &ended(false, 2))).book;
    let run = run(&book, id(1));
    assert_eq!((run.state, run.by.as_str(), run.duration_ms), (State::Failed, "ann@x.io", Some(1_500)));
    assert_eq!((run.ended_at, run.reason.as_deref()), (Some(at(2)), Some("the engine answered 500")));
    assert_eq!((run.schedule.as_ref(), run.term, run.instant), (None, None, None));
    assert_eq!(book.finish(id(1), &ended(false, 2)), Ok(Change::default()), "the same once more");
    assert_eq!(book.finish(id(1), &ended(true, 2)), Err(Refused::Ended));
    assert_eq!(book.finish(id(2), &ended(true, 2)), Err(Refused::NoRun));
}

#[test]
fn what_a_leader_left_is_interrupted_and_a_late_outcome_replaces_that() {
    let book = Written::new()
        .then(|book| book.claim(&firing(1, 0, 1)))
        .then(|book| book.claim(&firing(2, 1, 2)))
        .then(|book| book.claim(&called(1, 2)));
    assert_eq!(book.book.interrupt(1, at(10)), Err(Refused::LowerTerm(2)));
    let book = book.then(|book| book.interrupt(2, at(10))).book;
    let states = |book: &Book| [id_of(1, 0), id_of(2, 1), id(1)].map(|id| run(book, id).state);
    assert_eq!(states(&book), [State::Interrupted, State::Claimed, State::Claimed]);
    assert_eq!(book.interrupt(2, at(121)), Ok(Change::default()));
    let book = Written { book }.then(|book| book.interrupt(2, at(122))).book;
    assert_eq!(states(&book), [State::Interrupted, State::Claimed, State::Interrupted]);
    let book = Written { book }.then(|book| book.finish(id_of(1, 0), &ended(true, 11))).book;
    let late = run(&book, id_of(1, 0));
    assert_eq!((late.state, late.reason.as_ref(), late.ended_at), (State::Succeeded, None, Some(at(11))));
    assert_eq!(book.claim(&again(firing(1, 0, 2))), Err(Refused::Taken));
}

#[test]
fn an_interrupted_run_is_claimed_again_where_that_is_asked_for() {
    let book = Written::new()
        .then(|book| book.claim(&firing(1, 0, 1)))
        .then(|book| book.claim(&firing(1, 9, 1)))
        .then(|book| book.interrupt(2, at(10)))
        .book;
    assert_eq!(book.claim(&firing(1, 0, 2)), Err(Refused::Taken));
    assert_eq!(book.claim(&again(firing(1, 0, 1))), Err(Refused::LowerTerm(2)));
    let book = Written { book }.then(|book| book.claim(&again(Claim { at: at(12), ..firing(1, 0, 2) }))).book;
    let run = run(&book, id_of(1, 0));
    assert_eq!((run.state, run.term, run.claimed_at), (State::Claimed, Some(2), at(12)));
    assert_eq!((run.ended_at, run.reason.as_ref()), (None, None));
    assert_eq!(book.newest(&schedule(1)), Some(at(9)), "it does not go back");
    assert_eq!(book.claim(&again(firing(1, 0, 2))), Err(Refused::Taken));
}

#[test]
fn equal_skips_without_anything_between_are_one_entry() {
    let book = Written::new()
        .then(|book| book.skip(&skip(1, 0, 2, "overlap", 1)))
        .then(|book| book.skip(&skip(2, 1, 1, "overlap", 1)))
        .then(|book| book.skip(&skip(1, 3, 3, "overlap", 1)))
        .book;
    let folded = run(&book, id_of(1, 0));
    assert_eq!((folded.count, folded.instant, folded.last_instant), (4, Some(at(0)), Some(at(3))));
    assert_eq!((folded.state, folded.ended_at, folded.deadline), (State::Skipped, None, None));
    let other = run(&book, id_of(2, 1));
    assert_eq!((other.count, other.last_instant, book.runs().count()), (1, None, 2));
    assert_eq!(book.newest(&schedule(1)), Some(at(3)));
    assert_eq!(book.skip(&skip(1, 3, 5, "overlap", 1)), Err(Refused::NotNewer(at(3))));

    let between: [Judge; 3] = [
        |book| book.claim(&firing(1, 4, 1)),
        |book| book.skip(&skip(1, 4, 4, "missed", 1)),
        |book| book.since(&schedule(1), at(4), 1, |_| true),
    ];
    for between in between {
        let book = Written { book: book.clone() }.then(between).then(|book| book.skip(&skip(1, 5, 6, "overlap", 1)));
        assert_eq!(run(&book.book, id_of(1, 0)).count, 4);
        assert_eq!(run(&book.book, id_of(1, 5)).count, 2);
    }
}

#[test]
fn a_write_is_known_by_its_runs_as_long_as_they_stand_as_written() {
    let mut data = Data::new();
    let claimed = Book::default().claim(&firing(1, 0, 1)).expect("allowed");
    assert!(!claimed.was_written(&data));
    patch(&mut data, &claimed);
    write(&mut data, |book| book.claim(&firing(2, 1, 1)));
    assert!(claimed.was_written(&data));
    for other in [Claim { at: at(1), ..firing(1, 0, 1) }, firing(1, 0, 2)] {
        assert!(!Book::default().claim(&other).expect("allowed").was_written(&data));
    }
    write(&mut data, |book| book.interrupt(2, at(1)));
    assert!(!claimed.was_written(&data), "whoever claimed it must not make it");
    let since = Book::default().since(&schedule(3), at(0), 1, |_| true).expect("allowed");
    assert!(!since.was_written(&data), "without a run there is nothing to know it by");
}

#[test]
fn a_run_is_json_that_a_person_can_read() {
    let mut claim = firing(1, 0, 3);
    claim.at += chrono::TimeDelta::microseconds(7_500);
    let change = Book::default().claim(&claim).expect("allowed");
    let mut data = Data::new();
    patch(&mut data, &change);
    assert_eq!(data["term"], "3");
    let text = "{\"id\":\"00000000-0000-7000-8000-0000000f4240\",\"schedule\":\"1\",\"by\":\"schedule\",\
                \"instant\":\"2023-11-14T22:13:20Z\",\"claimed_at\":\"2023-11-14T22:13:20.007Z\",\
                \"deadline\":\"2023-11-14T22:23:20Z\",\"state\":\"claimed\",\"term\":3,\"lateness_ms\":7}";
    assert_eq!(data["run.00000000-0000-7000-8000-0000000f4240"], text);
    let newest = data.iter().find(|(key, _)| key.starts_with("newest.")).expect("the newest instant");
    assert_eq!(newest.0.len(), "newest.".len() + 16);
    assert_eq!(newest.1, "{\"schedule\":\"1\",\"instant\":\"2023-11-14T22:13:20Z\"}");
    assert_eq!(data.len(), 3);
}

#[test]
fn what_a_person_broke_counts_for_nothing_and_goes_with_the_next_change() {
    let mut data = Data::new();
    patch(&mut data, &Book::default().claim(&firing(1, 0, 3)).expect("allowed"));
    let (good, newest) = (data.clone(), data.keys().find(|key| key.starts_with("newest.")).cloned().expect("one"));
    let whole = data[&format!("run.{}", id_of(1, 0))].clone();
    for (key, text) in [
        ("notes", "call Ann"),
        ("floor", "yesterday"),
        ("run.", "{}"),
        ("run.00000000-0000-7000-8000-000000000001", "{"),
        // Another's text, and an id in another spelling.
        ("run.00000000-0000-7000-8000-000000000002", whole.as_str()),
        ("run.0000000000007000800000000000000f4240", whole.as_str()),
        ("newest.0000000000000000", data[&newest].clone().as_str()),
        ("newest.1", "[]"),
    ] {
        data.insert(key.to_owned(), text.to_owned());
    }
    // Years so far away that no next instant can be computed.
    data.insert("floor".to_owned(), "+262142-12-31T23:59:59Z".to_owned());
    let far = schedule(7);
    let key = format!("newest.{}", far.hash());
    data.insert(key, format!(r#"{{"schedule":"{far}","instant":"+262142-12-31T23:59:59Z"}}"#));
    data.insert("run.00000000-0000-7000-8000-000000000003".to_owned(), format!("{whole}{}", " ".repeat(1_000)));
    data.insert(
        "run.00000000-0000-7000-8000-000000000004".to_owned(),
        whole.replace("0000000f4240", "000000000004").replace("claimed\"", "lost\""),
    );
    let book = Book::read(&data);
    assert_eq!((book.runs().count(), book.term(), book.newest(&far)), (1, 3, None));
    assert_eq!(book.claim(&firing(1, 0, 3)), Err(Refused::Taken));
    assert_eq!(book.interrupt(3, at(1)), Ok(Change::default()), "nobody writes for that alone");
    let change = book.finish(id_of(1, 0), &ended(true, 1)).expect("allowed");
    patch(&mut data, &change);
    assert_eq!(data.keys().collect::<Vec<_>>(), good.keys().collect::<Vec<_>>());

    data.insert("term".to_owned(), "-1".to_owned());
    assert_eq!(Book::read(&data).term(), 0);
    // Nothing that somebody writes there makes it unwritable for good.
    data.insert("term".to_owned(), Term::MAX.to_string());
    let book = Book::read(&data);
    assert_eq!(book.term(), 0);
    assert!(book.claim(&firing(1, 90, 5)).expect("allowed").data().contains_key("term"));
}

#[test]
fn pages_follow_each_other_while_runs_come_and_go() {
    let mut data = Data::new();
    for number in 0..7 {
        write(&mut data, |book| book.claim(&called(number, 0)));
    }
    let book = Book::read(&data);
    let ids = |runs: Vec<&Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    let (page, cursor) = book.page(None, 3, |_| true);
    assert_eq!(ids(page), [id(6), id(5), id(4)]);
    let cursor: Cursor = cursor.expect("there are more").to_string().parse().expect("a cursor");

    // The run at which the page ended goes, and a newer one comes.
    data.remove(&format!("run.{}", id(4)));
    write(&mut data, |book| book.claim(&called(9, 1)));
    let book = Book::read(&data);
    let (page, next) = book.page(Some(cursor), 4, |run| run.id != id(2));
    assert_eq!((ids(page), next), (vec![id(3), id(1), id(0)], None));
    let (page, next) = book.page(Some(cursor), 4, |_| true);
    assert_eq!((ids(page), next), (vec![id(3), id(2), id(1), id(0)], None));
    for text in ["", "x", "1.x", "x.1", "9999999999999999999.00000000-0000-7000-8000-000000000001"] {
        assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor));
    }
}
