//! A tentacle reaches only its own: what one object shows of that, by the rules that the registrar applies by.
//!
//! What is of no release is held to them as far as it concerns others: as which account it runs, what leads out of the
//! enclave, and whose credentials it asks for. It may select every pod, as the enclave's own policies do.

use std::borrow::Cow;

use serde_json::{Value, json};
use tentacular_contract::{
    EnclaveName, TentacleName,
    reach::{KINDS, Object, Rule, Scope, Violation},
};

use super::{
    Finding, Kind, Operation, Request, Verdict,
    object::{at, release, shown},
};

/// In place of a release where there is none. No tentacle has this name, as the server's own begin so.
const NOBODY: &str = "tentacular-nobody";
/// Finalizer that Kubernetes puts on every claim.
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";

/// What the rules hold against the object. Its names are looked at by the other entry: administrators restore what has one
/// of the server's.
pub(super) fn verdict(request: &Request<'_>, ingress_domain: Option<&str>) -> Verdict {
    let whole = matches!(request.subresource, None | Some("ephemeralcontainers"));
    if request.operation == Operation::Delete || !whole {
        return Verdict::default();
    }
    let find =
        |object: Option<&Value>| object.map(|object| findings(request, object, ingress_domain)).unwrap_or_default();
    let (new, old) = (find(request.object), find(request.old));
    // Operators have reasons for owners and finalizers, which an object of a release is better without. One that is there
    // is no news.
    let is_lifetime = |finding: &Finding| finding.rule == Rule::Lifetime.as_str();
    let (lifetime, new): (Vec<_>, Vec<_>) = new.into_iter().partition(is_lifetime);
    let mut verdict = Verdict::of_change(new, &old);
    if request.kind == Kind::POD {
        // What it is already cannot be changed, and on a node it is by the scheduler.
        verdict.warnings.clear();
    }
    verdict.warnings.extend(lifetime.into_iter().filter(|finding| !old.contains(finding)));
    verdict
}

fn findings(request: &Request<'_>, object: &Value, ingress_domain: Option<&str>) -> Vec<Finding> {
    let read = match read(request, object) {
        None => return Vec::new(),
        Some(Ok(read)) => read,
        Some(Err(violation)) => return vec![finding(&violation)],
    };
    let tentacle = match release(Some(object)).map(str::parse::<TentacleName>).transpose() {
        Ok(tentacle) => tentacle,
        Err(error) => {
            let release = release(Some(object)).unwrap_or_default();
            let problem = format!("{} is no tentacle: {error}", shown(release));
            return vec![Finding::new("release", "metadata.labels[tentacular.io/release]", problem)];
        }
    };
    let violations = alone(&read, request.namespace.name, tentacle.as_ref(), ingress_domain);
    violations.iter().filter(|violation| is_held(violation, request.kind, tentacle.is_some())).map(finding).collect()
}

/// The object as the rules look at it; none of a kind without rules.
fn read(request: &Request<'_>, object: &Value) -> Option<Result<Object, Box<Violation>>> {
    let object = settled(request.kind, object);
    if KINDS.contains(&request.kind.as_str()) {
        return Some(Object::read(request.kind.as_str(), request.name, &object));
    }
    Some(Object::pods_of(request.kind.workload()?, request.name, &object))
}

/// Without the finalizers that Kubernetes itself puts on an object: on a claim, and on what is being deleted.
fn settled(kind: Kind, object: &Value) -> Cow<'_, Value> {
    let going = !at(Some(object), &["metadata", "deletionTimestamp"]).is_null();
    let finalizers = at(Some(object), &["metadata", "finalizers"]);
    if finalizers.is_null() || !going && (kind != Kind::CLAIM || finalizers != &json!([CLAIM_PROTECTION])) {
        return Cow::Borrowed(object);
    }
    let mut settled = object.clone();
    settled["metadata"]["finalizers"].take();
    Cow::Owned(settled)
}

/// All that an object shows which is of that tentacle or of none.
pub(super) fn alone(
    object: &Object,
    enclave: &str,
    tentacle: Option<&TentacleName>,
    ingress_domain: Option<&str>,
) -> Vec<Violation> {
    let nobody: Option<TentacleName> = NOBODY.parse().ok();
    let (Ok(enclave), Some(tentacle)) = (enclave.parse::<EnclaveName>(), tentacle.or(nobody.as_ref())) else {
        return Vec::new();
    };
    Scope { enclave: &enclave, tentacle, ingress_domain }.alone(object)
}

/// Whether a rule holds for everybody.
fn is_held(violation: &Violation, kind: Kind, of_release: bool) -> bool {
    match violation.rule {
        Rule::Name => false,
        // Pods belong to what made them, and Kubernetes keeps those of Jobs by a finalizer.
        Rule::Lifetime => of_release && kind != Kind::POD,
        Rule::Selector => of_release,
        _ => true,
    }
}

fn finding(violation: &Violation) -> Finding {
    Finding { rule: violation.rule.as_str(), field: violation.field.clone(), text: violation.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Entry::{Protect, Validate},
            testing::{Write, create, delete, object, pod, update},
        },
        *,
    };

    fn of(release: Option<&str>, name: &str, rest: &Value) -> Value {
        object(name, &json!({ "labels": { "tentacular.io/release": release } }), rest)
    }

    #[test]
    fn what_leads_out_of_the_enclave_is_refused_to_everybody() {
        let token = json!({ "type": "kubernetes.io/service-account-token" });
        let host = |host: &str| json!({ "spec": { "rules": [{ "host": host }] } });
        for release in [Some("report"), None] {
            let of = |rest: &Value| of(release, "report", rest);
            for (kind, rest, expected) in [
                (
                    Kind::SERVICE,
                    json!({ "spec": { "type": "NodePort", "selector": { "app": "a" } } }),
                    "internal-service spec.type",
                ),
                (
                    Kind::SERVICE,
                    json!({ "spec": { "externalIPs": ["192.0.2.1"], "selector": { "app": "a" } } }),
                    "internal-service spec.externalIPs",
                ),
                (Kind::SECRET, token.clone(), "no-token type"),
                (Kind::INGRESS, host("bank.example"), "own-host spec.rules[0].host"),
                (Kind::CLAIM, json!({ "spec": { "volumeName": "pv" } }), "own-reference spec.volumeName"),
            ] {
                create(kind, of(&rest)).refused(Validate, &[expected]);
                update(kind, of(&json!({ "spec": { "selector": { "app": "a" } } })), of(&rest))
                    .refused(Validate, &[expected]);
                delete(kind, of(&rest)).allowed(Validate);
                create(kind, of(&rest)).at_level("privileged").refused(Validate, &[expected]);
            }
            create(Kind::SERVICE, of(&json!({ "spec": { "selector": { "app": "a" } } }))).allowed(Validate);
            create(Kind::INGRESS, of(&host("x.team-a.apps.example.org"))).allowed(Validate);
            create(Kind::SECRET, of(&json!({ "type": "Opaque" }))).allowed(Validate);
        }
    }

    #[test]
    fn pods_of_every_kind_run_as_nobody_and_ask_for_no_credentials_of_others() {
        let mut spec = pod();
        spec["serviceAccountName"] = json!("builder");
        spec["volumes"] = json!([{ "name": "v", "secret": { "secretName": "tentacular-exoskeleton-other" } }]);
        spec["nodeName"] = json!("node-1");
        for (kind, object, at) in [
            (Kind::POD, json!({ "spec": spec }), ""),
            (Kind::STATEFUL_SET, json!({ "spec": { "template": { "spec": spec } } }), "spec.template."),
            (Kind::REPLICATION_CONTROLLER, json!({ "spec": { "template": { "spec": spec } } }), "spec.template."),
            (Kind::POD_TEMPLATE, json!({ "template": { "spec": spec } }), "template."),
        ] {
            let expected = [
                format!("powerless-account {at}spec.serviceAccountName"),
                format!("fair-scheduling {at}spec.nodeName"),
                format!("own-reference {at}spec.volumes[0].secret.secretName"),
            ];
            create(kind, of(None, "report", &object)).refused(Validate, &expected.each_ref().map(String::as_str));
        }
        let own = json!([{ "name": "v", "secret": { "secretName": "tentacular-exoskeleton-report" } }]);
        let mut spec = pod();
        spec["volumes"] = own;
        let pod = json!({ "spec": spec });
        create(Kind::POD, of(Some("report"), "one", &pod)).allowed(Validate);
        let expected = ["own-reference spec.volumes[0].secret.secretName"];
        create(Kind::POD, of(Some("other"), "one", &pod)).refused(Validate, &expected);
    }

    #[test]
    fn a_release_selects_its_own_pods() {
        let policy = |selector: &Value| json!({ "spec": { "podSelector": selector } });
        let (all, other) = (json!({}), json!({ "matchLabels": { "tentacular.io/release": "other" } }));
        for selector in [&all, &other] {
            let write = create(Kind::NETWORK_POLICY, of(Some("report"), "open", &policy(selector)));
            write.refused(Validate, &["own-selector spec.podSelector"]);
            // Those of nobody are for all, if an administrator makes them: the other entry asks about people.
            create(Kind::NETWORK_POLICY, of(None, "open", &policy(selector))).allowed(Validate);
        }
        let template = json!({ "metadata": { "labels": { "tentacular.io/release": "other" } }, "spec": pod() });
        let set = json!({ "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template } });
        let expected = ["own-labels spec.template.metadata.labels[\"tentacular.io/release\"]"];
        create(Kind::REPLICA_SET, of(None, "report", &set)).refused(Validate, &expected);
        let expected = ["release metadata.labels[tentacular.io/release]"];
        create(Kind::CONFIG_MAP, of(Some("Report"), "report", &json!({}))).refused(Validate, &expected);
    }

    #[test]
    fn owners_and_finalizers_are_warnings_but_for_those_of_kubernetes() {
        let with = |release: Option<&str>, metadata: &Value| {
            let mut object = of(release, "report", &json!({ "spec": {} }));
            for (key, value) in metadata.as_object().unwrap() {
                object["metadata"][key] = value.clone();
            }
            object
        };
        let kept = json!({ "finalizers": ["kubernetes.io/pvc-protection"] });
        create(Kind::CLAIM, with(Some("report"), &kept)).allowed(Validate);
        let mine = json!({ "finalizers": ["kubernetes.io/pvc-protection", "example.org/mine"] });
        let warned = |write: Write| {
            let verdict = write.judged(Validate);
            assert_eq!(verdict.violations, []);
            verdict.warnings.into_iter().map(|finding| finding.field).collect::<Vec<_>>()
        };
        assert_eq!(warned(create(Kind::CLAIM, with(Some("report"), &mine))), ["metadata.finalizers"]);
        create(Kind::CLAIM, with(None, &mine)).allowed(Validate);
        let owned = json!({ "ownerReferences": [{ "kind": "Pod", "name": "gone", "uid": "u" }] });
        let owned = with(Some("report"), &owned);
        assert_eq!(warned(create(Kind::CONFIG_MAP, owned.clone())), ["metadata.ownerReferences"]);
        update(Kind::CONFIG_MAP, owned.clone(), owned).allowed(Validate);
        let going = json!({ "finalizers": ["foregroundDeletion"], "deletionTimestamp": "2026-01-01T00:00:00Z" });
        update(Kind::CONFIG_MAP, with(Some("report"), &json!({})), with(Some("report"), &going)).allowed(Validate);
    }

    #[test]
    fn a_pod_that_runs_is_left_alone() {
        let mut bound = json!({ "spec": pod() });
        bound["spec"]["nodeName"] = json!("node-1");
        let bound = of(Some("report"), "one", &bound);
        let mut labelled = bound.clone();
        labelled["metadata"]["labels"]["note"] = json!("x");
        update(Kind::POD, bound, labelled).allowed(Validate);
    }

    #[test]
    fn names_are_for_the_other_entry() {
        let ledger =
            object("tentacular-runs-report", &json!({ "labels": { "tentacular.io/ledger": "1" } }), &json!({}));
        create(Kind::CONFIG_MAP, ledger.clone()).allowed(Validate);
        create(Kind::CONFIG_MAP, ledger).refused(Protect, &["protected-object metadata.name"]);
    }
}
