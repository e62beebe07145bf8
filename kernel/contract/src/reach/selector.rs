//! Label selectors: whom they match, and whether they are narrow enough to be one tentacle's.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{
    Scope,
    object::Labels,
    violation::{Findings, Rule},
};
use crate::keys;

/// A selector of an object that chooses pods by it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chooser {
    /// Path of the selector.
    pub(super) field: String,
    /// `None` where there is none, which chooses everything or leaves the choice to somebody else.
    pub(super) selector: Option<Selector>,
}

/// A label selector (`matchLabels` and `matchExpressions`, all of which must hold).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    /// An operator that Kubernetes does not have.
    Unknown(String),
}

impl From<&Labels> for Selector {
    fn from(labels: &Labels) -> Self {
        let equal =
            |(key, value): (&String, &String)| Requirement { key: key.clone(), test: Test::In(vec![value.clone()]) };
        Self(labels.iter().map(equal).collect())
    }
}

impl From<&LabelSelector> for Selector {
    fn from(selector: &LabelSelector) -> Self {
        let LabelSelector { match_labels, match_expressions } = selector;
        let mut requirements = match_labels.as_ref().map(|labels| Self::from(labels).0).unwrap_or_default();
        requirements.extend(match_expressions.iter().flatten().map(Requirement::from));
        Self(requirements)
    }
}

impl From<&LabelSelectorRequirement> for Requirement {
    fn from(LabelSelectorRequirement { key, operator, values }: &LabelSelectorRequirement) -> Self {
        let values = values.clone().unwrap_or_default();
        let test = match operator.as_str() {
            "In" => Test::In(values),
            "NotIn" => Test::NotIn(values),
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            other => Test::Unknown(other.to_owned()),
        };
        Self { key: key.clone(), test }
    }
}

impl Requirement {
    /// Whether `labels` meet it. One that nobody understands counts as met, so that it is not taken for narrow.
    fn is_met_by(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Unknown(_) => true,
        }
    }
}

impl Selector {
    /// Whether a pod with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.is_met_by(labels))
    }

    /// Whether it asks for nothing, and so selects everything.
    pub const fn selects_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it asks for a value of some label. One that does not also matches pods that nobody thought of yet.
    pub(super) fn asks_for_a_value(&self) -> bool {
        self.0.iter().any(|requirement| matches!(&requirement.test, Test::In(values) if !values.is_empty()))
    }

    /// Whether it asks for a value of some label, and matches no pod that is of a release, however labelled.
    pub fn leaves_out_tentacles(&self) -> bool {
        let leaves_out =
            |requirement: &Requirement| requirement.key == keys::RELEASE && requirement.test == Test::DoesNotExist;
        self.asks_for_a_value() && self.0.iter().any(leaves_out)
    }

    /// Whether it matches pods of `release` alone.
    pub fn asks_for_release(&self, release: &str) -> bool {
        let asks = |Requirement { key, test }: &Requirement| {
            key == keys::RELEASE
                && matches!(test, Test::In(values) if matches!(&values[..], [value] if value == release))
        };
        self.0.iter().any(asks)
    }

    /// The value of the release label that it asks for and that is not `tentacle`.
    fn other_release(&self, tentacle: &str) -> Option<&str> {
        let releases = self.0.iter().filter(|requirement| requirement.key == keys::RELEASE);
        let values = releases.filter_map(|requirement| match &requirement.test {
            Test::In(values) => Some(values),
            _ => None,
        });
        values.flatten().map(String::as_str).find(|value| *value != tentacle)
    }
}

/// As `kubectl` writes it.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, test }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => f.write_str(key)?,
                Test::DoesNotExist => write!(f, "!{key}")?,
                Test::Unknown(operator) => write!(f, "{key} {operator}")?,
            }
        }
        Ok(())
    }
}

/// What a selector shows without knowing whom it matches.
pub(super) fn alone(scope: &Scope<'_>, field: &str, selector: Option<&Selector>, found: &mut Findings) {
    let fix = format!("select by {}: {}", keys::RELEASE, scope.tentacle);
    match selector {
        None => {
            found.add(Rule::Selector, field, "", "is missing, which does not keep it to this tentacle's pods", fix);
        }
        Some(selector) if !selector.asks_for_a_value() => {
            let (value, problem) = match selector.to_string() {
                empty if empty.is_empty() => (empty, "is empty, which selects every pod of the enclave"),
                text => (text, "asks for no label's value, so it selects other tentacles' pods"),
            };
            found.add(Rule::Selector, field, value, problem, fix);
        }
        Some(selector) => {
            if let Some(other) = selector.other_release(scope.tentacle.as_str()) {
                let problem = format!("selects pods of tentacle {other}");
                found.add(Rule::Selector, field, selector.to_string(), problem, fix);
            }
        }
    }
}
