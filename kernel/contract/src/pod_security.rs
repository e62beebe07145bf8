//! The Pod Security Standards: what Kubernetes forbids pods in a namespace that enforces `baseline` or `restricted`.
//!
//! [`violations`] names everything that speaks against a pod or a pod template, with rule, field, value and fix, where
//! the API server names rules and containers only. Sources: the page "Pod Security Standards" of Kubernetes'
//! documentation, and `k8s.io/pod-security-admission`. The relaxations for pods with `hostUsers: false` stand behind an
//! alpha feature gate that is off, so they are not among these.

mod baseline;
mod pod;
mod restricted;
mod rule;

use std::fmt;

use k8s_openapi::api::core::v1::PodSpec;

pub use rule::Rule;

use crate::facts::Pairs;
use pod::Pod;

/// The version of the standards whose rules these are, as the namespace label `enforce-version` spells it. Where a
/// namespace pins an older one, these can forbid what the API server still admits.
pub const VERSION: &str = "v1.34";

/// Namespace label: the level that the API server holds pods to.
pub const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// How much a pod may do. Each level forbids more than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Anything.
    Privileged,
    /// Nothing that is known to give power over the node.
    Baseline,
    /// Only what follows the current practice of hardening.
    Restricted,
}

impl Level {
    /// The level that a namespace with these labels enforces. Without the label that is [`Self::Privileged`], the API
    /// server's own default; a level that does not exist counts as [`Self::Restricted`], as it does there.
    pub fn enforced(labels: &Pairs) -> Self {
        match labels.get(ENFORCE).map(String::as_str) {
            None | Some("privileged") => Self::Privileged,
            Some("baseline") => Self::Baseline,
            Some(_) => Self::Restricted,
        }
    }

    /// How labels spell the level.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// One thing that a rule holds against a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Path of the field, such as `spec.containers[0].securityContext.privileged`.
    pub field: String,
    /// What stands there, shortened; of a volume its name. `None` where something has to be and is not.
    pub value: Option<String>,
    /// What to do instead.
    pub fix: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, field, value, fix } = self;
        let (rule, level) = (rule.as_str(), rule.level().as_str());
        match value {
            Some(value) => write!(f, "{field}: {value} is forbidden by ")?,
            None => write!(f, "{field}: it is not set, but has to be by ")?,
        }
        write!(f, "Pod Security {level}:{VERSION}; {fix} (rule {rule})")
    }
}

/// Everything that `level` holds against a pod with these annotations and this spec. `prefix` is put before each path:
/// nothing for a pod, `spec.template.` for the template of a Deployment.
///
/// The pod is judged as it stands, while the API server judges pods after it has filled in its defaults. Two of those
/// matter: a volume without a source becomes an `emptyDir`, and with `hostNetwork` each container port becomes a host
/// port.
pub fn violations(level: Level, prefix: &str, annotations: Option<&Pairs>, spec: &PodSpec) -> Vec<Violation> {
    let pod = Pod::new(prefix, annotations, spec);
    let rules = Rule::ALL.into_iter().filter(|rule| rule.is_part_of(level));
    rules
        .flat_map(|rule| {
            let findings = rule.check(&pod).into_iter();
            findings.map(move |finding| Violation {
                rule,
                field: finding.field,
                value: finding.value,
                fix: finding.fix,
            })
        })
        .collect()
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
