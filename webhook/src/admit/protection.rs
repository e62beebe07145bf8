//! What is changed by the server's accounts and by administrators alone: who owns an enclave or a tentacle and how, which
//! release an object belongs to, and what every enclave has.

use serde_json::Value;
use tentacular_contract::{
    facts::Pairs,
    keys,
    pod_security::{ENFORCE, ENFORCE_VERSION},
    reach::{ENCLAVE_POLICIES, OURS, Object, Rule, Violation},
};

use super::{
    Finding, Kind, Operation, Request,
    object::{at, pairs, release, shown},
    own,
};

/// Rule of annotations and labels that say who owns what.
const IDENTITY: &str = "protected-metadata";
/// Rule of the objects that every enclave has.
const FURNITURE: &str = "protected-object";
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
    if request.kind == Kind::NAMESPACE && request.operation == Operation::Update {
        found.extend(owner_references(request, "enclave"));
    }
    found
}

fn deletion(request: &Request<'_>) -> Finding {
    let problem = format!("enclave {} {WHO} delete; call enclave_deprovision", shown(request.name));
    Finding::new("enclave-deletion", "metadata.name", problem)
}

/// Annotations and labels that decide who may do what, where they are set, changed or removed. An empty value counts as
/// absent, as it does for readers.
fn identity(request: &Request<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for member in ["annotations", "labels"] {
        let (new, old) = (pairs(request.object, member), pairs(request.old, member));
        let keys = new.keys().chain(old.keys().filter(|key| !new.contains_key(*key)));
        for key in keys.filter(|key| is_protected(request, member, key)) {
            if value(&new, key) == value(&old, key) {
                continue;
            }
            let change = match value(&new, key) {
                Some(new) => format!("{} {WHO} write", shown(new)),
                None => format!("removed, which {WHO} do"),
            };
            let problem = format!("{change}; {}", instead(request.kind, key));
            found.push(Finding::new(IDENTITY, format!("metadata.{member}[{key}]"), problem));
        }
    }
    found
}

fn value<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a str> {
    pairs.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn is_protected(request: &Request<'_>, member: &str, key: &str) -> bool {
    let owning = |key: &str| key.starts_with("enclave") || key.starts_with("owner") || key == "mode";
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
fn instead(kind: Kind, key: &str) -> &'static str {
    match kind {
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

/// Labels and annotations of such an object may be anybody's; what it does, and whether it stays, may not.
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
    let members = |object: Option<&Value>| -> Vec<String> {
        object.and_then(Value::as_object).into_iter().flat_map(|object| object.keys().cloned()).collect()
    };
    let mut all = members(request.object);
    all.extend(members(request.old));
    all.sort_unstable();
    all.dedup();
    all.retain(|member| {
        let aside = ["apiVersion", "kind", "metadata", "status"].contains(&member.as_str());
        !aside && at(request.object, &[member]) != at(request.old, &[member])
    });
    all
}

/// An object goes when its owner does, which anybody may name.
fn owner_references(request: &Request<'_>, what: &str) -> Option<Finding> {
    let owners = |object| at(object, &["metadata", "ownerReferences"]);
    (owners(request.object) != owners(request.old)).then(|| {
        let problem = format!("would let another object decide when this {what} is deleted; leave it as it is");
        Finding::new(FURNITURE, "metadata.ownerReferences", problem)
    })
}

/// A policy of no release that opens pods of others: every pod of the enclave is closed unless its own release opens it.
fn opening(request: &Request<'_>) -> Vec<Finding> {
    let spec = |object| at(object, &["spec"]);
    let opens = |direction: &&str| spec(request.object)[direction].as_array().is_some_and(|list| !list.is_empty());
    let is_new = spec(request.object) != spec(request.old) || release(request.old).is_some();
    if !is_new || release(request.object).is_some() || !["ingress", "egress"].iter().any(opens) {
        return Vec::new();
    }
    let Some(Ok(policy)) = request.object.map(|object| Object::read(request.kind.as_str(), request.name, object))
    else {
        return Vec::new();
    };
    let violations = own::alone(&policy, request.namespace.name, None, None).into_iter();
    let finding = |Violation { field, value, problem, .. }| {
        let space = if value.is_empty() { "" } else { " " };
        let fix = "bring the policy with the tentacle that it is for (wf_apply)";
        Finding::new("enclave-policies", field, format!("{value}{space}{problem}, and to open these {WHO} do; {fix}"))
    };
    violations.filter(|violation| violation.rule == Rule::Selector).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{
            Entry::{Protect, Validate},
            testing::{create, delete, object, update},
        },
        *,
    };

    const MODE: &str = "protected-metadata metadata.annotations[tentacular.io/mode]";
    const RELEASE: &str = "protected-metadata metadata.labels[tentacular.io/release]";

    fn annotated(annotations: &Value) -> Value {
        object("team-a", &json!({ "annotations": annotations }), &json!({}))
    }

    fn labelled(name: &str, release: Option<&str>, rest: &Value) -> Value {
        object(name, &json!({ "labels": { "tentacular.io/release": release, "a": "b" } }), rest)
    }

    #[test]
    fn who_owns_an_enclave_is_set_changed_and_removed_by_nobody_else() {
        let (none, mode) = (annotated(&json!({})), annotated(&json!({ "tentacular.io/mode": "rwx------" })));
        let other = annotated(&json!({ "tentacular.io/mode": "rwxrwxrwx" }));
        for kind in [Kind::NAMESPACE, Kind::DEPLOYMENT] {
            create(kind, mode.clone()).refused(Protect, &[MODE]);
            update(kind, none.clone(), mode.clone()).refused(Protect, &[MODE]);
            update(kind, mode.clone(), other.clone()).refused(Protect, &[MODE]);
            update(kind, mode.clone(), none.clone()).refused(Protect, &[MODE]);
            update(kind, mode.clone(), other.clone()).through("status").refused(Protect, &[MODE]);
            update(kind, mode.clone(), mode.clone()).allowed(Protect);
            update(kind, mode.clone(), other.clone()).allowed(Validate);
        }
        update(Kind::NAMESPACE, mode.clone(), other).through("finalize").refused(Protect, &[MODE]);
        create(Kind::NAMESPACE, none.clone()).allowed(Protect);
        create(Kind::CONFIG_MAP, mode).allowed(Protect);
        // Readers take the empty value for none.
        create(Kind::NAMESPACE, annotated(&json!({ "tentacular.io/enclave-members": " " }))).allowed(Protect);
        for key in ["enclave", "enclave-owner", "enclave-status", "enclave-quota-preset", "owner", "owner-sub"] {
            let key = format!("tentacular.io/{key}");
            let set = annotated(&json!({ &key: "x@example.com" }));
            let expected = format!("protected-metadata metadata.annotations[{key}]");
            update(Kind::NAMESPACE, none.clone(), set.clone()).refused(Protect, &[&expected]);
            update(Kind::DEPLOYMENT, none.clone(), set).refused(Protect, &[&expected]);
        }
        for key in ["tentacular.io/description", "tentacular.io/cron-schedule", "enclave-owner", "team"] {
            update(Kind::NAMESPACE, none.clone(), annotated(&json!({ key: "@daily" }))).allowed(Protect);
            update(Kind::DEPLOYMENT, none.clone(), annotated(&json!({ key: "@daily" }))).allowed(Protect);
        }
    }

    #[test]
    fn the_release_of_an_object_is_set_changed_and_removed_by_nobody_else() {
        let with = |release| labelled("report", release, &json!({}));
        for kind in [Kind::DEPLOYMENT, Kind::SERVICE, Kind::CONFIG_MAP, Kind::SECRET, Kind::POD, Kind::OTHER] {
            create(kind, with(Some("report"))).refused(Protect, &[RELEASE]);
            update(kind, with(None), with(Some("report"))).refused(Protect, &[RELEASE]);
            update(kind, with(Some("report")), with(Some("other"))).refused(Protect, &[RELEASE]);
            update(kind, with(Some("report")), with(None)).refused(Protect, &[RELEASE]);
            update(kind, with(Some("report")), with(None)).through("status").refused(Protect, &[RELEASE]);
            update(kind, with(Some("report")), with(Some("report"))).allowed(Protect);
            create(kind, with(None)).allowed(Protect);
            delete(kind, with(Some("report"))).allowed(Protect);
        }
    }

    #[test]
    fn an_enclave_and_its_level_stay() {
        let at = |level: &str, version: Option<&str>| {
            let labels = json!({ ENFORCE: level, ENFORCE_VERSION: version });
            object("team-a", &json!({ "labels": labels }), &json!({}))
        };
        delete(Kind::NAMESPACE, at("restricted", None)).refused(Protect, &["enclave-deletion metadata.name"]);
        create(Kind::NAMESPACE, at("restricted", Some("latest"))).allowed(Protect);
        let (level, version) = (
            format!("protected-metadata metadata.labels[{ENFORCE}]"),
            format!("protected-metadata metadata.labels[{ENFORCE_VERSION}]"),
        );
        let before = at("restricted", Some("latest"));
        update(Kind::NAMESPACE, before.clone(), at("privileged", Some("latest"))).refused(Protect, &[&level]);
        update(Kind::NAMESPACE, before.clone(), at("restricted", Some("v1.0"))).refused(Protect, &[&version]);
        update(Kind::NAMESPACE, before.clone(), at("restricted", None)).refused(Protect, &[&version]);
        let mut owned = before.clone();
        owned["metadata"]["ownerReferences"] = json!([{ "kind": "Node", "name": "gone", "uid": "u" }]);
        let expected = ["protected-object metadata.ownerReferences"];
        update(Kind::NAMESPACE, before.clone(), owned).refused(Protect, &expected);
        let mut team = before.clone();
        team["metadata"]["labels"]["team"] = json!("red");
        update(Kind::NAMESPACE, before, team).allowed(Protect);
    }

    #[test]
    fn what_every_enclave_has_stays_as_it_is() {
        let spec = |value: u32| json!({ "spec": { "hard": { "pods": value } }, "status": { "used": value } });
        for (kind, name) in [
            (Kind::RESOURCE_QUOTA, "tentacular-quota"),
            (Kind::LIMIT_RANGE, "tentacular-limits"),
            (Kind::NETWORK_POLICY, "default-deny"),
            (Kind::NETWORK_POLICY, "allow-dns"),
            (Kind::ROLE_BINDING, "tentacular-enclave-registrar"),
            (Kind::CONFIG_MAP, "tentacular-runs-report"),
            (Kind::SECRET, "tentacular-exoskeleton-report"),
        ] {
            let with = |value| object(name, &json!({}), &spec(value));
            create(kind, with(1)).refused(Protect, &["protected-object metadata.name"]);
            delete(kind, with(1)).refused(Protect, &["protected-object metadata.name"]);
            update(kind, with(1), with(2)).refused(Protect, &["protected-object spec"]);
            let mut same = with(1);
            same["metadata"]["labels"] = json!({ "team": "red" });
            same["status"] = json!({ "used": 7 });
            update(kind, with(1), same.clone()).allowed(Protect);
            same["metadata"]["ownerReferences"] = json!([{ "kind": "Pod", "name": "gone", "uid": "u" }]);
            update(kind, with(1), same).refused(Protect, &["protected-object metadata.ownerReferences"]);
            create(kind, object("mine", &json!({}), &spec(1))).allowed(Protect);
            delete(kind, object("mine", &json!({}), &spec(1))).allowed(Protect);
        }
        create(Kind::CONFIG_MAP, object("default-deny", &json!({}), &json!({}))).allowed(Protect);
    }

    #[test]
    fn the_account_of_workflows_gets_no_token() {
        let account = |mount: bool, pull: &str| {
            let members = json!({ "automountServiceAccountToken": mount, "imagePullSecrets": [{ "name": pull }] });
            object("tentacular-workflow", &json!({}), &members)
        };
        let expected = ["protected-object automountServiceAccountToken"];
        update(Kind::SERVICE_ACCOUNT, account(false, "a"), account(true, "a")).refused(Protect, &expected);
        update(Kind::SERVICE_ACCOUNT, account(false, "a"), account(false, "b")).allowed(Protect);
    }

    #[test]
    fn nobody_else_opens_every_pod() {
        let policy = |release: Option<&str>, selector: &Value, rules: &Value| {
            let mut spec = rules.clone();
            spec["podSelector"] = selector.clone();
            labelled("open", release, &json!({ "spec": spec }))
        };
        let (all, open) = (json!({}), json!({ "egress": [{}] }));
        let expected = ["enclave-policies spec.podSelector"];
        create(Kind::NETWORK_POLICY, policy(None, &all, &open)).refused(Protect, &expected);
        let other = json!({ "matchLabels": { "tentacular.io/release": "report" } });
        create(Kind::NETWORK_POLICY, policy(None, &other, &json!({ "ingress": [{}] }))).refused(Protect, &expected);
        let closed = policy(None, &all, &json!({ "policyTypes": ["Egress"] }));
        create(Kind::NETWORK_POLICY, closed.clone()).allowed(Protect);
        update(Kind::NETWORK_POLICY, closed, policy(None, &all, &open)).refused(Protect, &expected);
        let own = json!({ "matchLabels": { "app": "debug" } });
        create(Kind::NETWORK_POLICY, policy(None, &own, &open)).allowed(Protect);
        let stands = policy(None, &all, &open);
        update(Kind::NETWORK_POLICY, stands.clone(), stands).allowed(Protect);
    }
}
