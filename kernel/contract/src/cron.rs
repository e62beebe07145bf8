//! The cron annotations of a Deployment, read by scheduler, auditor and webhook with this one parser.
//!
//! `tentacular.io/cron-schedule` holds one or more entries joined by commas, each optionally `name=`, then optionally
//! `CRON_TZ=<zone>`, then five fields or a descriptor. Lists inside a field use commas too, so a text may be read in
//! more than one way: [`parse`] tells that apart, and [`choose`] decides it by the triggers of the workflow.

mod choose;
mod entry;
mod field;
mod identity;
mod instants;
mod options;
mod split;

use std::{fmt, sync::Arc, time::Duration};

pub use choose::{Unchosen, choose, shown};
use chrono_tz::Tz;
pub use identity::run_id;
pub use options::{InvalidOption, Jitter, Missed, Overlap, timezone};
pub use split::parse;

/// How an annotation divides into schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Splits {
    /// There is one way to read it. At least one schedule, in the order written.
    One(Vec<Schedule>),
    /// There is more than one way to read it; these are two of them. Names (`name=expression`) make it one.
    Several([Vec<Schedule>; 2]),
}

/// One entry of the annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The name before `=`. No two entries of an annotation share one.
    pub name: Option<String>,
    /// The five fields or the descriptor as written, without name and zone.
    pub expression: String,
    /// The zone of the entry's own `CRON_TZ=` or `TZ=`; without one the annotation `cron-timezone` decides.
    pub timezone: Option<Tz>,
    /// What it means.
    pub kind: Kind,
}

/// What a schedule means.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// At the local times that five fields match. Shared by all schedules of the same fields: it takes some 5 KB.
    Fields(Arc<croner::Cron>),
    /// Always after this long, in whole seconds, at least one.
    Every(Duration),
}

impl fmt::Debug for Kind {
    /// croner's own form lists every year up to 5000.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(cron) => write!(f, "Fields({cron})"),
            Self::Every(interval) => write!(f, "Every({interval:?})"),
        }
    }
}

impl fmt::Display for Schedule {
    /// The entry as the annotation spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        if let Some(zone) = self.timezone {
            write!(f, "CRON_TZ={zone} ")?;
        }
        f.write_str(&self.expression)
    }
}

/// An annotation that no way of splitting makes valid. Its text says which one, where, why, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid cron schedule {shown:?}, character {character}: {problem}")]
pub struct InvalidCron {
    shown: String,
    character: usize,
    problem: Problem,
}

/// Longest part of a refused annotation that an error repeats, in characters.
const SHOWN: usize = 120;

impl InvalidCron {
    /// `problem` at the byte `at` of `text`.
    fn new(text: &str, at: usize, problem: Problem) -> Self {
        let before = text.get(..at).unwrap_or(text).chars().count();
        Self { shown: shorten(text), character: before + 1, problem }
    }
}

/// The first characters of `text`, as many as an error repeats.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Why a text is no schedule, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{0} characters are more than the limit of {1}: use fewer schedules or ranges instead of lists")]
    TooLong(usize, usize),
    #[error("a schedule is missing: give five fields such as 0 9 * * 1-5, or remove the comma or the annotation")]
    Empty,
    #[error(
        "{0:?} is no name of a schedule: use 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', a letter or digit first"
    )]
    Name(String),
    #[error("the name {0:?} stands twice: give each schedule a name of its own")]
    SameName(String),
    #[error("{0:?} is no time zone: give an IANA name such as Europe/Berlin or UTC, then a blank")]
    Zone(String),
    #[error(
        "{0:?} is no descriptor: use @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every 1h30m"
    )]
    Descriptor(String),
    #[error("{0:?} is no duration for @every: give at least one second, such as 30s, 5m or 1h30m")]
    Duration(String),
    #[error("{text:?} is no {what}: {allowed}")]
    Field { text: String, what: &'static str, allowed: &'static str },
    #[error("only {0} of five fields: give minute, hour, day of month, month and day of week")]
    FewFields(usize),
    #[error(
        "a sixth field: give minute, hour, day of month, month and day of week; there are no seconds and no years, \
         and a comma stands between two schedules"
    )]
    ManyFields,
    #[error("'*' and another value in one list: write '*' alone")]
    StarInList,
    #[error("{0}: write it in plain five-field cron")]
    Refused(String),
}

#[cfg(test)]
mod tests;
