//! `wf_schedule`: when a tentacle runs next, and what stands in the way. It reads what the scheduler that leads reads, by
//! the same rules.

use std::sync::Arc;

use chrono::SecondsFormat;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::Cluster;
use tentacular_contract::{
    Authz, Needs, On, Platform,
    cron::{Missed, Overlap},
    workflow::CronTrigger,
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::{limit, utc};
use crate::{
    clock::{Clock, Time},
    clockwork::{Entry, Place, Timetable, is_ambiguous, names, relevant, triggers},
    ledger::{Book, Ledgers},
    live::Live,
    run::millis,
};

/// Instants of each schedule when the caller names no number.
const DEFAULT: usize = 5;
/// Most instants of each schedule.
const MOST: usize = 50;

/// The arguments of `wf_schedule`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the tentacle. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Name of the tentacle.
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: String,
    /// How many instants to name of each schedule, from 1 to 50; 5 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    limit: Option<usize>,
}

/// The result of `wf_schedule`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// Name of the tentacle.
    name: String,
    /// Enclave of the tentacle.
    enclave: String,
    /// Whether the enclave is frozen: then nothing fires, and what would have fired is skipped.
    frozen: bool,
    /// What happens to instants that passed while no scheduler could fire them: they are skipped (`skip`), or one run
    /// makes up for all of them (`once`).
    #[schemars(extend("enum" = ["skip", "once"]))]
    missed: &'static str,
    /// What happens at an instant while a run still goes on: it is skipped (`skip`), or both run (`allow`,
    /// up to 20 at a time).
    #[schemars(extend("enum" = ["skip", "allow"]))]
    overlap: &'static str,
    /// The schedules that fire, in the order of the annotation.
    schedules: Vec<Schedule>,
    /// What in the annotations is invalid, and why, and which names in `workflow.yaml` are. A schedule that is does not
    /// fire, nor does one in an unknown time zone; of every other setting the default holds.
    invalid: Vec<String>,
}

/// One schedule.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Schedule {
    /// What tells it from the tentacle's others, in `wf_runs` too: its name in the annotation, else the text there.
    id: String,
    /// Its name in the annotation or in `workflow.yaml`, which the tentacle gets as `trigger`.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Five fields, or a descriptor such as `@daily`.
    expression: String,
    /// The time zone that the fields are meant in.
    timezone: String,
    /// How much later than each of its instants it fires, in milliseconds: its part of cron-jitter.
    jitter_ms: u64,
    /// The newest instant that was fired or skipped, or from which on the schedule counts, in UTC. Left out before the
    /// schedule was taken up.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    /// The next instants. Empty when it never fires again.
    next: Vec<Instant>,
}

/// An instant at which a schedule is due.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Instant {
    /// In UTC.
    utc: String,
    /// In the schedule's time zone.
    local: String,
}

/// What the kernel and clients are told of `wf_schedule`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Tentacle, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Shows the schedules of a tentacle: when each runs next, how far it has come, and which are \
                       invalid and why. wf_runs tells what they did.";
    ToolSpec::new("wf_schedule", "Show schedules", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfSchedule<C> {
    pub(crate) cluster: Cluster,
    pub(crate) platform: Platform,
    pub(crate) ledgers: Ledgers,
    pub(crate) clock: C,
}

impl<C: Clock> WfSchedule<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Shown, ToolError> {
        let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        let limit = limit(arguments.limit, DEFAULT, MOST)?;
        let live = Live::read(&self.cluster, &self.platform, enclave, tentacle).await?;
        live.check(permitted.permit(), permitted.caller(), None)?;
        let place = Place { enclave: enclave.clone(), tentacle: tentacle.clone() };
        let (read, held) =
            tokio::try_join!(self.read(&place, &live), self.ledgers.load(&place.enclave, &place.tentacle))?;
        let (timetable, names) = read;
        let now = self.clock.time();
        let names = names.into_iter().chain(std::iter::repeat(None));
        let schedules = timetable.entries.iter().zip(names);
        Ok(Shown {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            frozen: live.is_frozen(),
            missed: match timetable.missed {
                Missed::Skip => "skip",
                Missed::Once => "once",
            },
            overlap: match timetable.overlap {
                Overlap::Skip => "skip",
                Overlap::Allow => "allow",
            },
            schedules: schedules
                .map(|(entry, name)| schedule(entry, name, timetable.timezone, held.book(), now, limit))
                .collect(),
            invalid: timetable.invalid,
        })
    }

    /// The timetable, and the names that its schedules have in `workflow.yaml`, which is read where they matter.
    async fn read(
        &self,
        place: &Place,
        live: &Live,
    ) -> Result<(Timetable, Vec<Option<String>>), tentacular_cluster::Error> {
        let relevant = relevant(live.annotations());
        let read = |triggers: Option<&[CronTrigger]>| {
            Timetable::read((&place.enclave, &place.tentacle), &relevant, triggers)
        };
        let timetable = read(None);
        let ambiguous = is_ambiguous(&relevant);
        if !ambiguous && timetable.entries.iter().all(|entry| entry.schedule.name.is_some()) {
            return Ok((timetable, Vec::new()));
        }
        let triggers = triggers(&self.cluster, place).await?;
        // What is ambiguous is invalid where a name is; else that shows in the runs alone.
        let mut timetable = if ambiguous { read(triggers.as_deref()) } else { timetable };
        let (names, refused) = names(&relevant, &triggers.unwrap_or_default());
        timetable.invalid.extend(refused.filter(|_| !ambiguous));
        Ok((timetable, names))
    }
}

fn schedule(
    entry: &Entry,
    name: Option<String>,
    timezone: Option<Tz>,
    book: &Book,
    now: Time,
    limit: usize,
) -> Schedule {
    let newest = book.newest(&entry.id);
    // What is fired with delay is still to come when its instant has passed.
    let passed = now - entry.delay();
    let after = newest.map_or(passed, |newest| newest.max(passed));
    let zone = entry.schedule.timezone.or(timezone).unwrap_or(Tz::UTC);
    let instant = |instant: Time| Instant {
        utc: utc(instant),
        local: instant.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, false),
    };
    Schedule {
        id: entry.id.to_string(),
        name: entry.schedule.name.clone().or(name),
        expression: entry.schedule.expression.clone(),
        timezone: zone.name().to_owned(),
        jitter_ms: millis(entry.jitter),
        newest: newest.map(utc),
        next: entry.schedule.instants(after, timezone).take(limit).map(instant).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ledger::ScheduleId;

    fn at(text: &str) -> Time {
        text.parse().expect(text)
    }

    fn entry(annotation: &str, jitter: u64) -> (Timetable, Entry) {
        let pairs = [("tentacular.io/cron-schedule".to_owned(), annotation.to_owned())];
        let place = ("team-a".parse().expect("a name"), "report".parse().expect("a name"));
        let timetable = Timetable::read((&place.0, &place.1), &relevant(&pairs.into()), None);
        let entry = Entry { jitter: Duration::from_secs(jitter), ..timetable.entries[0].clone() };
        (timetable, entry)
    }

    #[test]
    fn instants_are_told_in_utc_and_in_their_zone() {
        let (_, entry) = entry("summer=CRON_TZ=Europe/Berlin 30 1 * * *", 0);
        let shown = schedule(&entry, None, Some(Tz::Asia__Tokyo), &Book::default(), at("2026-03-28T12:00:00Z"), 2);
        let next = [
            ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00+01:00"),
            ("2026-03-29T23:30:00Z", "2026-03-30T01:30:00+02:00"),
        ];
        let next = next.map(|(utc, local)| Instant { utc: utc.to_owned(), local: local.to_owned() });
        assert_eq!(shown.next, next);
        assert_eq!((shown.id.as_str(), shown.name.as_deref()), ("summer", Some("summer")));
        assert_eq!((shown.timezone.as_str(), shown.expression.as_str()), ("Europe/Berlin", "30 1 * * *"));
        assert_eq!((shown.newest, shown.jitter_ms), (None, 0));
    }

    #[test]
    fn an_instant_is_next_until_it_is_accounted_for() {
        let (_, entry) = entry("0 * * * *", 40);
        let first = |book: &Book, now: &str| {
            let mut shown = schedule(&entry, None, None, book, at(now), 1);
            shown.next.remove(0).utc
        };
        let book = Book::default();
        assert_eq!(first(&book, "2026-03-01T11:00:39Z"), "2026-03-01T11:00:00Z");
        assert_eq!(first(&book, "2026-03-01T11:00:40Z"), "2026-03-01T12:00:00Z");
        let since =
            book.since(&ScheduleId::new("0 * * * *"), at("2026-03-01T11:00:00Z"), 1, |_| true).expect("written");
        let mut book = book;
        book.apply(&since);
        assert_eq!(first(&book, "2026-03-01T11:00:39Z"), "2026-03-01T12:00:00Z");
    }

    #[test]
    fn a_schedule_that_never_fires_is_shown_without_instants() {
        let (timetable, entry) = entry("0 0 30 2 *", 0);
        assert_eq!(timetable.invalid, Vec::<String>::new());
        let shown = schedule(&entry, Some("never".to_owned()), None, &Book::default(), at("2026-03-01T11:00:39Z"), 5);
        assert_eq!((shown.next, shown.name.as_deref()), (Vec::new(), Some("never")));
    }
}
