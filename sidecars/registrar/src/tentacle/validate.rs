//! All manifests of a call, read and checked by what they say themselves. Every violation of every manifest is told, so
//! that the caller hears of them together with those that only the cluster shows.

use std::fmt;

use serde_json::{Map, Value};
use tentacular_cluster::Kind;
use tentacular_contract::{
    TentacleName,
    backing::Service,
    limits,
    names::is_subdomain,
    reach::{Names, Object, Scope},
};

use super::{dependencies, manifest::Manifest, node_descriptions, ownership, telemetry, typed};

/// Characters of what a manifest says that a message has room for.
const SHOWN: usize = 80;
/// Violations, and warnings, that an answer has room for. A person's manifests have fewer; others could have more than
/// anybody wants to read or send.
const TOLD: usize = 500;

/// Manifests that were read, in the order in which they are applied.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) manifests: Vec<Manifest>,
    /// The same, as the rules look at them.
    pub(crate) objects: Vec<Object>,
    /// Kind and name of every manifest, also of those that could not be read.
    pub(crate) names: Names,
    /// The backing services that their contract asks for.
    pub(crate) services: Vec<Service>,
    /// What was changed in them, for the caller to know.
    pub(crate) warnings: Vec<String>,
    /// What speaks against them.
    pub(crate) violations: Vec<String>,
}

impl Checked {
    fn refuse(&mut self, place: &str, violation: impl fmt::Display) {
        self.violations.push(format!("{place}: {violation}"));
    }

    fn warn(&mut self, place: &str, warning: impl fmt::Display) {
        self.warnings.push(format!("{place}: {warning}"));
    }
}

impl Checked {
    /// With what `furnish` makes of the manifests, against which nothing has spoken until now.
    pub(crate) fn furnished(
        mut self,
        scope: &Scope<'_>,
        furnish: impl FnOnce(&mut Vec<Manifest>) -> Result<(), String>,
    ) -> Self {
        if let Err(violation) = furnish(&mut self.manifests) {
            self.violations.push(violation);
        }
        let names = self.manifests.iter().map(|manifest| (manifest.kind.as_str().to_owned(), manifest.name.clone()));
        self.names.extend(names);
        self.objects.clear();
        let places: Vec<_> = self.manifests.iter().map(Manifest::to_string).collect();
        obey(&places, scope, &mut self);
        self
    }
}

/// Everything that speaks against the manifests.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Violations(pub(crate) Vec<String>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "nothing was applied: {one}"),
            several => {
                let (count, told) = (several.len(), several.len().min(TOLD));
                write!(f, "nothing was applied, {count} violations:\n- {}", several[..told].join("\n- "))?;
                if told < count { write!(f, "\n- and {} more", count - told) } else { Ok(()) }
            }
        }
    }
}

/// Checks the manifests of `tentacle`, one of which must be its Deployment: without it, what the Deployment needs would
/// be taken from under it. Of the backing services those that are `enabled` may be asked for.
pub(crate) fn check(manifests: Vec<Map<String, Value>>, scope: &Scope<'_>, enabled: &[Service]) -> Checked {
    let tentacle = scope.tentacle;
    let mut checked = Checked::default();
    if manifests.len() > limits::MANIFESTS {
        let count = manifests.len();
        // Not even looked at, as each costs a request to the cluster.
        checked.refuse("manifests", format_args!("{count} are given, one call takes at most {}", limits::MANIFESTS));
        return checked;
    }
    let mut has_deployment = false;
    let mut places = Vec::new();
    for (index, manifest) in manifests.into_iter().enumerate() {
        has_deployment |= is_deployment_of(tentacle, &manifest);
        let place = title(index, &manifest);
        if let Some(manifest) = read(manifest, &place, scope, &mut checked) {
            checked.manifests.push(manifest);
            places.push(place);
        }
    }
    // Before the rules look at them: what is added must keep to the rules too.
    telemetry::add(tentacle, &mut checked.manifests);
    obey(&places, scope, &mut checked);
    if !has_deployment {
        checked.refuse(
            "manifests",
            format_args!(
                "Deployment {tentacle} is not among them; they are the whole tentacle, which is the Deployment of its \
                 name; wf_remove removes one"
            ),
        );
    }
    let found = dependencies::check(tentacle, &checked.manifests, enabled);
    let dependencies::Found { services, violations, warnings } = found;
    checked.services = services;
    checked.violations.extend(violations);
    checked.warnings.extend(warnings);
    let undescribed = node_descriptions::violations(tentacle, &checked.manifests, &checked.names);
    checked.violations.extend(undescribed);
    if checked.warnings.len() > TOLD {
        let more = checked.warnings.len() - TOLD;
        checked.warnings.truncate(TOLD);
        checked.warnings.push(format!("and {more} more"));
    }
    // What others refer to comes first.
    checked.manifests.sort_by_key(|manifest| manifest.kind);
    checked
}

/// Whether the manifest means to be the Deployment that the tentacle is, well formed or not.
fn is_deployment_of(tentacle: &TentacleName, manifest: &Map<String, Value>) -> bool {
    let name = manifest.get("metadata").and_then(|metadata| metadata.get("name"));
    manifest.get("kind").is_some_and(|kind| kind == "Deployment")
        && name.is_some_and(|name| name == tentacle.as_str())
}

/// How a message names a manifest, such as `manifests[2] (Service report)`.
fn title(index: usize, manifest: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map(shown);
    let kind = manifest.get("kind").and_then(text);
    let name = manifest.get("metadata").and_then(|metadata| metadata.get("name")).and_then(text);
    match (kind, name) {
        (Some(kind), Some(name)) => format!("manifests[{index}] ({kind} {name})"),
        (Some(kind), None) => format!("manifests[{index}] ({kind})"),
        _ => format!("manifests[{index}]"),
    }
}

/// As much of `text` as a message shows, without control characters.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect::<String>().escape_debug().to_string()
}

/// Reads one manifest, and puts what speaks against it into `checked`. Without kind or name there is nothing to go on with.
fn read(manifest: Map<String, Value>, place: &str, scope: &Scope<'_>, checked: &mut Checked) -> Option<Manifest> {
    let kind = kind(&manifest, scope).map_err(|violation| checked.refuse(place, violation)).ok()?;
    let metadata = manifest.get("metadata");
    let name = metadata.and_then(|metadata| metadata.get("name")).and_then(Value::as_str).map(str::to_owned);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        checked.refuse(place, "metadata.name: required, generateName is not supported");
        return None;
    };
    let namespace = metadata.and_then(|metadata| metadata.get("namespace")).and_then(Value::as_str);
    if let Some(other) = namespace.filter(|namespace| !namespace.is_empty() && *namespace != scope.enclave.as_str()) {
        let (other, enclave) = (shown(other), scope.enclave);
        let problem = format!("\"{other}\" is not the enclave {enclave} of the call; leave it out or give that");
        checked.refuse(place, format_args!("metadata.namespace: {problem}"));
    }
    if let Some(violation) = misnamed(kind, &name) {
        // Nothing may be asked of the cluster by such a name.
        checked.refuse(place, violation);
        return None;
    }
    if !checked.names.insert((kind.as_str().to_owned(), name.clone())) {
        checked.refuse(place, "another manifest has the same kind and name; give each object once");
    }
    let size = serde_json::to_vec(&manifest).map_or(usize::MAX, |bytes| bytes.len());
    if size > limits::MANIFEST_BYTES {
        let most = limits::MANIFEST_BYTES;
        checked.refuse(place, format_args!("it has {size} bytes, an object may have at most {most}"));
        return None;
    }
    let typed::Typed { body, dropped } =
        typed::read(kind, manifest).map_err(|error| checked.refuse(place, error)).ok()?;
    for dropped in dropped {
        checked.warn(place, dropped);
    }
    let mut manifest = Manifest { kind, name, body };
    drop_servers_annotations(&mut manifest.body, |warning| checked.warn(place, warning));
    manifest.place(scope.enclave, scope.tentacle);
    Some(manifest)
}

/// Holds the rules against each of the manifests, which were given at `places`.
fn obey(places: &[String], scope: &Scope<'_>, checked: &mut Checked) {
    for (place, manifest) in places.iter().zip(&checked.manifests) {
        let found = match Object::read(manifest.kind.as_str(), &manifest.name, &manifest.body) {
            Ok(object) => {
                let found = scope.alone(&object);
                checked.objects.push(object);
                found
            }
            Err(unread) => vec![*unread],
        };
        checked.violations.extend(found.iter().map(|violation| format!("{place}: {violation}")));
    }
}

/// What is wrong with `name` as that of an object of `kind`, if anything.
fn misnamed(kind: Kind, name: &str) -> Option<String> {
    if kind == Kind::Service && name.parse::<TentacleName>().is_err() {
        return Some(format!(
            "metadata.name: \"{}\" is no name of a Service: use 1 to 63 of a-z, 0-9 and '-', starting with a letter",
            shown(name)
        ));
    }
    (!is_subdomain(name)).then(|| {
        format!(
            "metadata.name: \"{}\" is no DNS name: use at most 253 of a-z, 0-9, '-' and '.', beginning and ending with \
             a letter or digit",
            shown(name)
        )
    })
}

fn kind(manifest: &Map<String, Value>, scope: &Scope<'_>) -> Result<Kind, String> {
    let text = |member: &str| manifest.get(member).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Err("apiVersion and kind are required".to_owned());
    }
    if let Some(kind) = Kind::of(api_version, kind) {
        return Ok(kind);
    }
    let takes = |kind: &Kind| *kind != Kind::Ingress || scope.ingress_domain.is_some();
    let allowed: Vec<_> = Kind::ALL.into_iter().filter(takes).map(Kind::as_str).collect();
    let allowed = allowed.join(", ");
    let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind).map(Kind::api_version);
    Err(known.map_or_else(
        || format!("kind \"{}\" is not permitted in workflow manifests; allowed kinds: {allowed}", shown(kind)),
        |taken| format!("apiVersion: \"{}\" is no version of {kind} that is taken; use {taken}", shown(api_version)),
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
mod recorded_tests;
#[cfg(test)]
mod tests;
