//! Whether a tentacle has the Secrets that its contract asks for, by the inventory that the registrar writes: nobody who
//! audits may read a Secret.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::text::line;

use super::{LONGEST, Status};
/// Secrets with this beginning are made by the server for its backing services; no contract names their keys.
const BACKING: &str = "tentacular-exoskeleton-";

/// What a tentacle has of Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Secrets {
    /// `match`, `mismatch`, or `missing` where there is none of those that are expected.
    pub(super) status: Status,
    /// The keys that the tentacle has, each as Secret.key.
    actual_keys: Vec<String>,
    /// Expected keys that it does not have.
    missing: Vec<String>,
    /// Keys that it has and that nothing asks for.
    extra: Vec<String>,
    /// What to know about it.
    details: Vec<String>,
}

/// An object in the inventory.
#[derive(Debug, Deserialize)]
struct Entry {
    kind: String,
    name: String,
    keys: Option<Vec<String>>,
}

/// Compares what the inventory lists with what is expected; nothing where the contract's secrets are not told.
pub(super) fn compare(inventory: Option<&str>, expected: Option<&[String]>) -> Secrets {
    let entries: Option<Vec<Entry>> = inventory.and_then(|text| serde_json::from_str(text).ok());
    let mut details = Vec::new();
    if entries.is_none() {
        details.push("the tentacle has no inventory, so its Secrets are not known: apply it again".to_owned());
    }
    let own = |entry: &Entry| entry.kind == "Secret" && !entry.name.starts_with(BACKING);
    let secrets: Vec<_> = entries.into_iter().flatten().filter(own).collect();
    let unlisted: Vec<_> = secrets.iter().filter(|secret| secret.keys.is_none()).map(|secret| &secret.name).collect();
    for name in &unlisted {
        details.push(format!(
            "the keys of Secret {} are not known: there are too many, or it was kept",
            line(name, LONGEST)
        ));
    }
    let actual: BTreeSet<_> = secrets
        .iter()
        .flat_map(|secret| secret.keys.iter().flatten().map(|key| (secret.name.as_str(), key.as_str())))
        .collect();
    let Some(expected) = expected else { return of(&actual, Status::Match, Vec::new(), Vec::new(), details) };

    let absent = |expected: &&String| !actual.iter().any(|(name, key)| is_for(expected, name, key));
    let missing: Vec<_> = expected.iter().filter(absent).map(|key| line(key, LONGEST)).collect();
    let unasked = |(name, key): &&(&str, &str)| !expected.iter().any(|expected| is_for(expected, name, key));
    let extra: Vec<_> = actual.iter().filter(unasked).map(|(name, key)| shown(name, key)).collect();
    let status = match (missing.is_empty(), extra.is_empty()) {
        (true, true) => Status::Match,
        // Whatever is expected may be among the keys that nobody listed.
        (false, true) if !unlisted.is_empty() => Status::Match,
        (false, _) if actual.is_empty() => Status::Missing,
        _ => Status::Mismatch,
    };
    of(&actual, status, missing, extra, details)
}

fn of(
    actual: &BTreeSet<(&str, &str)>,
    status: Status,
    missing: Vec<String>,
    extra: Vec<String>,
    details: Vec<String>,
) -> Secrets {
    let actual_keys = actual.iter().map(|(name, key)| shown(name, key)).collect();
    Secrets { status, actual_keys, missing, extra, details }
}

/// Whether the key of a Secret is what `expected` asks for. A service with several values stands in one key, which holds
/// them as JSON.
fn is_for(expected: &str, name: &str, key: &str) -> bool {
    let service = expected.split_once('.');
    key == expected
        || service.is_some_and(|(service, of_service)| key == service || (name == service && key == of_service))
}

fn shown(name: &str, key: &str) -> String {
    line(&format!("{name}.{key}"), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVENTORY: &str = r#"[
        { "kind": "ConfigMap", "name": "report-code" },
        { "kind": "Secret", "name": "report-secrets", "keys": ["github", "slack.hook"] },
        { "kind": "Secret", "name": "tentacular-exoskeleton-report", "keys": ["postgres.password"] }
    ]"#;

    fn judged(inventory: Option<&str>, expected: &[&str]) -> (Status, Vec<String>, Vec<String>) {
        let expected: Vec<_> = expected.iter().map(|&key| key.to_owned()).collect();
        let Secrets { status, missing, extra, .. } = compare(inventory, Some(&expected));
        (status, missing, extra)
    }

    #[test]
    fn a_key_is_the_services_or_the_whole_name() {
        let named = r#"[{ "kind": "Secret", "name": "github", "keys": ["token"] }]"#;
        for (inventory, expected, status, missing, extra) in [
            (Some(INVENTORY), &["github.token", "slack.hook"][..], Status::Match, &[][..], &[][..]),
            (Some(INVENTORY), &["github.token", "github.user", "slack.hook"], Status::Match, &[], &[]),
            (Some(named), &["github.token"], Status::Match, &[], &[]),
            (Some(INVENTORY), &["github.token"], Status::Mismatch, &[], &["report-secrets.slack.hook"]),
            (Some(INVENTORY), &["github.token", "slack.hook", "x.y"], Status::Mismatch, &["x.y"], &[]),
            (Some("[]"), &["x.y"], Status::Missing, &["x.y"], &[]),
            (Some("[]"), &[], Status::Match, &[], &[]),
            (None, &["x.y"], Status::Missing, &["x.y"], &[]),
            (None, &[], Status::Match, &[], &[]),
        ] {
            let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            assert_eq!(judged(inventory, expected), (status, own(missing), own(extra)), "{expected:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_said_and_not_held_against_it() {
        let without_keys = r#"[{ "kind": "Secret", "name": "report-secrets" }]"#;
        let found = compare(Some(without_keys), Some(&["x.y".to_owned()]));
        assert_eq!((found.status, found.details.len()), (Status::Match, 1), "{found:?}");
        assert!(compare(None, Some(&[])).details[0].contains("apply it again"));
        let uncompared = compare(Some(INVENTORY), None);
        assert_eq!((uncompared.status, uncompared.actual_keys.len()), (Status::Match, 2), "{uncompared:?}");
    }
}
