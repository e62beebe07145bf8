//! One check of the preflight and how it ended.

use schemars::JsonSchema;
use serde::Serialize;

/// A check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Check {
    /// What was checked.
    pub(super) name: String,
    /// Whether it passed. What is not configured, not there yet or not knowable has passed, with a warning.
    pub(super) passed: bool,
    /// What was found, where that is good to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// What is wrong, or not as one might expect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warning: Option<String>,
    /// What mends it: a command for an administrator of the cluster. Always there for a check that did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remediation: Option<String>,
}

impl Check {
    /// All is well.
    pub(super) fn passed(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), passed: true, detail: Some(detail.into()), warning: None, remediation: None }
    }

    /// Nothing is wrong, but something is to be known.
    pub(super) fn warned(name: &str, warning: impl Into<String>) -> Self {
        Self { name: name.to_owned(), passed: true, detail: None, warning: Some(warning.into()), remediation: None }
    }

    /// Something is wrong, and this mends it.
    pub(super) fn failed(name: &str, warning: impl Into<String>, remediation: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            passed: false,
            detail: None,
            warning: Some(warning.into()),
            remediation: Some(remediation.into()),
        }
    }
}
