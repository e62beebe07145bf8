use std::time::{Duration, Instant};

use chrono::{Datelike, DurationRound, Timelike};
use proptest::prelude::*;

use super::*;
use crate::cron::{Splits, parse};

fn schedule(text: &str) -> Schedule {
    match parse(text) {
        Ok(Splits::One(mut schedules)) if schedules.len() == 1 => schedules.remove(0),
        other => panic!("{text:?} is not one schedule: {other:?}"),
    }
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect(text)
}

/// The instants of `text` after `after`, as many as `expected` has, are `expected`.
#[track_caller]
fn fires(text: &str, after: &str, expected: &[&str]) {
    let found: Vec<_> = schedule(text).instants(utc(after), None).take(expected.len()).collect();
    assert_eq!(found, expected.iter().copied().map(utc).collect::<Vec<_>>(), "{text} after {after}");
}

#[test]
fn the_zone_is_its_own_or_the_annotations_or_utc() {
    let after = utc("2026-01-01T00:00:00Z");
    let next = |text: &str, zone| schedule(text).next_after(after, zone).expect(text);
    assert_eq!(next("0 9 * * *", None), utc("2026-01-01T09:00:00Z"));
    assert_eq!(next("0 9 * * *", Some(Tz::Europe__Berlin)), utc("2026-01-01T08:00:00Z"));
    assert_eq!(next("TZ=Asia/Tokyo 9 9 * * *", Some(Tz::Europe__Berlin)), utc("2026-01-01T00:09:00Z"));
}

#[test]
fn the_next_instant_is_later() {
    fires("0 9 * * *", "2026-01-01T09:00:00Z", &["2026-01-02T09:00:00Z"]);
    fires("0 9 * * *", "2026-01-01T08:59:59.999Z", &["2026-01-01T09:00:00Z"]);
    fires("0 9 * * *", "2026-01-01T09:00:00.001Z", &["2026-01-02T09:00:00Z"]);
    fires("@every 7s", "1970-01-01T00:00:00Z", &["1970-01-01T00:00:07Z", "1970-01-01T00:00:14Z"]);
    fires("@every 7s", "1970-01-01T00:00:06.999Z", &["1970-01-01T00:00:07Z"]);
    fires("@every 1h30m", "2026-01-01T00:00:01Z", &["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]);
    fires("@every 5s", "1969-12-31T23:59:56Z", &["1970-01-01T00:00:00Z"]);
}

#[test]
fn a_fixed_time_that_is_left_out_fires_at_the_next_instant() {
    // 02:00 +01:00 becomes 03:00 +02:00.
    let (before, change) = ("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z");
    for text in ["30 2 * * *", "0,15,30 2 * * *", "0-59 2 * * *", "30 2 29 3 *", "0 2,3 * * *"] {
        fires(&format!("TZ=Europe/Berlin {text}"), before, &[change]);
    }
    fires("TZ=Europe/Berlin 0,30 2,3 29 * *", before, &[change, "2026-03-29T01:30:00Z", "2026-04-29T00:00:00Z"]);
    fires("TZ=Europe/Berlin 30 2 * * *", change, &["2026-03-30T00:30:00Z"]);
    // Half an hour: 02:00 +10:30 becomes 02:30 +11:00.
    fires(
        "TZ=Australia/Lord_Howe 15,30,45 2 * * *",
        "2026-10-03T00:00:00Z",
        &["2026-10-03T15:30:00Z", "2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"],
    );
    // Midnight.
    fires("TZ=America/Sao_Paulo 0 0 4 11 *", "2018-11-03T00:00:00Z", &["2018-11-04T03:00:00Z"]);
    fires("TZ=Asia/Beirut 30 0 * * 0", "2026-03-28T00:00:00Z", &["2026-03-28T22:00:00Z"]);
    // The whole of 30 December 2011.
    let apia = ["2011-12-29T18:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T18:00:00Z"];
    fires("TZ=Pacific/Apia 0 8 * * *", "2011-12-29T00:00:00Z", &apia);
    fires("TZ=Pacific/Apia 0 8 30 12 *", "2011-12-01T00:00:00Z", &[apia[1], "2012-12-29T18:00:00Z"]);
}

#[test]
fn a_fixed_time_that_exists_twice_fires_the_first_time() {
    // 03:00 +02:00 becomes 02:00 +01:00.
    for text in ["30 2 * * *", "30 2,2 * * *", "30 2-2 * * 0-6"] {
        let text = format!("TZ=Europe/Berlin {text}");
        fires(&text, "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        fires(&text, "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]);
    }
    fires(
        "TZ=America/Sao_Paulo 30 23 * * *",
        "2018-02-17T12:00:00Z",
        &["2018-02-18T01:30:00Z", "2018-02-19T02:30:00Z"],
    );
    fires(
        "TZ=Australia/Lord_Howe 45 1 * * *",
        "2026-04-04T00:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
    );
}

#[test]
fn intervals_follow_real_time() {
    fires(
        "TZ=Europe/Berlin */30 2 * * *",
        "2026-10-24T12:00:00Z",
        &[
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-26T01:00:00Z",
        ],
    );
    fires("TZ=Europe/Berlin */30 2 * * *", "2026-03-28T02:00:00Z", &["2026-03-30T00:00:00Z"]);
    fires("TZ=Europe/Berlin 50 */1 * * *", "2026-10-25T00:49:00Z", &["2026-10-25T00:50:00Z", "2026-10-25T01:50:00Z"]);
    fires(
        "TZ=Europe/Berlin 10/50 1-3 * * *",
        "2026-10-25T00:10:00Z",
        &["2026-10-25T01:10:00Z", "2026-10-25T02:10:00Z"],
    );
    fires(
        "TZ=Australia/Lord_Howe 50 * * * *",
        "2026-04-04T14:50:00Z",
        &["2026-04-04T15:20:00Z", "2026-04-04T16:20:00Z"],
    );
    fires("TZ=Pacific/Apia @hourly", "2011-12-30T09:00:00Z", &["2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"]);
}

#[test]
fn a_year_has_its_days_and_its_hours() {
    for zone in ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Gaza"] {
        let zone = zone.parse::<Tz>().expect(zone);
        let year = |year| zone.with_ymd_and_hms(year, 7, 1, 12, 0, 0).single().expect("an instant").to_utc();
        let count = |text: &str| {
            let schedule = schedule(text);
            schedule.instants(year(2017), Some(zone)).take_while(|instant| *instant <= year(2018)).count()
        };
        for daily in ["0 0 * * *", "30 2 * * *", "0 23 * * *", "59 2 * * *"] {
            assert_eq!(count(daily), 365, "{daily} in {zone}");
        }
        let quarters = usize::try_from((year(2018) - year(2017)).num_minutes() / 15).expect("a number");
        assert_eq!(count("*/15 * * * *"), quarters, "{zone}");
    }
}

#[test]
fn what_never_fires_is_known_at_once() {
    let started = Instant::now();
    for text in ["0 0 30 2 *", "* * 30,31 2 */1", "0 0 31 4,6,9,11 ?", "*/5 * 31 2-2 *"] {
        let schedule = schedule(text);
        for _ in 0..5000 {
            assert_eq!(schedule.next_after(utc("2026-01-01T00:00:00Z"), None), None, "{text}");
            assert!(started.elapsed() < Duration::from_secs(30), "{text} is looked for");
        }
    }
    fires("0 0 31 2,3 *", "2026-01-01T00:00:00Z", &["2026-03-31T00:00:00Z"]);
    fires("0 0 30 2 MON", "2026-02-01T00:00:00Z", &["2026-02-02T00:00:00Z"]);
    fires("0 0 29 2 *", "2097-01-01T00:00:00Z", &["2104-02-29T00:00:00Z"]);
    assert_eq!(schedule("@every 2000000h").next_after(DateTime::<Utc>::MAX_UTC, None), None);
}

/// The instants within `minutes` after `after` by their definition, minute by minute. What is due at a fixed time fires
/// when the local time passes it for the first time: `passed` is the latest local time that any earlier instant had.
fn by_definition(cron: &Cron, zone: Tz, after: DateTime<Utc>, minutes: i64) -> Vec<DateTime<Utc>> {
    let minute = TimeDelta::minutes(1);
    let pattern = &cron.pattern;
    let [minutes_due, hours, days, months, week] =
        [&pattern.minutes, &pattern.hours, &pattern.days, &pattern.months, &pattern.days_of_week]
            .map(croner::CronComponent::values);
    let has = |values: &[u16], value: u32| values.iter().any(|due| u32::from(*due) == value);
    let both = pattern.is_dom_wildcard() || pattern.is_dow_wildcard();
    let due = |local: NaiveDateTime| {
        let (day, weekday) = (has(&days, local.day()), has(&week, local.weekday().num_days_from_sunday()));
        has(&minutes_due, local.minute())
            && has(&hours, local.hour())
            && has(&months, local.month())
            && if both { day && weekday } else { day || weekday }
    };
    let local = |instant: DateTime<Utc>| instant.with_timezone(&zone).naive_local();
    let mut instant = after.duration_trunc(minute).expect("a minute") - TimeDelta::days(2);
    let mut passed = local(instant);
    let mut found = Vec::new();
    while instant < after + TimeDelta::minutes(minutes) {
        instant += minute;
        let now = local(instant);
        let fires = if follows_real_time(cron) {
            due(now)
        } else {
            iter::successors(Some(now), |local| Some(*local - minute)).take_while(|local| *local > passed).any(due)
        };
        passed = passed.max(now);
        if fires && instant > after {
            found.push(instant);
        }
    }
    found
}

proptest! {
    /// Around clock changes of every kind, the instants are those of the definition.
    #[test]
    fn instants_are_those_of_the_definition(
        (zone, change) in prop::sample::select(vec![
            ("Europe/Berlin", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-10-25T01:00:00Z"),
            ("America/New_York", "2026-03-08T07:00:00Z"),
            ("America/New_York", "2026-11-01T06:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
            ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
            ("Asia/Beirut", "2026-03-28T22:00:00Z"),
            ("Asia/Beirut", "2026-10-24T21:00:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("Antarctica/Troll", "2026-03-29T01:00:00Z"),
            ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
        ]),
        minute in "(\\*|\\*/7|\\*/15|0|15/20|0,30|45|10-20|5,35,59|0-59|0-50/10)",
        hour in "(\\*|\\*/2|\\*/5|0|0-1|1,2,3|2|23|0-23|1-3|22/1)",
        day in "(\\*|\\*/2|28|30|1-7)",
        week in "(\\*|\\*/2|0|5-6|1)",
        offset in -7200_i64..7200,
    ) {
        let zone = zone.parse::<Tz>().expect(zone);
        let after = utc(change) + TimeDelta::seconds(offset);
        let schedule = schedule(&format!("{minute} {hour} {day} * {week}"));
        let Kind::Fields(cron) = &schedule.kind else { panic!("five fields") };
        let minutes = 30 * 60;
        let end = after + TimeDelta::minutes(minutes);
        let found: Vec<_> = schedule.instants(after, Some(zone)).take_while(|instant| *instant <= end).collect();
        let mut expected = by_definition(cron, zone, after, minutes);
        expected.retain(|instant| *instant <= end);
        prop_assert_eq!(found, expected);
    }
}
