//! What the labels of a namespace make the API server do about pods.

use serde_json::json;
use tentacular_contract::{
    facts::Pairs,
    pod_security::{ENFORCE, Level, Version},
    text::line,
};

use crate::audit::{Finding, Remedy, Severity, Target};

/// Characters of a label that are shown; it has at most 63.
const LONGEST: usize = 63;

/// The label of a mode: `enforce`, `audit` or `warn`.
pub(super) fn key(mode: &str) -> &'static str {
    match mode {
        "audit" => "pod-security.kubernetes.io/audit",
        "warn" => "pod-security.kubernetes.io/warn",
        _ => ENFORCE,
    }
}

/// What is not as it should be in the labels of the enclave's namespace, where the API server is of version `server`.
pub(super) fn findings(enclave: &str, labels: &Pairs, server: Version) -> Vec<Finding> {
    let namespace = Labels { enclave, labels };
    let modes = ["enforce", "audit", "warn"];
    [namespace.enforce(), namespace.notes("audit"), namespace.notes("warn")]
        .into_iter()
        .chain(modes.map(|mode| namespace.version(mode, server)))
        .flatten()
        .collect()
}

struct Labels<'a> {
    enclave: &'a str,
    labels: &'a Pairs,
}

/// The level of that name.
fn level(text: &str) -> Option<Level> {
    [Level::Privileged, Level::Baseline, Level::Restricted].into_iter().find(|level| level.as_str() == text)
}

impl Labels<'_> {
    fn enforce(&self) -> Option<Finding> {
        let (severity, message) = match self.labels.get(ENFORCE).map(|text| (level(text), text)) {
            Some((Some(Level::Restricted), _)) => return None,
            Some((Some(Level::Baseline), _)) => {
                (Severity::Medium, "the API server holds pods to baseline only: they may run as root".to_owned())
            }
            Some((Some(Level::Privileged), _)) => {
                (Severity::High, "the API server lets pods do anything, be root on the node included".to_owned())
            }
            None => (Severity::High, "the API server holds pods to no level: they may do anything".to_owned()),
            Some((None, text)) => {
                let text = line(text, LONGEST);
                (Severity::Low, format!("{text:?} is no level; the API server takes it for restricted"))
            }
        };
        Some(self.finding(severity, ENFORCE, message, "restricted"))
    }

    /// The modes that refuse nothing and tell of what would be refused.
    fn notes(&self, mode: &'static str) -> Option<Finding> {
        let key = key(mode);
        let tells = if mode == "audit" { "the audit log tells" } else { "whoever applies something is told" };
        let Some(text) = self.labels.get(key) else {
            return Some(self.finding(Severity::Low, key, format!("not set: {tells} of no violation"), "restricted"));
        };
        let weaker = level(text).is_none_or(|noted| noted < Level::enforced(self.labels));
        let message = format!("{:?} is weaker than what is enforced: {tells} of less", line(text, LONGEST));
        weaker.then(|| self.finding(Severity::Medium, key, message, "restricted"))
    }

    fn version(&self, mode: &str, server: Version) -> Option<Finding> {
        let key = format!("{}-version", key(mode));
        let text = self.labels.get(&key)?;
        let older = Version::pinned(text)? < server;
        let message = format!("pinned to the rules of {text}: those that came later are not looked at");
        older.then(|| self.finding(Severity::Low, &key, message, "latest"))
    }

    fn finding(&self, severity: Severity, key: &str, message: String, value: &str) -> Finding {
        let object = Target::of_cluster("v1", "Namespace", self.enclave);
        Finding {
            severity,
            object: object.title(),
            field: format!("metadata.labels[{key:?}]"),
            message,
            remediation: format!("set it to {value}"),
            remedy: Remedy::merge(object, json!({ "metadata": { "labels": { key: value } } })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(labels: &[(&str, &str)]) -> Vec<String> {
        let labels =
            labels.iter().map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), (*value).to_owned()));
        let short = |field: &str| field.trim_end_matches("\"]").rsplit('/').next().expect("a key").to_owned();
        let found = findings("team-a", &labels.collect(), Version::v1(34)).into_iter();
        found.map(|finding| format!("{:?} {}", finding.severity, short(&finding.field))).collect()
    }

    #[test]
    fn each_label_is_as_it_should_be_or_not() {
        let all = [("enforce", "restricted"), ("audit", "restricted"), ("warn", "restricted")];
        let with = |key: &'static str, value: &'static str| {
            let rest = all.into_iter().filter(move |(other, _)| *other != key);
            found(&rest.chain((!value.is_empty()).then_some((key, value))).collect::<Vec<_>>())
        };
        assert_eq!(found(&all), [""; 0]);
        for (key, value, expected) in [
            ("enforce", "", Some("High enforce")),
            ("enforce", "privileged", Some("High enforce")),
            ("enforce", "baseline", Some("Medium enforce")),
            ("enforce", "strict", Some("Low enforce")),
            ("audit", "", Some("Low audit")),
            ("audit", "baseline", Some("Medium audit")),
            ("audit", "strict", Some("Medium audit")),
            ("warn", "", Some("Low warn")),
            ("warn", "privileged", Some("Medium warn")),
            ("enforce-version", "latest", None),
            ("enforce-version", "v1.34", None),
            ("enforce-version", "v1.33", Some("Low enforce-version")),
            ("enforce-version", "v1.99", None),
            ("enforce-version", "v1.20", Some("Low enforce-version")),
            ("audit-version", "v1.20", Some("Low audit-version")),
            ("warn-version", "v1.20", Some("Low warn-version")),
        ] {
            assert_eq!(with(key, value), expected.into_iter().collect::<Vec<_>>(), "{key}={value}");
        }
        assert_eq!(
            found(&[("enforce", "baseline"), ("audit", "baseline"), ("warn", "restricted")]),
            ["Medium enforce"]
        );
        assert_eq!(found(&[]), ["High enforce", "Low audit", "Low warn"]);
    }
}
