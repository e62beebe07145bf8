//! What is to be done about a schedule now, told from how far it has come. Pure: the time is passed in.

use chrono::TimeDelta;
use tentacular_contract::cron::{Kind, Missed};

use super::timetable::{Entry, Timetable};
use crate::clock::Time;

/// An instant that is not older than this is late, as after a change of the leader; an older one was missed.
const LATE: TimeDelta = TimeDelta::minutes(1);
/// Instants that are looked at together: a week of minutes, some ten milliseconds. What goes beyond waits for the next
/// look, so that a gap of years keeps nobody else from being fired.
const TOGETHER: u32 = 10_000;

/// Instants that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Time,
    pub(crate) last: Time,
    pub(crate) count: u32,
}

/// Instants that have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) span: Span,
    /// The one before the last; the first, where it is the only one.
    before_last: Time,
    /// Whether more may have passed after these.
    more: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before this time; never, when there is none.
    Wait(Option<Time>),
    /// The instants are skipped, as they were missed.
    Skip(Span),
    /// The instant is fired, and those before it are skipped.
    Fire {
        /// What fires.
        instant: Time,
        /// What was missed before that.
        missed: Option<Span>,
    },
}

/// What is to be done at `now` about `entry`, which has come to `newest`.
///
/// Of several instants that are due the last is fired, unless it too was missed and the timetable does not say that one
/// run makes up for all.
pub(crate) fn due(timetable: &Timetable, entry: &Entry, newest: Time, now: Time) -> Due {
    let jitter = entry.delay();
    let Some(Passed { span, before_last, more }) = passed(timetable, entry, newest, now - jitter) else {
        let next = entry.schedule.next_after(newest, timetable.timezone);
        return Due::Wait(next.map(|next| next + jitter));
    };
    if more || (now - (span.last + jitter) > LATE && timetable.missed == Missed::Skip) {
        return Due::Skip(span);
    }
    let missed = (span.count > 1).then(|| Span { last: before_last, count: span.count - 1, ..span });
    Due::Fire { instant: span.last, missed }
}

/// The instants after `newest` that would have fired up to `thawed`, or the first of them.
pub(crate) fn frozen(timetable: &Timetable, entry: &Entry, newest: Time, thawed: Time) -> Option<Passed> {
    passed(timetable, entry, newest, thawed - entry.delay())
}

/// The instants after `newest` up to `until`, or the first of them.
fn passed(timetable: &Timetable, entry: &Entry, newest: Time, until: Time) -> Option<Passed> {
    let next = |after: Time| entry.schedule.next_after(after, timetable.timezone).filter(|next| *next <= until);
    let first = next(newest)?;
    if let Kind::Every(interval) = &entry.schedule.kind {
        let seconds = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
        // Always within the time that has passed.
        let further = |times: i64| first + TimeDelta::seconds(times.saturating_mul(seconds));
        let count = (until - first).num_seconds() / seconds;
        let span = Span { first, last: further(count), count: u32::try_from(count + 1).unwrap_or(u32::MAX) };
        return Some(Passed { span, before_last: further((count - 1).max(0)), more: false });
    }
    let (mut span, mut before_last) = (Span { first, last: first, count: 1 }, first);
    while let Some(instant) = next(span.last) {
        if span.count == TOGETHER {
            return Some(Passed { span, before_last, more: true });
        }
        before_last = span.last;
        span = Span { last: instant, count: span.count + 1, ..span };
    }
    Some(Passed { span, before_last, more: false })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tentacular_contract::cron::{self, Overlap, Splits};

    use super::*;
    use crate::ledger::ScheduleId;

    fn timetable(expression: &str, missed: Missed, jitter: u64) -> Timetable {
        let Ok(Splits::One(mut schedules)) = cron::parse(expression) else { panic!("{expression}") };
        let schedule = schedules.remove(0);
        let entry = Entry { id: ScheduleId::new(expression), schedule, jitter: Duration::from_secs(jitter) };
        Timetable { entries: vec![entry], invalid: Vec::new(), timezone: None, missed, overlap: Overlap::Skip }
    }

    fn at(text: &str) -> Time {
        format!("2026-03-{text}Z").parse().expect(text)
    }

    fn decided(timetable: &Timetable, newest: &str, now: &str) -> Due {
        due(timetable, &timetable.entries[0], at(newest), at(now))
    }

    fn span(first: &str, last: &str, count: u32) -> Span {
        Span { first: at(first), last: at(last), count }
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let hourly = timetable("0 * * * *", Missed::Skip, 0);
        assert_eq!(decided(&hourly, "01T10:00:00", "01T10:59:59"), Due::Wait(Some(at("01T11:00:00"))));
        let never = timetable("0 0 30 2 *", Missed::Skip, 0);
        assert_eq!(decided(&never, "01T10:00:00", "09T10:00:00"), Due::Wait(None));
    }

    #[test]
    fn an_instant_fires_when_it_has_come_and_while_it_is_late() {
        let hourly = timetable("0 * * * *", Missed::Skip, 0);
        for now in ["01T11:00:00", "01T11:00:17", "01T11:01:00"] {
            let fire = Due::Fire { instant: at("01T11:00:00"), missed: None };
            assert_eq!(decided(&hourly, "01T10:00:00", now), fire, "{now}");
        }
    }

    #[test]
    fn what_was_missed_is_skipped_and_what_is_late_is_fired() {
        let hourly = timetable("0 * * * *", Missed::Skip, 0);
        assert_eq!(decided(&hourly, "01T10:00:00", "01T11:01:01"), Due::Skip(span("01T11:00:00", "01T11:00:00", 1)));
        assert_eq!(decided(&hourly, "01T10:00:00", "01T15:30:00"), Due::Skip(span("01T11:00:00", "01T15:00:00", 5)));
        let missed = Some(span("01T11:00:00", "01T14:00:00", 4));
        let fire = Due::Fire { instant: at("01T15:00:00"), missed };
        assert_eq!(decided(&hourly, "01T10:00:00", "01T15:00:20"), fire);
    }

    #[test]
    fn once_makes_one_run_for_all_that_was_missed() {
        let hourly = timetable("0 * * * *", Missed::Once, 0);
        let missed = Some(span("01T11:00:00", "02T14:00:00", 28));
        let fire = Due::Fire { instant: at("02T15:00:00"), missed };
        assert_eq!(decided(&hourly, "01T10:00:00", "02T15:59:59"), fire);
    }

    #[test]
    fn intervals_are_counted_without_walking_them() {
        let every = timetable("@every 1s", Missed::Skip, 0);
        let missed = Some(span("01T00:00:01", "11T00:00:00", 864_000));
        let fire = Due::Fire { instant: at("11T00:00:01"), missed };
        assert_eq!(decided(&every, "01T00:00:00", "11T00:00:01"), fire);
    }

    #[test]
    fn a_long_gap_is_taken_a_piece_at_a_time() {
        for missed in [Missed::Skip, Missed::Once] {
            let minutely = timetable("* * * * *", missed, 0);
            let (mut newest, now) = (at("01T00:00:00"), at("01T00:00:30") + TimeDelta::days(30));
            let mut counted = 0;
            let fired = loop {
                match due(&minutely, &minutely.entries[0], newest, now) {
                    Due::Skip(span) => {
                        assert_eq!((span.first, span.count), (newest + TimeDelta::minutes(1), TOGETHER));
                        (newest, counted) = (span.last, counted + span.count);
                    }
                    Due::Fire { instant, missed } => {
                        counted += missed.map_or(0, |missed| missed.count) + 1;
                        break instant;
                    }
                    Due::Wait(_) => panic!("the last minute is due"),
                }
            };
            assert_eq!((fired, counted), (now - TimeDelta::seconds(30), 30 * 24 * 60));
        }
    }

    #[test]
    fn jitter_moves_the_time_and_not_the_instant() {
        let hourly = timetable("0 * * * *", Missed::Skip, 40);
        assert_eq!(decided(&hourly, "01T10:00:00", "01T11:00:39"), Due::Wait(Some(at("01T11:00:40"))));
        let fire = Due::Fire { instant: at("01T11:00:00"), missed: None };
        assert_eq!(decided(&hourly, "01T10:00:00", "01T11:00:40"), fire);
        assert_eq!(decided(&hourly, "01T10:00:00", "01T11:01:40"), fire);
    }

    #[test]
    fn a_freeze_takes_what_would_have_fired_in_it() {
        let hourly = timetable("0 * * * *", Missed::Skip, 2400);
        let frozen = |thawed: &str| frozen(&hourly, &hourly.entries[0], at("01T10:00:00"), at(thawed));
        assert_eq!(frozen("01T11:39:59"), None, "it is still to fire");
        let passed = frozen("01T11:40:00").map(|passed| passed.span);
        assert_eq!(passed, Some(span("01T11:00:00", "01T11:00:00", 1)));
    }

    #[test]
    fn a_clock_that_was_set_back_waits() {
        let hourly = timetable("0 * * * *", Missed::Once, 0);
        assert_eq!(decided(&hourly, "01T11:00:00", "01T10:55:00"), Due::Wait(Some(at("01T12:00:00"))));
    }
}
