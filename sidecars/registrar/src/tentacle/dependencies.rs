//! What the contract in a tentacle's `workflow.yaml` asks of the server: its dependencies whose names begin with
//! `tentacular-`, each a backing service. Nothing else of the file is looked at, and nothing of it is quoted but the names
//! of such dependencies: it may hold what somebody should not have written into it.

use std::collections::BTreeSet;

use serde_json::Value;
use tentacular_cluster::Kind;
use tentacular_contract::{
    TentacleName,
    backing::Service,
    module_proxy::Module,
    workflow::{self, FILE},
};

use super::manifest::Manifest;
use crate::backing::PREFIX;

/// The backing services that a contract may ask for.
const SERVICES: [Service; 3] = [Service::Postgres, Service::Nats, Service::Rustfs];
/// Characters of a name that a message has room for.
const NAME_CHARACTERS: usize = 80;
/// Names that one message has room for.
const NAMES: usize = 10;

/// What was found: services that are enabled, and one sentence for each of the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) services: Vec<Service>,
    pub(crate) violations: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Looks for backing services in the contract of `tentacle`, of which these are `enabled`. Without a `workflow.yaml` there are
/// none.
///
/// A file that cannot be read is a violation. The engine reads the same file when it starts and could do no better, so
/// that the caller would hear of it from pods that do not come up; and what it depends on is not known.
pub(crate) fn check(tentacle: &TentacleName, manifests: &[Manifest], enabled: &[Service]) -> Found {
    let mut found = Found::default();
    let Some((index, text)) = file(tentacle, manifests) else { return found };
    let manifest = &manifests[index];
    let names = match workflow::dependencies(text) {
        Ok(names) => names,
        Err(error) => {
            found.violations.push(format!("{manifest}: data[{FILE:?}]: {error}"));
            return found;
        }
    };
    let field = format!("{manifest}: data[{FILE:?}]: contract.dependencies");
    let services: Vec<_> = names.iter().filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let known = |name: &str| SERVICES.into_iter().find(|service| service.as_str() == name);
    let unknown: Vec<_> = services.iter().copied().filter(|name| known(name).is_none()).collect();
    let (usable, others): (Vec<_>, Vec<_>) =
        services.into_iter().filter_map(known).partition(|service| enabled.contains(service));
    found.services = usable;
    found.violations.extend(others.into_iter().map(Service::as_str).map(|service| {
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
            SERVICES.map(Service::as_str).join(&format!(", {PREFIX}"))
        ));
    }
    found
}

/// The modules that the contract of `tentacle` depends on, none where its file cannot be read.
pub(crate) fn modules(tentacle: &TentacleName, manifests: &[Manifest]) -> BTreeSet<Module> {
    let modules = file(tentacle, manifests).and_then(|(_, text)| workflow::modules(text).ok());
    modules.unwrap_or_default()
}

/// The file that the engine reads, and which manifest has it: that of the `ConfigMap` which the client makes for it, else the first there is.
pub(crate) fn file<'a>(tentacle: &TentacleName, manifests: &'a [Manifest]) -> Option<(usize, &'a str)> {
    let code = format!("{tentacle}-code");
    let files: Vec<_> = manifests
        .iter()
        .enumerate()
        .filter(|(_, manifest)| manifest.kind == Kind::ConfigMap)
        .filter_map(|(index, manifest)| Some((index, manifest.body.get("data")?.get(FILE).and_then(Value::as_str)?)))
        .collect();
    files.iter().find(|(index, _)| manifests[*index].name == code).or(files.first()).copied()
}

#[cfg(test)]
mod tests;
