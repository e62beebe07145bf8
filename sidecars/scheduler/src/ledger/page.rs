//! Runs page by page, newest first.

use std::{fmt, str::FromStr};

use chrono::DateTime;

use super::{Book, Run, Time};
use crate::run::RunId;

/// Where a page ends. The next one begins there, whatever was added or dropped in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    claimed_at: Time,
    id: RunId,
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is none that wf_runs gave: leave it out to begin with the newest run")]
pub(crate) struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.claimed_at.timestamp_millis(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (millis, id) = text.split_once('.').ok_or(InvalidCursor)?;
        let millis = millis.parse().map_err(|_| InvalidCursor)?;
        let claimed_at = DateTime::from_timestamp_millis(millis).ok_or(InvalidCursor)?;
        Ok(Self { claimed_at, id: id.parse().map_err(|_| InvalidCursor)? })
    }
}

impl Book {
    /// At most `limit` runs that `wanted` tells of, newest first, those after `after`; and where the next page begins,
    /// when there are more.
    pub(crate) fn page(
        &self,
        after: Option<Cursor>,
        limit: usize,
        wanted: impl Fn(&Run) -> bool,
    ) -> (Vec<&Run>, Option<Cursor>) {
        let is_after =
            |run: &&Run| after.is_none_or(|cursor| (run.claimed_at, run.id) < (cursor.claimed_at, cursor.id));
        let mut rest = self.runs().filter(is_after).filter(|run| wanted(run));
        let page: Vec<&Run> = rest.by_ref().take(limit).collect();
        let last = page.last().filter(|_| rest.next().is_some());
        let cursor = last.map(|run| Cursor { claimed_at: run.claimed_at, id: run.id });
        (page, cursor)
    }
}
