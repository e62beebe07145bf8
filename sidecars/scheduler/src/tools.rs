//! The scheduler's tools, one module each.

pub(crate) mod wf_run;
pub(crate) mod wf_runs;
pub(crate) mod wf_schedule;

use chrono::SecondsFormat;
use tentacular_process::link::ToolError;

use crate::clock::Time;

/// How many items are to be named: as many as asked for, or so many when nothing is asked.
fn limit(asked: Option<usize>, default: usize, most: usize) -> Result<usize, ToolError> {
    let limit = asked.unwrap_or(default);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(ToolError::new(format_args!("limit {limit} is out of range: give 1 to {most}")))
}

/// A time as results give it: RFC 3339 in UTC, with milliseconds where there are some.
fn utc(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
