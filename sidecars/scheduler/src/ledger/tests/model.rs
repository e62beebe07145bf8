//! Books against a model that keeps everything and knows nothing of entries: random operations, each judged by both.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::ledger::State;

#[derive(Debug, Clone)]
enum Step {
    Claim { schedule: u64, instant: i64, term: Term, again: bool },
    Call { number: u64, now: i64 },
    Finish { run: RunId, success: bool },
    HandOver { run: RunId },
    Skip { schedule: u64, first: i64, more: i64, reason: &'static str, term: Term },
    Since { schedule: u64, instant: i64, term: Term },
    Interrupt { term: Term, now: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (schedule, instant, term) = (0_u64..3, 0_i64..30, 0_u32..4);
    let run = prop_oneof![
        (schedule.clone(), instant.clone()).prop_map(|(schedule, instant)| id_of(schedule, instant)),
        (900_u64..905).prop_map(id),
    ];
    let reason = prop_oneof![Just("overlap"), Just("missed")];
    prop_oneof![
        4 => (schedule.clone(), instant.clone(), term.clone(), any::<bool>())
            .prop_map(|(schedule, instant, term, again)| Step::Claim { schedule, instant, term, again }),
        1 => (900_u64..905, instant.clone()).prop_map(|(number, now)| Step::Call { number, now }),
        4 => (run.clone(), any::<bool>()).prop_map(|(run, success)| Step::Finish { run, success }),
        1 => run.prop_map(|run| Step::HandOver { run }),
        3 => (schedule.clone(), instant.clone(), 0_i64..3, reason, term.clone())
            .prop_map(|(schedule, first, more, reason, term)| Step::Skip { schedule, first, more, reason, term }),
        1 => (schedule, instant, term.clone())
            .prop_map(|(schedule, instant, term)| Step::Since { schedule, instant, term }),
        1 => (term, 0_i64..800).prop_map(|(term, now)| Step::Interrupt { term, now }),
    ]
}

fn judge(book: &Book, step: &Step) -> Result<Change, Refused> {
    match *step {
        Step::Claim { schedule, instant, term, again: false } => book.claim(&firing(schedule, instant, term)),
        Step::Claim { schedule, instant, term, again: true } => book.claim(&again(firing(schedule, instant, term))),
        Step::Call { number, now } => book.claim(&called(number, now)),
        Step::Finish { run, success } => book.finish(run, &ended(success, 50)),
        Step::HandOver { run } => Ok(book.hand_over(run)),
        Step::Skip { schedule, first, more, reason, term } => {
            book.skip(&skip(schedule, first, first + more, reason, term))
        }
        Step::Since { schedule: number, instant, term } => book.since(&schedule(number), at(instant), term, |_| true),
        Step::Interrupt { term, now } => book.interrupt(term, at(now)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    state: State,
    term: Option<Term>,
    deadline: i64,
    count: i64,
}

#[derive(Debug, Clone, Default)]
struct Model {
    runs: BTreeMap<RunId, Known>,
    newest: BTreeMap<u64, i64>,
    /// The skip of each schedule that an equal one is added to.
    last_skip: BTreeMap<u64, (RunId, &'static str)>,
    term: Term,
}

impl Model {
    /// Whether the step is allowed; then it is done.
    fn take(&mut self, step: &Step) -> bool {
        let state = |model: &Self, run| model.runs.get(&run).map(|known| known.state);
        let is_newer =
            |model: &Self, schedule, instant| model.newest.get(schedule).is_none_or(|newest| *newest < instant);
        match *step {
            Step::Claim { term, .. } | Step::Skip { term, .. } | Step::Since { term, .. } if term < self.term => {
                return false;
            }
            Step::Interrupt { term, .. } if term < self.term => return false,
            Step::Claim { schedule, instant, term, again } => {
                let run = id_of(schedule, instant);
                let once_more = again && state(self, run) == Some(State::Interrupted);
                if !once_more && (state(self, run).is_some() || !is_newer(self, &schedule, instant)) {
                    return false;
                }
                let known = Known { state: State::Claimed, term: Some(term), deadline: instant + 600, count: 1 };
                self.runs.insert(run, known);
                self.term = term;
                if is_newer(self, &schedule, instant) {
                    self.newest.insert(schedule, instant);
                    self.last_skip.remove(&schedule);
                }
            }
            Step::Call { number, now } => {
                if state(self, id(number)).is_some() {
                    return false;
                }
                let known = Known { state: State::Claimed, term: None, deadline: now + 120, count: 1 };
                self.runs.insert(id(number), known);
            }
            Step::Finish { run, success } => {
                let ended = if success { State::Succeeded } else { State::Failed };
                let Some(known) = self.runs.get_mut(&run) else { return false };
                if !known.state.is_open() && known.state != ended {
                    return false;
                }
                known.state = ended;
            }
            Step::HandOver { run } => {
                if let Some(known) = self.runs.get_mut(&run).filter(|known| known.state == State::Claimed) {
                    known.term = None;
                }
            }
            Step::Skip { schedule, first, .. } if !is_newer(self, &schedule, first) => return false,
            Step::Skip { schedule, first, more, reason, term } => {
                self.term = term;
                self.skip(schedule, first, more, reason);
            }
            Step::Since { schedule, instant, term } => {
                if is_newer(self, &schedule, instant) {
                    self.newest.insert(schedule, instant);
                    self.last_skip.remove(&schedule);
                    self.term = term;
                }
            }
            Step::Interrupt { term, now } => self.interrupt(term, now),
        }
        true
    }

    fn skip(&mut self, schedule: u64, first: i64, more: i64, reason: &'static str) {
        self.newest.insert(schedule, first + more);
        let term = Some(self.term);
        match self.last_skip.get(&schedule) {
            Some((run, last)) if *last == reason => {
                let known = self.runs.get_mut(run).expect("nothing goes");
                (known.count, known.term) = (known.count + more + 1, term);
            }
            _ => {
                let known = Known { state: State::Skipped, term, deadline: 0, count: more + 1 };
                self.runs.insert(id_of(schedule, first), known);
                self.last_skip.insert(schedule, (id_of(schedule, first), reason));
            }
        }
    }

    fn interrupt(&mut self, term: Term, now: i64) {
        for known in self.runs.values_mut().filter(|known| known.state == State::Claimed) {
            if known.term.is_some_and(|claimed| claimed < term) || known.deadline <= now {
                known.state = State::Interrupted;
                self.term = term;
            }
        }
    }

    fn check(&self, book: &Book) {
        let runs: BTreeMap<RunId, Known> = book.runs().map(|run| (run.id, known(run))).collect();
        assert_eq!(runs, self.runs);
        assert_eq!(book.term(), self.term);
        for number in 0..3 {
            assert_eq!(book.newest(&schedule(number)), self.newest.get(&number).map(|newest| at(*newest)));
        }
    }
}

fn known(run: &crate::ledger::Run) -> Known {
    let deadline = run.deadline.map_or(0, |deadline| (deadline - at(0)).num_seconds());
    Known { state: run.state, term: run.term, deadline, count: run.count.into() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_ledger_does_what_the_model_does(steps in prop::collection::vec(step(), 1..45)) {
        let (mut data, mut held, mut kept, mut model) = (Data::new(), Book::default(), Book::default(), Model::default());
        for step in steps {
            let judged = judge(&held, &step);
            prop_assert_eq!(judged.is_ok(), model.take(&step), "{:?}: {:?}", step, judged);
            // What a process keeps of a ledger is enough to judge by; but it does not know outcomes, to find one equal.
            match judge(&kept, &step) {
                Err(Refused::Ended) => {}
                by_kept => prop_assert_eq!(&by_kept, &judged, "{:?}", step),
            }
            let Ok(change) = judged else { continue };
            patch(&mut data, &change);
            held.apply(&change);
            kept.apply(&change);
            kept.compact();
            prop_assert_eq!(&Book::read(&data), &held);
            model.check(&held);
            let none_needless = change.data().iter().all(|(key, text)| text.is_some() || !data.contains_key(key));
            prop_assert!(none_needless);
            let ids: BTreeSet<_> = held.runs().map(|run| run.id).collect();
            prop_assert_eq!(ids.len(), held.runs().count());
        }
    }
}
