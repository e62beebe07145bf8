//! The Pod Security Standards: what Kubernetes forbids pods in a namespace that enforces `baseline` or `restricted`, in
//! each version of them.
//!
//! [`Standard::violations`] names everything that speaks against a pod or a pod template, with rule, field, value and
//! fix, where the API server names rules and containers only. Sources: the page "Pod Security Standards" of Kubernetes'
//! documentation, and `k8s.io/pod-security-admission`. Before v1.35 the relaxations for pods with `hostUsers: false`
//! stood behind an alpha feature gate that was off, so they are not among these.

mod baseline;
mod pod;
mod restricted;
mod rule;
mod seccomp;
mod version;

use std::fmt;

use k8s_openapi::api::core::v1::PodSpec;

pub use rule::Rule;
pub use version::Version;

use crate::facts::Pairs;
use pod::Pod;

/// Namespace label: the level that the API server holds pods to.
pub const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// Namespace label: the version of the standards that it does so by.
pub const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";

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

/// What pods are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standard {
    /// How much a pod may do.
    pub level: Level,
    /// By the rules of which version.
    pub version: Version,
}

impl Standard {
    /// What an API server of version `server` holds pods to in a namespace with these labels. Without a version label,
    /// with `latest`, with what is no version, and with one that it does not know yet, it goes by its own. Defaults and
    /// exemptions that an administrator gave it in a file are known to nobody else, and not counted here.
    pub fn enforced(labels: &Pairs, server: Version) -> Self {
        let pinned = labels.get(ENFORCE_VERSION).and_then(|label| Version::pinned(label));
        Self { level: Level::enforced(labels), version: pinned.map_or(server, |pinned| pinned.min(server)) }
    }

    /// Everything that it holds against a pod with these annotations and this spec. `prefix` is put before each path:
    /// nothing for a pod, `spec.template.` for the template of a Deployment.
    ///
    /// The pod is judged as it stands, while the API server judges pods after it has filled in its defaults. Of those one
    /// matters: with `hostNetwork` each container port becomes a host port.
    pub fn violations(self, prefix: &str, annotations: Option<&Pairs>, spec: &PodSpec) -> Vec<Violation> {
        let pod = Pod::new(self.version, prefix, annotations, spec);
        let rules = Rule::ALL.into_iter().filter(|rule| rule.is_part_of(self));
        rules
            .flat_map(|rule| {
                let findings = rule.check(&pod).into_iter();
                findings.map(move |finding| Violation {
                    rule,
                    version: self.version,
                    field: finding.field,
                    value: finding.value,
                    fix: finding.fix,
                })
            })
            .collect()
    }
}

/// As the API server spells it, such as `restricted:v1.34`.
impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level.as_str(), self.version)
    }
}

/// One thing that a rule holds against a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The version of the standards that the pod was held to.
    pub version: Version,
    /// Path of the field, such as `spec.containers[0].securityContext.privileged`.
    pub field: String,
    /// What stands there, shortened; of a volume its name. `None` where something has to be and is not.
    pub value: Option<String>,
    /// What to do instead.
    pub fix: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, version, field, value, fix } = self;
        let standard = Standard { level: rule.level(), version: *version };
        match value {
            Some(value) => write!(f, "{field}: {value} is forbidden by ")?,
            None => write!(f, "{field}: it is not set, but has to be by ")?,
        }
        write!(f, "Pod Security {standard}; {fix} (rule {})", rule.as_str())
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
