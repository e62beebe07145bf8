//! The rules, pure: one module per kind, each a table of annotations and of what reads them, under one driver.
//!
//! An annotation is refused only when the write at hand brings it or changes it: an old bad value must not stand in
//! the way of an unrelated update, so it is a warning then. An empty value counts as absent, as it does for readers.

mod annotation;
mod deployment;
mod namespace;

use std::{collections::BTreeMap, fmt};

/// Annotations of an object.
pub(crate) type Annotations = BTreeMap<String, String>;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The rule's name.
    pub(crate) rule: &'static str,
    /// Where in the object, such as `metadata.annotations[tentacular.io/mode]`.
    pub(crate) path: String,
    /// The value, why it is wrong, and what to do.
    pub(crate) problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (rule {})", self.path, self.problem, self.rule)
    }
}

/// What the rules found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Why the write is refused; none, and it is allowed.
    pub(crate) violations: Vec<Finding>,
    /// What the writer should know.
    pub(crate) warnings: Vec<Finding>,
}

/// Kinds that have rules, and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// `v1` Namespace.
    Namespace,
    /// `apps/v1` Deployment.
    Deployment,
    /// Any other; always allowed.
    Other,
}

impl Kind {
    /// The kind of that API group and name.
    pub(crate) fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Namespace,
            ("apps", "Deployment") => Self::Deployment,
            _ => Self::Other,
        }
    }

    /// How metrics and logs name it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Deployment => "deployment",
            Self::Other => "other",
        }
    }
}

/// Judges the object that a create or an update would store; `old` is what an update finds.
pub(crate) fn admit(kind: Kind, new: &Annotations, old: Option<&Annotations>) -> Verdict {
    match kind {
        Kind::Namespace => annotation::judge(namespace::RULES, new, old),
        Kind::Deployment => annotation::judge(deployment::RULES, new, old),
        Kind::Other => Verdict::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kind_itself_has_rules() {
        assert_eq!(Kind::of("", "Namespace"), Kind::Namespace);
        assert_eq!(Kind::of("apps", "Deployment"), Kind::Deployment);
        for (group, kind) in [("apps", "Namespace"), ("", "Deployment"), ("example.com", "Deployment"), ("", "Pod")] {
            assert_eq!(Kind::of(group, kind), Kind::Other, "{group}/{kind}");
        }
        let bad = Annotations::from([("tentacular.io/mode".to_owned(), "?".to_owned())]);
        assert_eq!(admit(Kind::Other, &bad, None), Verdict::default());
        assert_eq!(admit(Kind::Namespace, &bad, None).violations.len(), 1);
        assert_eq!(admit(Kind::Deployment, &bad, None).violations.len(), 1);
    }
}
