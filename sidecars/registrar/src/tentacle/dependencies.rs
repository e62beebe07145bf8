//! What the contract in a tentacle's `workflow.yaml` asks of the server: its dependencies whose names begin with
//! `tentacular-`, each a backing service. Nothing else of the file is looked at, and nothing of it is quoted but the names
//! of such dependencies: it may hold what somebody should not have written into it.

use serde_json::Value;
use tentacular_cluster::Kind;
use tentacular_contract::{
    TentacleName,
    workflow::{self, FILE},
};

use super::manifest::Manifest;

/// What the names of backing services begin with.
const PREFIX: &str = "tentacular-";
/// The backing services. None is enabled: this server has no accounts to give out.
const SERVICES: [&str; 3] = ["postgres", "nats", "rustfs"];
/// Characters of a name that a message has room for.
const NAME_CHARACTERS: usize = 80;
/// Names that one message has room for.
const NAMES: usize = 10;

/// What was found, one sentence each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) violations: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Looks for backing services in the contract of `tentacle`. Without a `workflow.yaml` there are none.
///
/// A file that cannot be read is a violation. The engine reads the same file when it starts and could do no better, so
/// that the caller would hear of it from pods that do not come up; and what it depends on is not known.
pub(crate) fn check(tentacle: &TentacleName, manifests: &[Manifest]) -> Found {
    let mut found = Found::default();
    let Some((manifest, text)) = file(tentacle, manifests) else { return found };
    let names = match workflow::dependencies(text) {
        Ok(names) => names,
        Err(error) => {
            found.violations.push(format!("{manifest}: data[{FILE:?}]: {error}"));
            return found;
        }
    };
    let field = format!("{manifest}: data[{FILE:?}]: contract.dependencies");
    let services: Vec<_> = names.iter().filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = services.into_iter().partition(|name| SERVICES.contains(name));
    found.violations.extend(known.iter().map(|service| {
        format!(
            "{field}.{PREFIX}{service}: exoskeleton: {service} not enabled; take the dependency out of {FILE}, or ask \
             an administrator to enable the service"
        )
    }));
    if !unknown.is_empty() {
        let short = |name: &&str| {
            let name = name.chars().take(NAME_CHARACTERS - PREFIX.len()).collect::<String>();
            format!("{PREFIX}{}", name.escape_debug())
        };
        let shown: Vec<_> = unknown.iter().take(NAMES).map(short).collect();
        let more = unknown.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        found.warnings.push(format!(
            "{field}: {}{more}: no such backing service, nothing is set up for it; there are {PREFIX}{}",
            shown.join(", "),
            SERVICES.join(&format!(", {PREFIX}"))
        ));
    }
    found
}

/// The file that the engine reads: that of the `ConfigMap` which the client makes for it, else the first there is.
fn file<'a>(tentacle: &TentacleName, manifests: &'a [Manifest]) -> Option<(&'a Manifest, &'a str)> {
    let code = format!("{tentacle}-code");
    let files: Vec<_> = manifests
        .iter()
        .filter(|manifest| manifest.kind == Kind::ConfigMap)
        .filter_map(|manifest| Some((manifest, manifest.body.get("data")?.get(FILE).and_then(Value::as_str)?)))
        .collect();
    files.iter().find(|(manifest, _)| manifest.name == code).or(files.first()).copied()
}

#[cfg(test)]
#[path = "dependencies_tests.rs"]
mod tests;
