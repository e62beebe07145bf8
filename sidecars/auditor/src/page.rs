//! Pages of a list that is in some order, such as that of enclave and name. A page begins behind the last item of the one
//! before, so that nothing is shown twice or missed when others come and go.

use std::{fmt, str::FromStr};

use tentacular_contract::{EnclaveName, TentacleName};
use tentacular_process::link::ToolError;

/// Items on a page when the caller names no number: more than an enclave's quota has room for.
const DEFAULT: usize = 200;
/// Most items on a page.
const MOST: usize = 1000;

/// The number of items on a page.
pub(crate) fn limit(asked: Option<usize>) -> Result<usize, ToolError> {
    match asked.unwrap_or(DEFAULT) {
        limit @ 1..=MOST => Ok(limit),
        limit => Err(ToolError::new(format_args!("limit {limit} is out of range: give 1 to {MOST}"))),
    }
}

/// The place of a tentacle in a list of several enclaves, written `enclave/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    enclave: EnclaveName,
    tentacle: TentacleName,
}

impl Cursor {
    pub(crate) fn at(enclave: &EnclaveName, tentacle: &TentacleName) -> Self {
        Self { enclave: enclave.clone(), tentacle: tentacle.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.enclave, self.tentacle)
    }
}

/// A cursor that no page named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid cursor: give next_cursor of the page before as it is, or leave it out")]
pub(crate) struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (enclave, tentacle) = text.split_once('/').ok_or(InvalidCursor)?;
        let enclave = enclave.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { enclave, tentacle: tentacle.parse().map_err(|_| InvalidCursor)? })
    }
}

/// A page that is being filled, in order; a place `P` is shown as the cursor that it is read from.
#[derive(Debug)]
pub(crate) struct Page<P, T> {
    after: Option<P>,
    limit: usize,
    items: Vec<T>,
    last: Option<P>,
    more: bool,
}

impl<P: Ord + fmt::Display, T> Page<P, T> {
    pub(crate) const fn new(after: Option<P>, limit: usize) -> Self {
        Self { after, limit, items: Vec::new(), last: None, more: false }
    }

    /// Offers what stands at `place`; it is made when it is on this page.
    pub(crate) fn offer(&mut self, place: P, item: impl FnOnce() -> T) {
        if self.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        if self.items.len() == self.limit {
            self.more = true;
            return;
        }
        self.items.push(item());
        self.last = Some(place);
    }

    /// Whether nothing further can change the page.
    pub(crate) const fn is_full(&self) -> bool {
        self.more
    }

    /// The page, and the cursor of the next one.
    pub(crate) fn end(self) -> (Vec<T>, Option<String>) {
        let next = self.last.filter(|_| self.more).map(|last| last.to_string());
        (self.items, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(after: Option<&str>, limit: usize) -> (Vec<String>, Option<String>) {
        let mut page = Page::<Cursor, _>::new(after.map(|after| after.parse().expect("a cursor")), limit);
        for place in ["a/x", "a/y", "a-b/c", "b/a", "b/c"] {
            page.offer(place.parse().expect("a place"), || place.to_owned());
        }
        page.end()
    }

    #[test]
    fn pages_follow_each_other_without_gaps() {
        assert_eq!(read(None, 5).1, None);
        assert_eq!(read(None, 2), (vec!["a/x".to_owned(), "a/y".to_owned()], Some("a/y".to_owned())));
        assert_eq!(read(Some("a/y"), 2), (vec!["a-b/c".to_owned(), "b/a".to_owned()], Some("b/a".to_owned())));
        assert_eq!(read(Some("b/a"), 2), (vec!["b/c".to_owned()], None));
        assert_eq!(read(Some("b/c"), 2), (Vec::new(), None));
        // A tentacle that the cursor names may be gone by now.
        assert_eq!(read(Some("a/xx"), 1), (vec!["a/y".to_owned()], Some("a/y".to_owned())));
    }

    #[test]
    fn what_is_no_cursor_or_limit_is_refused() {
        for text in ["", "a", "a/", "/a", "a/b/c", "A/b"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
        assert_eq!((limit(None).ok(), limit(Some(1000)).ok()), (Some(200), Some(1000)));
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
    }
}
