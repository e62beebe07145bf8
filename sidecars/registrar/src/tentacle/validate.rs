//! All manifests of a call, read and checked before anything is asked of the cluster. Every violation of every
//! manifest is told at once.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value};
use tentacular_cluster::Kind;
use tentacular_contract::{EnclaveName, TentacleName, limits};

use super::{manifest::Manifest, ownership, rules, typed};

/// Manifests that can be applied, in the order in which they are.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) manifests: Vec<Manifest>,
    /// What was changed in them, for the caller to know.
    pub(crate) warnings: Vec<String>,
}

/// Everything that speaks against the manifests.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Violations(pub(crate) Vec<String>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "nothing was applied: {one}"),
            several => write!(f, "nothing was applied, {} violations:\n- {}", several.len(), several.join("\n- ")),
        }
    }
}

/// Checks the manifests of `tentacle`, one of which must be its Deployment: without it, what the Deployment needs would
/// be taken from under it.
pub(crate) fn check(
    manifests: Vec<Map<String, Value>>,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
) -> Result<Checked, Violations> {
    let mut violations = Vec::new();
    let mut checked = Checked::default();
    if manifests.len() > limits::MANIFESTS {
        let count = manifests.len();
        violations.push(format!("manifests: {count} are given, one call takes at most {}", limits::MANIFESTS));
    }
    let mut seen = BTreeSet::new();
    let mut has_deployment = false;
    for (index, manifest) in manifests.into_iter().enumerate() {
        let place = title(index, &manifest);
        has_deployment |= is_deployment_of(tentacle, &manifest);
        let mut found = Vec::new();
        let read = one(manifest, enclave, tentacle, &mut found, |warning| {
            checked.warnings.push(format!("{place}: {warning}"));
        });
        if let Some(manifest) = read {
            if !seen.insert((manifest.kind, manifest.name.clone())) {
                found.push("another manifest has the same kind and name; give each object once".to_owned());
            }
            checked.manifests.push(manifest);
        }
        violations.extend(found.into_iter().map(|violation| format!("{place}: {violation}")));
    }
    if !has_deployment {
        violations.push(format!(
            "manifests: Deployment {tentacle} is not among them; they are the whole tentacle, which is the Deployment \
             of its name; wf_remove removes one"
        ));
    }
    if !violations.is_empty() {
        return Err(Violations(violations));
    }
    // What others refer to comes first.
    checked.manifests.sort_by_key(|manifest| manifest.kind);
    Ok(checked)
}

/// Whether the manifest means to be the Deployment that the tentacle is, well formed or not.
fn is_deployment_of(tentacle: &TentacleName, manifest: &Map<String, Value>) -> bool {
    let name = manifest.get("metadata").and_then(|metadata| metadata.get("name"));
    manifest.get("kind").is_some_and(|kind| kind == "Deployment")
        && name.is_some_and(|name| name == tentacle.as_str())
}

/// How a message names a manifest, such as `manifests[2] (Service report)`.
fn title(index: usize, manifest: &Map<String, Value>) -> String {
    let short = |value: &Value| {
        value.as_str().map(|text| text.chars().take(80).collect::<String>().escape_debug().to_string())
    };
    let kind = manifest.get("kind").and_then(short);
    let name = manifest.get("metadata").and_then(|metadata| metadata.get("name")).and_then(short);
    match (kind, name) {
        (Some(kind), Some(name)) => format!("manifests[{index}] ({kind} {name})"),
        (Some(kind), None) => format!("manifests[{index}] ({kind})"),
        _ => format!("manifests[{index}]"),
    }
}

/// Reads one manifest. Without kind or name there is nothing to go on with.
fn one(
    manifest: Map<String, Value>,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
    found: &mut Vec<String>,
    mut warn: impl FnMut(String),
) -> Option<Manifest> {
    let kind = kind(&manifest).map_err(|violation| found.push(violation)).ok()?;
    let size = serde_json::to_vec(&manifest).map_or(usize::MAX, |bytes| bytes.len());
    if size > limits::MANIFEST_BYTES {
        found.push(format!("it has {size} bytes, an object may have at most {}", limits::MANIFEST_BYTES));
        return None;
    }
    let metadata = manifest.get("metadata");
    let name = metadata.and_then(|metadata| metadata.get("name")).and_then(Value::as_str).map(str::to_owned);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        found.push("metadata.name: required, generateName is not supported".to_owned());
        return None;
    };
    found.extend(rules::name(kind, &name, tentacle));
    let namespace = metadata.and_then(|metadata| metadata.get("namespace")).and_then(Value::as_str);
    if let Some(other) = namespace.filter(|namespace| !namespace.is_empty() && *namespace != enclave.as_str()) {
        found.push(format!(
            "metadata.namespace: {other:?} is not the enclave {enclave} of the call; leave it out or give that"
        ));
    }
    let read = typed::read(kind, manifest).map_err(|error| found.push(error.to_string())).ok()?;
    read.dropped.into_iter().for_each(&mut warn);
    let mut manifest = Manifest { kind, name, body: read.body };
    found.extend(rules::violations(&manifest));
    drop_servers_annotations(&mut manifest.body, warn);
    manifest.place(enclave, tentacle);
    Some(manifest)
}

fn kind(manifest: &Map<String, Value>) -> Result<Kind, String> {
    let text = |member: &str| manifest.get(member).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Err("apiVersion and kind are required".to_owned());
    }
    if let Some(kind) = Kind::of(api_version, kind) {
        return Ok(kind);
    }
    let takes = |kind: &Kind| *kind != Kind::Ingress;
    let allowed: Vec<_> = Kind::ALL.into_iter().filter(takes).map(Kind::as_str).collect();
    let allowed = allowed.join(", ");
    let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind).map(Kind::api_version);
    Err(known.map_or_else(
        || format!("kind {kind:?} is not permitted in workflow manifests; allowed kinds: {allowed}"),
        |taken| format!("apiVersion: {api_version:?} is no version of {kind} that is taken; use {taken}"),
    ))
}

/// Who owns a tentacle is not for its manifests to say.
fn drop_servers_annotations(body: &mut Value, mut warn: impl FnMut(String)) {
    let Some(annotations) = body.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    annotations.retain(|key, _| {
        let servers = ownership::is_servers(key);
        if servers {
            warn(format!("metadata.annotations[{key:?}] is written by the server alone; it was left out"));
        }
        !servers
    });
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
