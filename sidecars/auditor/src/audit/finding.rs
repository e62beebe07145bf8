//! What an audit holds against an object.

use schemars::JsonSchema;
use serde::Serialize;
use tentacular_process::link::ToolError;

use super::Remedy;
use crate::page::{self, Page};

/// How much harm may come of it. The worst comes first in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It opens something that an enclave is there to keep closed.
    High,
    /// It gives more than is needed, to somebody who is inside already.
    Medium,
    /// It is no harm by itself, and leaves room for it.
    Low,
}

/// What an audit holds against an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Finding {
    /// `high`, `medium` or `low`.
    pub(crate) severity: Severity,
    /// The object, as Kind/name.
    pub(crate) object: String,
    /// Path of the field in it.
    pub(crate) field: String,
    /// What is wrong there, and why that matters.
    pub(crate) message: String,
    /// What to do, in words.
    pub(crate) remediation: String,
    /// What to do, as a patch that an administrator can apply as it is.
    pub(crate) remedy: Remedy,
}

impl Finding {
    /// Where it stands in a list: the worst first, then by object and field.
    pub(crate) fn place(&self) -> String {
        let Self { severity, object, field, message, .. } = self;
        format!("{} {object} {field} {message}", *severity as u8)
    }
}

/// A page of `items`, in the order of their places, and the cursor of the next one.
pub(crate) fn page<T>(
    mut items: Vec<T>,
    place: impl Fn(&T) -> String,
    limit: Option<usize>,
    cursor: Option<String>,
) -> Result<(Vec<T>, Option<String>), ToolError> {
    let mut page = Page::new(cursor, page::limit(limit)?);
    items.sort_by_cached_key(&place);
    for item in items {
        page.offer(place(&item), || item);
    }
    Ok(page.end())
}
