//! What the annotations of a tentacle's Deployment say about when it runs.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    str::FromStr,
    time::Duration,
};

use chrono::TimeDelta;
use chrono_tz::Tz;
use tentacular_contract::{
    EnclaveName, TentacleName,
    cron::{self, Kind, Missed, Overlap, Schedule, Splits, Unchosen},
    facts::Pairs,
    keys,
    workflow::CronTrigger,
};

use crate::ledger::{SCHEDULES, ScheduleId};

/// The annotations that a timetable is read from. When none of them changed, it is the same.
const READ: [&str; 5] =
    [keys::CRON_SCHEDULE, keys::CRON_TIMEZONE, keys::CRON_MISSED, keys::CRON_OVERLAP, keys::CRON_JITTER];

/// When a tentacle runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timetable {
    pub(crate) entries: Vec<Entry>,
    /// Why some of what stands there is no schedule: one sentence each.
    pub(crate) invalid: Vec<String>,
    /// The zone of schedules without one of their own.
    pub(crate) timezone: Option<Tz>,
    pub(crate) missed: Missed,
    pub(crate) overlap: Overlap,
}

/// One schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// What tells it from the tentacle's others: its name in the annotation, else the expression.
    pub(crate) id: ScheduleId,
    pub(crate) schedule: Schedule,
    /// How much later than its instants it fires.
    pub(crate) jitter: Duration,
}

impl Entry {
    /// The same as [`Self::jitter`], to be added to times.
    pub(crate) fn delay(&self) -> TimeDelta {
        TimeDelta::from_std(self.jitter).unwrap_or_default()
    }
}

/// Of a Deployment's annotations those that a timetable is read from.
pub(crate) fn relevant(annotations: &Pairs) -> Pairs {
    let read = READ.into_iter().filter_map(|key| annotations.get_key_value(key));
    let mut pairs: Pairs = read.map(|(key, value)| (key.clone(), value.clone())).collect();
    // Where the annotation of the older server stands alone, it counts.
    if !pairs.contains_key(keys::CRON_SCHEDULE)
        && let Some(schedule) = annotations.get(keys::LEGACY_CRON_SCHEDULE)
    {
        pairs.insert(keys::CRON_SCHEDULE.to_owned(), schedule.clone());
    }
    pairs.retain(|_, value| !value.trim().is_empty());
    pairs
}

impl Timetable {
    /// Reads the `relevant` annotations of a tentacle. `triggers` are those of its `workflow.yaml`, where they are known:
    /// they decide between several ways to read the schedules.
    pub(crate) fn read(
        (enclave, tentacle): (&EnclaveName, &TentacleName),
        relevant: &Pairs,
        triggers: Option<&[CronTrigger]>,
    ) -> Self {
        let mut invalid = Vec::new();
        let text = |key: &str| relevant.get(key).map(|text| text.trim());
        let missed = option(text(keys::CRON_MISSED), &mut invalid);
        let overlap = option(text(keys::CRON_OVERLAP), &mut invalid);
        let jitter: cron::Jitter = option(text(keys::CRON_JITTER), &mut invalid);
        let timezone = text(keys::CRON_TIMEZONE).map(cron::timezone).transpose();
        let mut schedules = Vec::new();
        if let Some(text) = text(keys::CRON_SCHEDULE) {
            schedules = read_schedules(text, triggers, &mut invalid);
        }
        let timezone = timezone.unwrap_or_else(|error| {
            // In another zone they would fire at the wrong time; intervals are the same in all.
            schedules.retain(|schedule| schedule.timezone.is_some() || matches!(schedule.kind, Kind::Every(_)));
            invalid.push(error.to_string());
            None
        });
        if schedules.len() > SCHEDULES {
            let count = schedules.len();
            invalid.push(format!(
                "{count} schedules: only the first {SCHEDULES} are fired, use another tentacle for the rest"
            ));
            schedules.truncate(SCHEDULES);
        }
        let entries = schedules.into_iter().map(|schedule| {
            let id = ScheduleId::new(&schedule.identity());
            Entry { id, jitter: jitter.delay(enclave, tentacle, &schedule), schedule }
        });
        Self { entries: entries.collect(), invalid, timezone, missed, overlap }
    }
}

/// Whether only `workflow.yaml` can tell how the schedules are to be read, which of two that are alike is which, or where one
/// ends that is wrong.
pub(crate) fn is_ambiguous(relevant: &Pairs) -> bool {
    match relevant.get(keys::CRON_SCHEDULE).map(|text| cron::parse(text.trim())) {
        Some(Ok(Splits::Several(_)) | Err(_)) => true,
        Some(Ok(Splits::One(schedules))) => {
            let different: BTreeSet<_> = schedules.iter().map(Schedule::identity).collect();
            different.len() < schedules.len()
        }
        None => false,
    }
}

/// The names that the triggers of `workflow.yaml` give to schedules without one, in the order of the timetable. None where one
/// of them can be no name, which is said.
pub(crate) fn names(relevant: &Pairs, triggers: &[CronTrigger]) -> (Vec<Option<String>>, Option<String>) {
    let chosen = relevant.get(keys::CRON_SCHEDULE).map(|text| cron::choose(text.trim(), triggers));
    match chosen {
        Some(Ok(schedules)) => (schedules.into_iter().map(|schedule| schedule.name).collect(), None),
        Some(Err(error @ (Unchosen::Name(_) | Unchosen::SameName(_)))) => {
            (Vec::new(), Some(format!("{error}; until then all fire without the names of workflow.yaml")))
        }
        Some(Err(_)) | None => (Vec::new(), None),
    }
}

fn option<T: FromStr + Default>(text: Option<&str>, invalid: &mut Vec<String>) -> T
where
    T::Err: fmt::Display,
{
    let Some(text) = text else { return T::default() };
    text.parse().unwrap_or_else(|error: T::Err| {
        invalid.push(format!("{error}; the default holds"));
        T::default()
    })
}

fn read_schedules(text: &str, triggers: Option<&[CronTrigger]>, invalid: &mut Vec<String>) -> Vec<Schedule> {
    let triggers = triggers.unwrap_or_default();
    let whole = match cron::choose(text, triggers) {
        Ok(schedules) => return schedules,
        Err(whole) => whole,
    };
    let each = entries(text, triggers);
    if each.len() < 2 {
        invalid.push(whole.to_string());
        return Vec::new();
    }
    // One that is wrong does not stop the others.
    let (mut valid, mut names) = (Vec::new(), HashSet::new());
    for (entry, trigger) in each {
        let schedules = cron::choose(entry, trigger).unwrap_or_else(|error| {
            invalid.push(error.to_string());
            Vec::new()
        });
        for schedule in schedules {
            match &schedule.name {
                Some(name) if !names.insert(name.clone()) => {
                    invalid.push(format!(
                        "the name {name:?} stands twice, and only the first schedule of that name is fired: give each a \
                         name of its own"
                    ));
                }
                _ => valid.push(schedule),
            }
        }
    }
    valid
}

/// The entries of an annotation, where it is plain where each ends: they are the schedules of these triggers, each of which
/// is returned with its entry, or all have names.
fn entries<'a>(text: &'a str, triggers: &'a [CronTrigger]) -> Vec<(&'a str, &'a [CronTrigger])> {
    let joined: Vec<_> = triggers.iter().map(|trigger| trigger.schedule.as_str()).collect();
    if joined.join(",").trim() == text {
        return joined.into_iter().zip(triggers.chunks(1)).collect();
    }
    named_entries(text).into_iter().map(|entry| (entry, &[][..])).collect()
}

/// The entries of an annotation in which each has a name (`name=`): there it is plain where one ends.
fn named_entries(text: &str) -> Vec<&str> {
    let opens = |rest: &str| {
        let name = rest.split_once('=').map_or("", |(name, _)| name.trim());
        !name.is_empty()
            && !matches!(name, "TZ" | "CRON_TZ")
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    if !opens(text) {
        return vec![text];
    }
    let mut begins: Vec<_> = vec![0];
    begins.extend(text.match_indices(',').map(|(at, _)| at + 1).filter(|at| opens(&text[*at..])));
    let ends = begins.iter().skip(1).map(|begin| begin - 1).chain([text.len()]);
    begins.iter().zip(ends).map(|(begin, end)| &text[*begin..end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[(&str, &str)], triggers: Option<&[CronTrigger]>) -> (Vec<String>, Vec<String>) {
        let pairs = list.iter().map(|(key, value)| (format!("tentacular.io/{key}"), (*value).to_owned())).collect();
        let place = ("team-a".parse().expect("a name"), "report".parse().expect("a name"));
        let table = Timetable::read((&place.0, &place.1), &relevant(&pairs), triggers);
        (table.entries.iter().map(|entry| entry.id.to_string()).collect(), table.invalid)
    }

    #[test]
    fn a_schedule_is_known_by_its_name_else_by_its_text() {
        let (ids, invalid) = read(&[("cron-schedule", " a=0 9 * * *,b=@daily ")], None);
        assert_eq!((ids, invalid), (vec!["a".to_owned(), "b".to_owned()], vec![]));
        let (ids, _) = read(&[("cron-schedule", "0 2 * * *,*/15 9-17 * * 1,3,5")], None);
        assert_eq!(ids, ["0 2 * * *", "*/15 9-17 * * 1,3,5"]);
    }

    #[test]
    fn a_named_one_that_is_wrong_does_not_stop_the_others() {
        let (ids, invalid) = read(&[("cron-schedule", "a=0 9,17 * * 1,5,b=0 25 * * *,c=@every 5m")], None);
        assert_eq!(ids, ["a", "c"]);
        assert!(invalid.len() == 1 && invalid[0].contains("\"25\" is no hour"), "{invalid:?}");
        let (ids, invalid) = read(&[("cron-schedule", "0 9 * * *,soon")], None);
        assert_eq!((ids.len(), invalid.len()), (0, 1));
    }

    #[test]
    fn of_two_of_one_name_the_first_is_fired_and_the_other_is_told() {
        let (ids, invalid) = read(&[("cron-schedule", "a=0 9 * * *,b=@daily,a=0 10 * * *")], None);
        assert_eq!(ids, ["a", "b"]);
        assert!(invalid.len() == 1 && invalid[0].contains("\"a\" stands twice"), "{invalid:?}");
    }

    #[test]
    fn without_names_the_triggers_tell_where_one_ends_that_is_wrong() {
        let trigger = |name: Option<&str>, schedule: &str| CronTrigger {
            name: name.map(str::to_owned),
            schedule: schedule.to_owned(),
        };
        let pairs = [("cron-schedule", "0 2 * * *,61 * * * 1,5,*/15 * * * *")];
        let triggers =
            [trigger(None, "0 2 * * *"), trigger(Some("wrong"), "61 * * * 1,5"), trigger(Some("q"), "*/15 * * * *")];
        let (ids, invalid) = read(&pairs, Some(&triggers));
        assert_eq!(ids, ["0 2 * * *", "q"]);
        assert!(invalid.len() == 1 && invalid[0].contains("\"61\" is no minute"), "{invalid:?}");
        let (ids, invalid) = read(&pairs, Some(&triggers[..2]));
        assert_eq!((ids.len(), invalid.len()), (0, 1));
    }

    #[test]
    fn no_more_schedules_are_fired_than_a_ledger_keeps_apart() {
        let many: Vec<_> = (0..=SCHEDULES).map(|number| format!("s{number}=@hourly")).collect();
        let (ids, invalid) = read(&[("cron-schedule", &many.join(","))], None);
        assert_eq!((ids.len(), ids.last().map(String::as_str)), (SCHEDULES, Some("s99")));
        assert!(invalid[0].contains("101 schedules: only the first 100"), "{invalid:?}");
    }

    #[test]
    fn in_an_unknown_zone_only_those_with_one_of_their_own_fire() {
        let schedules = "a=0 9 * * *,b=CRON_TZ=UTC 0 9 * * *,c=@every 5m";
        let (ids, invalid) = read(&[("cron-schedule", schedules), ("cron-timezone", "Mars/Olympus")], None);
        assert_eq!(ids, ["b", "c"], "an interval is the same in every zone");
        assert!(invalid[0].contains("IANA"), "{invalid:?}");
    }

    #[test]
    fn an_option_that_cannot_be_read_is_told_and_the_default_holds() {
        let (ids, invalid) = read(&[("cron-schedule", "@daily"), ("cron-missed", "all")], None);
        assert_eq!(ids.len(), 1);
        assert!(invalid[0].contains("use skip or once; the default holds"), "{invalid:?}");
    }

    #[test]
    fn only_the_workflow_tells_two_apart_that_are_alike() {
        let pairs = |text: &str| Pairs::from([(keys::CRON_SCHEDULE.to_owned(), text.to_owned())]);
        for (text, ambiguous) in [
            ("0 9 * * *,0 17 * * *", false),
            ("0 9 * * *,0 9 * * *", true),
            ("0 9 * * 1,5,30 2 * * *", true),
            ("a=0 9 * * *,b=0 9 * * *", false),
            ("0 9 * * *,61 9 * * *", true),
            ("nonsense", true),
        ] {
            assert_eq!(is_ambiguous(&pairs(text)), ambiguous, "{text}");
        }
    }
}
