//! Schedulers that change one ledger by compare-and-swap, each by what it read last.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A scheduler: the version that it read, what that said, and the term that it believes to be its own.
#[derive(Debug, Default)]
struct Scheduler {
    version: u32,
    book: Book,
    term: Term,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Read,
    Lead,
    Claim { schedule: u64, instant: i64 },
    Skip { schedule: u64, first: i64, last: i64 },
    Interrupt,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let (schedule, instant) = (0_u64..2, 0_i64..12);
    let step = prop_oneof![
        3 => Just(Step::Read),
        1 => Just(Step::Lead),
        8 => (schedule.clone(), instant.clone()).prop_map(|(schedule, instant)| Step::Claim { schedule, instant }),
        2 => (schedule, instant, 0_i64..3)
            .prop_map(|(schedule, first, more)| Step::Skip { schedule, first, last: first + more }),
        1 => Just(Step::Interrupt),
    ];
    (0_usize..2, step)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn of_two_schedulers_one_gets_an_instant(steps in prop::collection::vec(step(), 1..100)) {
        let (mut data, mut version, mut terms) = (Data::new(), 0, 0);
        let mut schedulers = [Scheduler::default(), Scheduler::default()];
        let mut claimed: BTreeMap<(u64, i64), Term> = BTreeMap::new();
        let mut written = 0;
        for (which, step) in steps {
            let scheduler = &mut schedulers[which];
            let term = scheduler.term;
            let judged: Result<Change, Refused> = match step {
                Step::Read => {
                    (scheduler.version, scheduler.book) = (version, Book::read(&data));
                    continue;
                }
                Step::Lead => {
                    terms += 1;
                    scheduler.term = terms;
                    continue;
                }
                Step::Claim { schedule, instant } => scheduler.book.claim(&firing(schedule, instant, term)),
                Step::Skip { schedule, first, last } => scheduler.book.skip(&skip(schedule, first, last, "overlap", term)),
                Step::Interrupt => scheduler.book.interrupt(term, at(0)),
            };
            // The compare-and-swap: who read an earlier version writes nothing.
            let Ok(change) = judged else { continue };
            if scheduler.version != version || change.is_empty() {
                continue;
            }
            let before = Book::read(&data);
            patch(&mut data, &change);
            version += 1;
            scheduler.version = version;
            scheduler.book.apply(&change);
            let after = Book::read(&data);
            for number in 0..2 {
                prop_assert!(after.newest(&schedule(number)) >= before.newest(&schedule(number)));
            }
            prop_assert!(term >= written, "a leader that was replaced wrote");
            written = after.term();
            if let Step::Claim { schedule, instant } = step {
                prop_assert_eq!(claimed.insert((schedule, instant), term), None, "claimed twice");
            }
        }
    }
}
