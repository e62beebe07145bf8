//! When a schedule fires. croner finds the local times that the fields match, as if clocks were never changed; which
//! instants these are in a zone is decided here. croner's own rule takes lists and ranges for intervals, and gives up in a
//! gap of a day.

use std::iter;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use croner::Cron;

use super::{Kind, Schedule};

/// Days of each month in a leap year.
const LONGEST_MONTHS: [u16; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Schedule {
    /// The first instant after `after` at which it fires, or `None` when it never does again (`0 0 30 2 *`).
    ///
    /// `timezone` is that of the annotation `cron-timezone`; the schedule's own counts before it, UTC without both.
    /// `@every` fires when the seconds since the Unix epoch are a multiple of its own. Fields fire at whole local minutes:
    /// with `*` or a step in minute or hour at every instant whose local time they match, else once for each local time
    /// they match: at the first instant where it exists twice, at the next one that exists where it is left out.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>, timezone: Option<Tz>) -> Option<DateTime<Utc>> {
        let after = after.trunc_subsecs(0);
        let zone = self.timezone.or(timezone).unwrap_or(Tz::UTC);
        match &self.kind {
            Kind::Every(interval) => {
                let interval = i64::try_from(interval.as_secs()).ok()?;
                let passed = after.timestamp().div_euclid(interval);
                DateTime::from_timestamp(passed.checked_add(1)?.checked_mul(interval)?, 0)
            }
            Kind::Fields(cron) if never(cron) => None,
            Kind::Fields(cron) if follows_real_time(cron) => real_time(cron, zone, after),
            Kind::Fields(cron) => fixed_time(cron, zone, after),
        }
    }

    /// The instants after `after` at which it fires, one after the other; see [`Self::next_after`].
    pub fn instants(&self, after: DateTime<Utc>, timezone: Option<Tz>) -> impl Iterator<Item = DateTime<Utc>> {
        iter::successors(self.next_after(after, timezone), move |last| self.next_after(*last, timezone))
    }
}

/// Whether no month has one of its days: croner would look for them until the year 5000.
fn never(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    let longest = pattern.months.values().into_iter().map(|month| LONGEST_MONTHS[usize::from(month - 1)]).max();
    pattern.is_dow_wildcard() && pattern.days.values().into_iter().min() > longest
}

/// Whether minute or hour stands for an interval instead of times of day.
fn follows_real_time(cron: &Cron) -> bool {
    cron.pattern.as_str().split(' ').take(2).any(|field| field.contains(['*', '/']))
}

/// The local times after `local` that the fields match, also those that the zone leaves out.
fn matches(cron: &Cron, local: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
    let next = |local: NaiveDateTime| Some(cron.find_next_occurrence(&local.and_utc(), false).ok()?.naive_utc());
    iter::successors(next(local), move |last| next(*last))
}

/// The first instant after `after` that is the one of a matching local time.
///
/// Later local times never have earlier instants, so the search begins at that of `after`; only where clocks were changed
/// the first ones may not be later.
fn fixed_time(cron: &Cron, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let local = after.with_timezone(&zone).naive_local();
    matches(cron, local).map_while(|local| only_instant(zone, local)).find(|instant| *instant > after)
}

/// The one instant at which what is due at `local` fires.
fn only_instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let instant = match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => Some(instant),
        MappedLocalTime::None => GapInfo::new(&local, &zone)?.end,
    };
    instant.map(|instant| instant.to_utc())
}

/// The first instant after `after` whose local time matches.
fn real_time(cron: &Cron, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let local = after.with_timezone(&zone).naive_local();
    let mut later = matches(cron, local).filter_map(|local| match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) => Some(instant.to_utc()),
        MappedLocalTime::Ambiguous(first, second) => Some(if first > after { first } else { second }.to_utc()),
        MappedLocalTime::None => None,
    });
    let ahead = later.next();
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Ambiguous(first, second) if first == after => {
            ahead.into_iter().chain(again(cron, zone, local, second - first)).min()
        }
        _ => ahead,
    }
}

/// The first instant in the second pass of a repeated time of which `local` is in the first, when its local time is not
/// after `local`. Clocks went back by `shift`.
fn again(cron: &Cron, zone: Tz, local: NaiveDateTime, shift: TimeDelta) -> Option<DateTime<Utc>> {
    let repeated = matches(cron, local - shift).take_while(|earlier| *earlier <= local);
    let mut second = repeated.filter_map(|earlier| match zone.from_local_datetime(&earlier) {
        MappedLocalTime::Ambiguous(_, second) => Some(second.to_utc()),
        _ => None,
    });
    second.next()
}

#[cfg(test)]
mod tests;
