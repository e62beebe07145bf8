//! What comes next, in the order of time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use super::{Place, Time};

/// One schedule of a tentacle: the place of the tentacle, and which of its schedules.
pub(super) type Key = (Place, usize);

/// Times that count no more and may lie around, beside as many as there are schedules.
const SPARE: usize = 1000;

/// When to look at which schedule. Of two times for one schedule the one that was set last counts.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    heap: BinaryHeap<Reverse<(Time, u64, Key)>>,
    valid: HashMap<Key, u64>,
    count: u64,
}

impl Wheel {
    /// Looks at the schedule at that time, and not when it was to be looked at before.
    pub(super) fn set(&mut self, key: Key, at: Time) {
        self.count += 1;
        self.valid.insert(key.clone(), self.count);
        self.heap.push(Reverse((at, self.count, key)));
        if self.heap.len() > 2 * self.valid.len() + SPARE {
            let valid = &self.valid;
            self.heap.retain(|Reverse((_, count, key))| valid.get(key) == Some(count));
        }
    }

    /// Looks at no schedule of the tentacle any more.
    pub(super) fn remove(&mut self, place: &Place, entries: usize) {
        for index in 0..entries {
            self.valid.remove(&(place.clone(), index));
        }
    }

    /// The schedule whose time came first, if it has come.
    pub(super) fn pop(&mut self, now: Time) -> Option<Key> {
        loop {
            let Reverse((at, _, _)) = self.heap.peek()?;
            if *at > now {
                return None;
            }
            let Reverse((_, count, key)) = self.heap.pop()?;
            if self.valid.get(&key) == Some(&count) {
                self.valid.remove(&key);
                return Some(key);
            }
        }
    }

    /// The next time at which there may be something to look at.
    pub(super) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn a_schedule_that_changes_all_the_time_takes_no_more_room() {
        let place = Place { enclave: "team-a".parse().expect("a name"), tentacle: "a".parse().expect("a name") };
        let (mut wheel, next_year) = (Wheel::default(), DateTime::from_timestamp(1_800_000_000, 0).expect("a time"));
        for _ in 0..10_000 {
            wheel.set((place.clone(), 0), next_year);
        }
        assert!(wheel.heap.len() <= SPARE + 3, "{}", wheel.heap.len());
        assert_eq!(wheel.pop(next_year), Some((place, 0)));
        assert_eq!(wheel.pop(next_year), None);
    }

    #[test]
    fn what_is_due_comes_in_order_and_only_where_it_still_counts() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let at = |seconds: i64| start + TimeDelta::seconds(seconds);
        let place = |name: &str| Place {
            enclave: "team-a".parse().expect("a name"),
            tentacle: name.parse().expect("a name"),
        };
        let mut wheel = Wheel::default();
        wheel.set((place("a"), 0), at(3));
        wheel.set((place("b"), 0), at(1));
        wheel.set((place("c"), 0), at(2));
        wheel.set((place("a"), 0), at(2));
        wheel.set((place("d"), 0), at(1));
        wheel.remove(&place("d"), 1);
        assert_eq!((wheel.next(), wheel.pop(at(0))), (Some(at(1)), None));
        let mut order = Vec::new();
        while let Some((place, _)) = wheel.pop(at(9)) {
            order.push(place.tentacle.to_string());
        }
        assert_eq!(order, ["b", "c", "a"]);
    }
}
