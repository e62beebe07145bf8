//! What is changed by the server's accounts and by administrators alone: who owns an enclave or a tentacle and how, which
//! release an object belongs to, and what every enclave has.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize as _;
use tentacular_contract::{
    keys,
    pod_security::{ENFORCE, ENFORCE_VERSION},
    reach::{ENCLAVE_POLICIES, OURS, Selector},
};

use super::{
    Finding, Kind, Operation, Request,
    object::{Texts, at, members, release, shown, texts},
};

/// Rule of annotations and labels that say who owns what.
const IDENTITY: &str = "protected-metadata";
/// Rule of the objects that every enclave has.
const FURNITURE: &str = "protected-object";
/// Rule of the end of an enclave.
const DELETION: &str = "enclave-deletion";
/// Who else may.
const WHO: &str = "is for the server and for administrators (verb administer on enclaves.tentacular.io) alone to";

/// What speaks against the write by somebody who is neither the server nor an administrator.
pub(super) fn judge(request: &Request<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    match request.operation {
        Operation::Delete if request.kind == Kind::NAMESPACE => found.push(deletion(request)),
        Operation::Delete => {}
        Operation::Create | Operation::Update => found.extend(identity(request)),
    }
    if is_servers(request) {
        found.extend(server_object(request));
    } else if request.kind == Kind::NETWORK_POLICY {
        found.extend(opening(request));
    }
    match (request.kind, request.operation) {
        (Kind::NETWORK_POLICY | Kind::SERVICE, Operation::Update) => found.extend(choice(request)),
        (Kind::NAMESPACE, Operation::Update) => {
            found.extend(owner_references(request, "enclave"));
            found.extend(finalizers(request));
        }
        (Kind::CONTROLLER_REVISION, Operation::Create) => found.push(revision(request)),
        (Kind::ENDPOINTS | Kind::ENDPOINT_SLICE, Operation::Create | Operation::Update) => {
            found.push(addresses(request));
        }
        _ => {}
    }
    found
}

fn deletion(request: &Request<'_>) -> Finding {
    let problem = format!("enclave {} {WHO} delete; call enclave_deprovision", shown(request.name));
    Finding::new(DELETION, "metadata.name", problem)
}

/// Without its finalizer an enclave ends before what is in it, and the next one of its name has that.
fn finalizers(request: &Request<'_>) -> Option<Finding> {
    let finalizers = |object| at(object, &["spec", "finalizers"]);
    (finalizers(request.object) != finalizers(request.old)).then(|| {
        let name = shown(request.name);
        let problem = format!(
            "decides whether what is in enclave {name} goes before it does, and {WHO} change; call \
             enclave_deprovision"
        );
        Finding::new(DELETION, "spec.finalizers", problem)
    })
}

/// Where a Service leads, whatever it selects: the server calls tentacles by their Services, and each lets it in.
fn addresses(request: &Request<'_>) -> Finding {
    let (kind, name) = (request.kind.as_str(), shown(request.name));
    let problem = format!(
        "{kind} {name} is for Kubernetes' controllers alone to write, as it could lead the server to pods of other \
         enclaves; select your own pods in the Service instead"
    );
    Finding::new("service-addresses", "metadata.name", problem)
}

/// A `StatefulSet`'s controller makes pods from it, about which nobody is asked.
fn revision(request: &Request<'_>) -> Finding {
    let problem = format!(
        "ControllerRevision {} is for Kubernetes' controllers alone to make; change the template in the StatefulSet or \
         DaemonSet instead",
        shown(request.name)
    );
    Finding::new("controller-revision", "metadata.name", problem)
}

/// Annotations and labels that decide who may do what, where they are set, changed or removed. An empty value counts as
/// absent, as it does for readers.
fn identity(request: &Request<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for member in ["annotations", "labels"] {
        let (new, old) = (texts(request.object, member), texts(request.old, member));
        let keys = new.keys().chain(old.keys().filter(|key| !new.contains_key(*key)));
        for key in keys.filter(|key| is_protected(request, member, key)) {
            if value(&new, key) == value(&old, key) {
                continue;
            }
            let change = match value(&new, key) {
                Some(new) => format!("{} {WHO} write", shown(new)),
                None => format!("removed, which {WHO} do"),
            };
            let problem = format!("{change}; {}", instead(request, key));
            found.push(Finding::new(IDENTITY, format!("metadata.{member}[{key}]"), problem));
        }
    }
    found
}

fn value<'a>(texts: &Texts<'a>, key: &str) -> Option<&'a str> {
    texts.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn is_protected(request: &Request<'_>, member: &str, key: &str) -> bool {
    let owning = |key: &str| key.starts_with("enclave") || key.starts_with("owner") || key == "mode";
    if is_servers(request) && request.operation == Operation::Update && key.starts_with("tentacular.io/") {
        return true;
    }
    match (member, request.kind) {
        ("annotations", Kind::NAMESPACE | Kind::DEPLOYMENT) => key.strip_prefix("tentacular.io/").is_some_and(owning),
        // Whoever makes a namespace chooses its level; a policy holds the server to `restricted`.
        ("labels", Kind::NAMESPACE) => {
            [ENFORCE, ENFORCE_VERSION].contains(&key) && request.operation == Operation::Update
        }
        ("labels", _) => key == keys::RELEASE,
        _ => false,
    }
}

/// What to do instead.
fn instead(request: &Request<'_>, key: &str) -> &'static str {
    match request.kind {
        _ if is_servers(request) => "leave it as it is",
        Kind::NAMESPACE if key == ENFORCE || key == ENFORCE_VERSION => "leave the enclave's level as it is",
        Kind::NAMESPACE => "call enclave_provision or enclave_sync",
        Kind::DEPLOYMENT if key != keys::RELEASE => "call permissions_set",
        _ => "call wf_apply or wf_remove",
    }
}

/// Whether the object is one that every enclave has, or has a name of the server's.
fn is_servers(request: &Request<'_>) -> bool {
    request.kind != Kind::NAMESPACE
        && (request.name.starts_with(OURS)
            || request.kind == Kind::NETWORK_POLICY && ENCLAVE_POLICIES.contains(&request.name))
}

/// Other labels and annotations of such an object may be anybody's; what it does, and whether it stays, may not.
fn server_object(request: &Request<'_>) -> Vec<Finding> {
    let kind = request.kind.as_str();
    let whole = |doing: &str, instead: &str| {
        let problem = format!("{kind} {} {WHO} {doing}; {instead}", shown(request.name));
        vec![Finding::new(FURNITURE, "metadata.name", problem)]
    };
    match request.operation {
        Operation::Create => whole("make", "choose another name"),
        Operation::Delete => whole("delete", "leave it as it is"),
        Operation::Update => {
            let changed = changed(request).into_iter().map(|member| {
                let problem = format!("{kind} {} {WHO} change; leave it as it is", shown(request.name));
                Finding::new(FURNITURE, member, problem)
            });
            changed.chain(owner_references(request, kind)).collect()
        }
    }
}

/// The members beside the metadata that the write changes. Of a service account only one lets its pods do more.
fn changed(request: &Request<'_>) -> Vec<String> {
    if request.kind == Kind::SERVICE_ACCOUNT {
        let member = "automountServiceAccountToken";
        let differs = at(request.object, &[member]) != at(request.old, &[member]);
        return differs.then(|| member.to_owned()).into_iter().collect();
    }
    let (new, old) = (at(request.object, &[]), at(request.old, &[]));
    // By the status of a quota the API server decides whether there may be more.
    let counts = request.kind == Kind::RESOURCE_QUOTA && request.subresource == Some("status");
    let is_aside =
        |member: &str| ["apiVersion", "kind", "metadata"].contains(&member) || member == "status" && !counts;
    let changed = members(new, old).into_iter().filter(|member| !is_aside(member) && new[member] != old[member]);
    changed.map(str::to_owned).collect()
}

/// An object goes when its owner does, which anybody may name.
fn owner_references(request: &Request<'_>, what: &str) -> Option<Finding> {
    let owners = |object| at(object, &["metadata", "ownerReferences"]);
    (owners(request.object) != owners(request.old)).then(|| {
        let problem = format!("would let another object decide when this {what} is deleted; leave it as it is");
        Finding::new(FURNITURE, "metadata.ownerReferences", problem)
    })
}

/// A policy of no release that opens pods of others: a tentacle's pods are closed unless its own release opens them.
/// Their labels are for the tentacle to choose, so such a policy has to leave out whatever is of a release.
fn opening(request: &Request<'_>) -> Option<Finding> {
    let spec = |object| at(object, &["spec"]);
    let opens = |direction: &&str| spec(request.object)[direction].as_array().is_some_and(|list| !list.is_empty());
    let is_new = spec(request.object) != spec(request.old) || release(request.old).is_some();
    if !is_new || release(request.object).is_some() || !["ingress", "egress"].iter().any(opens) {
        return None;
    }
    // What is no selector, a rule that holds for everybody refuses.
    let selector = LabelSelector::deserialize(&spec(request.object)["podSelector"]).unwrap_or_default();
    let selector = Selector::from(&selector);
    (!selector.leaves_out_tentacles()).then(|| {
        let problem = format!(
            "{} may select pods of tentacles, and to open these {WHO} do; select by a label of your own pods and, in \
             matchExpressions, by {{key: {}, operator: DoesNotExist}}, or bring the policy with the tentacle that it \
             is for (wf_apply)",
            shown(&selector.to_string()),
            keys::RELEASE
        );
        Finding::new("enclave-policies", "spec.podSelector", problem)
    })
}

/// Another choice of pods in a release's policy, which opens them, or in its Service, at which the server calls the tentacle. Which
/// pods are of which tentacle shows in the label of the release alone, as others are for each tentacle to choose.
fn choice(request: &Request<'_>) -> Option<Finding> {
    let release = release(request.object)?;
    let member = if request.kind == Kind::SERVICE { "selector" } else { "podSelector" };
    let selector = at(request.object, &["spec", member]);
    if selector == at(request.old, &["spec", member]) {
        return None;
    }
    // What is no selector, a rule that holds for everybody refuses.
    let selector = if request.kind == Kind::SERVICE {
        Selector::from(&BTreeMap::deserialize(selector).unwrap_or_default())
    } else {
        Selector::from(&LabelSelector::deserialize(selector).unwrap_or_default())
    };
    (!selector.asks_for_release(release)).then(|| {
        let problem = format!(
            "{} may select pods of other tentacles, which {WHO} do; select by {}: {} too, or call wf_apply",
            shown(&selector.to_string()),
            keys::RELEASE,
            shown(release)
        );
        Finding::new("release-selector", format!("spec.{member}"), problem)
    })
}

#[cfg(test)]
mod tests;
