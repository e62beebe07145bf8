//! How objects are selected, applied and deleted.

use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Preconditions, PropagationPolicy, WatchParams};

/// Objects a page of a list. The size that client-go uses.
const PAGE: usize = 500;

/// Which objects a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Option<String>,
    fields: Option<String>,
    limit: Option<usize>,
}

impl Selector {
    /// All objects.
    pub fn all() -> Self {
        Self::default()
    }

    /// The objects whose labels match `selector`, such as `app=a,tier!=b`.
    pub fn labels(selector: &str) -> Self {
        Self { labels: Some(selector.to_owned()), ..Self::default() }
    }

    /// Of these, the objects whose fields match `selector`, such as `involvedObject.name=report`.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        self.fields = Some(selector.to_owned());
        self
    }

    /// Of these, the first `limit`. Reading stops there, so one more than needed tells whether there are more.
    #[must_use]
    pub const fn at_most(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    pub(crate) fn is_reached(&self, found: usize) -> bool {
        found >= self.limit()
    }

    pub(crate) fn params(&self) -> ListParams {
        ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: u32::try_from(self.limit().clamp(1, PAGE)).ok(),
            ..ListParams::default()
        }
    }

    /// A watch of the same, whatever the limit, that the API server ends after `period`.
    pub(crate) fn watch_params(&self, period: Duration) -> WatchParams {
        WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: u32::try_from(period.as_secs()).ok(),
            ..WatchParams::default()
        }
    }
}

/// What happens when a field that is applied belongs to another field manager and has another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// The apply fails (`force=false`).
    Refuse,
    /// The field is set, and the other manager loses it (`force=true`).
    TakeOver,
}

/// What happens to the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// They are deleted afterwards.
    #[default]
    Background,
    /// They are deleted first; until then the object stays, marked as being deleted.
    Foreground,
    /// They stay, without owner.
    Orphan,
}

/// How, and which, object is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delete {
    /// Only the object with this uid.
    pub uid: Option<String>,
    /// Only while the object has this resource version.
    pub resource_version: Option<String>,
    /// What happens to the objects that it owns.
    pub propagation: Propagation,
}

impl Delete {
    pub(crate) fn params(&self) -> DeleteParams {
        let preconditions = Preconditions { uid: self.uid.clone(), resource_version: self.resource_version.clone() };
        DeleteParams {
            propagation_policy: Some(match self.propagation {
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Foreground => PropagationPolicy::Foreground,
                Propagation::Orphan => PropagationPolicy::Orphan,
            }),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_makes_a_small_page() {
        assert_eq!(Selector::all().params().limit, Some(500));
        assert_eq!(Selector::labels("a=b").at_most(3).params().limit, Some(3));
        assert_eq!(Selector::all().at_most(2000).params().limit, Some(500));
        assert!(Selector::all().at_most(2).is_reached(2));
        assert!(!Selector::all().is_reached(1_000_000));
    }

    #[test]
    fn a_delete_carries_its_preconditions() {
        let delete = Delete { uid: Some("u".to_owned()), propagation: Propagation::Foreground, ..Delete::default() };
        assert_eq!(
            serde_json::to_value(delete.params()).unwrap(),
            serde_json::json!({ "propagationPolicy": "Foreground", "preconditions": { "uid": "u" } })
        );
    }
}
