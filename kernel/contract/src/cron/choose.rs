//! Which schedules an annotation holds when the workflow's own triggers are known: they decide between several ways to
//! read it, and they have the names, which clients leave out when they join the triggers' schedules.

use std::collections::HashSet;

use super::{InvalidCron, Kind, Schedule, Splits, entry, parse, shorten};
use crate::workflow::CronTrigger;

/// Why there are no schedules. Its text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unchosen {
    /// No way of splitting makes the annotation valid.
    #[error(transparent)]
    Invalid(#[from] InvalidCron),
    /// There are several ways, and none is that of the triggers.
    #[error(
        "the cron schedule can be read as {0} or as {1}, and the cron triggers of workflow.yaml are not what it holds: name \
         the schedules (nightly=0 2 * * *)"
    )]
    Ambiguous(String, String),
    /// The name of a trigger cannot be that of a schedule.
    #[error(
        "the cron trigger {0:?} of workflow.yaml: use 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-' in its name, a letter or \
         digit first"
    )]
    Name(String),
    /// Two triggers have one name.
    #[error("two cron triggers of workflow.yaml have the name {0:?}: give each a name of its own")]
    SameName(String),
}

/// The schedules of the annotation `tentacular.io/cron-schedule` of a tentacle whose workflow has these triggers.
///
/// Where there are several ways to read it, it is the one whose entries are the triggers' schedules, all of them in their
/// order. Where the annotation names none of its schedules, each has the name of the first trigger of the same meaning
/// that no other has. So a schedule of which no trigger knows has no name.
///
/// # Errors
/// See [`Unchosen`].
pub fn choose(annotation: &str, triggers: &[CronTrigger]) -> Result<Vec<Schedule>, Unchosen> {
    let mut schedules = match parse(annotation)? {
        Splits::One(schedules) => schedules,
        Splits::Several([one, other]) => {
            follow(annotation, triggers).ok_or_else(|| Unchosen::Ambiguous(shown(&one), shown(&other)))?
        }
    };
    if schedules.iter().all(|schedule| schedule.name.is_none()) {
        name(&mut schedules, triggers)?;
    }
    Ok(schedules)
}

/// The first schedules of a split: readers are shown as many characters as a warning of the API server has.
#[must_use]
pub fn shown(schedules: &[Schedule]) -> String {
    const FIRST: usize = 2;
    let mut shown: Vec<_> = schedules.iter().take(FIRST).map(|schedule| format!("'{schedule}'")).collect();
    if schedules.len() > FIRST {
        shown.push("…".to_owned());
    }
    shown.join(" + ")
}

/// The split whose entries are those of the triggers. Schedules of the same meaning have as many values and so as many
/// commas, which says where each entry ends.
fn follow(annotation: &str, triggers: &[CronTrigger]) -> Option<Vec<Schedule>> {
    let pieces: Vec<_> = annotation.split(',').collect();
    let mut rest = &pieces[..];
    let mut schedules = Vec::new();
    for trigger in triggers {
        let (entry, after) = rest.split_at_checked(trigger.schedule.split(',').count())?;
        schedules.push(alone(&entry.join(",")).filter(|entry| same(entry, trigger))?);
        rest = after;
    }
    rest.is_empty().then_some(schedules)
}

/// The one schedule that is all of `text`.
fn alone(text: &str) -> Option<Schedule> {
    match parse(text) {
        Ok(Splits::One(mut schedules)) if schedules.len() == 1 => schedules.pop(),
        _ => None,
    }
}

/// Whether the trigger's schedule has the same zone, fields of the same values in the same spelling, and interval.
fn same(schedule: &Schedule, trigger: &CronTrigger) -> bool {
    alone(&trigger.schedule).is_some_and(|other| {
        schedule.timezone == other.timezone
            && match (&schedule.kind, &other.kind) {
                (Kind::Fields(one), Kind::Fields(other)) => one.pattern.as_str() == other.pattern.as_str(),
                (one, other) => one == other,
            }
    })
}

fn name(schedules: &mut [Schedule], triggers: &[CronTrigger]) -> Result<(), Unchosen> {
    let mut left: Vec<_> = triggers.iter().collect();
    let mut names = HashSet::new();
    for schedule in schedules {
        let Some(found) = left.iter().position(|trigger| same(schedule, trigger)) else { continue };
        let Some(name) = left.remove(found).name.as_deref() else { continue };
        if !entry::is_name(name) {
            return Err(Unchosen::Name(shorten(name)));
        }
        if !names.insert(name) {
            return Err(Unchosen::SameName(name.to_owned()));
        }
        schedule.name = Some(name.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
