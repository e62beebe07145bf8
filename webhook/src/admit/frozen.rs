//! In a frozen enclave no workload is made, changed, or let go so that another is made. What runs goes on, and can be
//! stopped: scaled down, suspended, deleted.

use serde_json::Value;
use tentacular_contract::{Enclave, Status};

use super::{
    Finding, Kind, Namespace, Operation, Request,
    object::{at, members, shown},
};

/// The rule's name.
const FROZEN: &str = "frozen-enclave";
/// Who thaws it.
const THAW: &str = "the enclave's owner makes it active again (enclave_sync with new_status active)";
/// How many pods there are to be.
const COUNTS: [&str; 4] = ["replicas", "parallelism", "minReplicas", "maxReplicas"];
/// What stops a workload.
const STOPS: [&str; 2] = ["suspend", "paused"];
/// The annotation by which the controller of Deployments still puts an earlier template in place of today's.
const ROLLBACK: &str = "deprecated.deployment.rollback.to";

/// What speaks against the write in a frozen enclave.
pub(super) fn judge(request: &Request<'_>) -> Vec<Finding> {
    // A template on its own makes nothing; what scales by itself makes pods, by a controller that nobody is asked about.
    let runs = request.kind.workload().is_some() && request.kind != Kind::POD_TEMPLATE;
    if !(runs || request.kind == Kind::POD_AUTOSCALER) || !is_frozen(request.namespace) {
        return Vec::new();
    }
    match request.operation {
        Operation::Delete => Vec::new(),
        Operation::Create => {
            let what = format!("{} {}", request.kind.as_str(), shown(request.name));
            let problem =
                format!("{what} would be new in enclave {}, which is frozen; {THAW}", request.namespace.name);
            vec![Finding::new(FROZEN, "metadata.name", problem)]
        }
        Operation::Update => {
            changes(request).into_iter().chain(rollback(request)).chain(letting_go(request)).collect()
        }
    }
}

fn is_frozen(Namespace { name, labels, annotations }: Namespace<'_>) -> bool {
    Enclave::from_metadata(name, labels, annotations, false).is_some_and(|enclave| enclave.status == Status::Frozen)
}

/// One for each member of the specification that is changed otherwise than to stop the workload.
fn changes(request: &Request<'_>) -> Vec<Finding> {
    let spec = |object| at(object, &["spec"]);
    let (new, old) = (spec(request.object), spec(request.old));
    members(new, old)
        .into_iter()
        .filter(|member| !stops(member, &new[member], &old[member]))
        .map(|member| {
            let value = match &new[member] {
                Value::Number(number) => format!("{number} would change"),
                Value::Bool(value) => format!("{value} would change"),
                _ => "would change".to_owned(),
            };
            let (kind, name) = (request.kind.as_str(), shown(request.name));
            let problem =
                format!("{value} {kind} {name} in enclave {}, which is frozen; {THAW}", request.namespace.name);
            Finding::new(FROZEN, format!("spec.{member}"), problem)
        })
        .collect()
}

/// An earlier template by annotation.
fn rollback(request: &Request<'_>) -> Option<Finding> {
    let asked = |object| at(object, &["metadata", "annotations", ROLLBACK]).as_str();
    let revision = asked(request.object).filter(|_| request.kind == Kind::DEPLOYMENT);
    (revision.is_some() && revision != asked(request.old)).then(|| {
        let (name, enclave) = (shown(request.name), request.namespace.name);
        let problem =
            format!("would change the pods of Deployment {name} in enclave {enclave}, which is frozen; {THAW}");
        Finding::new(FROZEN, format!("metadata.annotations[{ROLLBACK}]"), problem)
    })
}

/// What a controller no longer knows as its own, by labels and owner, runs on, and it makes another in its place.
fn letting_go(request: &Request<'_>) -> Vec<Finding> {
    if ![Kind::POD, Kind::REPLICA_SET].contains(&request.kind) {
        return Vec::new();
    }
    let differs = |member: &&str| {
        let of = |object| at(object, &["metadata", *member]);
        of(request.object) != of(request.old)
    };
    let finding = |member| {
        let (kind, name, enclave) = (request.kind.as_str(), shown(request.name), request.namespace.name);
        let problem =
            format!("would have another made beside {kind} {name} in enclave {enclave}, which is frozen; {THAW}");
        Finding::new(FROZEN, format!("metadata.{member}"), problem)
    };
    ["labels", "ownerReferences"].into_iter().filter(differs).map(finding).collect()
}

/// Whether a member is as it was, or changes so that less runs.
fn stops(member: &str, new: &Value, old: &Value) -> bool {
    // A count that is not there is nought in a scale, and a default elsewhere that is filled in before this.
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    new == old
        || COUNTS.contains(&member) && count(new) <= count(old)
        || STOPS.contains(&member) && new == &Value::Bool(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{
        Kind,
        testing::{
            Rules::{Protect, Validate},
            create, delete, object, pod, update,
        },
    };
    use super::*;

    const WORKLOADS: [Kind; 8] = [
        Kind::POD,
        Kind::REPLICATION_CONTROLLER,
        Kind::REPLICA_SET,
        Kind::DEPLOYMENT,
        Kind::STATEFUL_SET,
        Kind::DAEMON_SET,
        Kind::JOB,
        Kind::CRON_JOB,
    ];

    fn with(spec: &Value) -> Value {
        object("report", &json!({}), &json!({ "spec": spec }))
    }

    #[test]
    fn no_workload_is_made_or_changed() {
        let (before, after) =
            (with(&json!({ "template": 1, "replicas": 1 })), with(&json!({ "template": 2, "replicas": 1 })));
        for kind in WORKLOADS {
            create(kind, before.clone()).frozen().refused(Protect, &["frozen-enclave metadata.name"]);
            update(kind, before.clone(), after.clone()).frozen().refused(Protect, &["frozen-enclave spec.template"]);
            create(kind, before.clone()).allowed(Protect);
            update(kind, before.clone(), after.clone()).allowed(Protect);
            delete(kind, before.clone()).frozen().allowed(Protect);
            let mut annotated = before.clone();
            annotated["metadata"]["annotations"] = json!({ "note": "x" });
            update(kind, before.clone(), annotated).frozen().allowed(Protect);
        }
        for kind in [Kind::SERVICE, Kind::CONFIG_MAP, Kind::SECRET, Kind::POD_TEMPLATE, Kind::NAMESPACE] {
            create(kind, before.clone()).frozen().allowed(Protect);
        }
        let valid = object("report", &json!({}), &json!({ "spec": pod() }));
        create(Kind::POD, valid).frozen().allowed(Validate);
    }

    #[test]
    fn every_way_to_more_pods_is_refused_and_every_way_to_fewer_is_open() {
        let counted = |member: &str, count: Option<u32>| with(&json!({ member: count }));
        for (kind, member, subresource) in [
            (Kind::DEPLOYMENT, "replicas", None),
            (Kind::STATEFUL_SET, "replicas", Some("scale")),
            (Kind::REPLICA_SET, "replicas", Some("scale")),
            (Kind::JOB, "parallelism", None),
        ] {
            let expected = format!("frozen-enclave spec.{member}");
            for (old, new, refused) in [
                (Some(1), Some(2), true),
                (Some(0), Some(1), true),
                (None, Some(1), true),
                (Some(3), Some(1), false),
                (Some(3), Some(0), false),
                (Some(3), None, false),
                (Some(3), Some(3), false),
            ] {
                let mut write = update(kind, counted(member, old), counted(member, new)).frozen();
                write.subresource = subresource;
                let expected = [expected.as_str()];
                write.refused(Protect, if refused { &expected } else { &[] });
            }
        }
        for (kind, member) in [(Kind::CRON_JOB, "suspend"), (Kind::JOB, "suspend"), (Kind::DEPLOYMENT, "paused")] {
            let with = |value: bool| with(&json!({ member: value }));
            update(kind, with(false), with(true)).frozen().allowed(Protect);
            let expected = format!("frozen-enclave spec.{member}");
            update(kind, with(true), with(false)).frozen().refused(Protect, &[&expected]);
        }
    }

    #[test]
    fn no_earlier_template_comes_back_by_annotation() {
        let annotated = |to: Option<&str>| {
            let annotations = json!({ "annotations": { "deprecated.deployment.rollback.to": to } });
            object("report", &annotations, &json!({ "spec": { "template": 1 } }))
        };
        let expected = ["frozen-enclave metadata.annotations[deprecated.deployment.rollback.to]"];
        for (old, new, refused) in [
            (None, Some("1"), true),
            (Some("1"), Some("2"), true),
            (Some("1"), Some("1"), false),
            (Some("1"), None, false),
        ] {
            let write = update(Kind::DEPLOYMENT, annotated(old), annotated(new));
            write.clone().frozen().refused(Protect, if refused { &expected } else { &[] });
            write.allowed(Protect);
        }
    }

    #[test]
    fn nothing_is_let_go_so_that_another_is_made_in_its_place() {
        let with = |labels: Value, owners: Value| {
            object("report-1", &json!({ "labels": labels, "ownerReferences": owners }), &json!({ "spec": pod() }))
        };
        let (labels, owners) = (json!({ "pod-template-hash": "x" }), json!([{ "kind": "ReplicaSet", "uid": "u" }]));
        let before = with(labels.clone(), owners.clone());
        let (unlabelled, disowned) = (with(json!({}), owners), with(labels, json!([])));
        for kind in [Kind::POD, Kind::REPLICA_SET] {
            for (after, expected) in [
                (&unlabelled, "frozen-enclave metadata.labels"),
                (&disowned, "frozen-enclave metadata.ownerReferences"),
            ] {
                let write = update(kind, before.clone(), after.clone());
                write.clone().frozen().refused(Protect, &[expected]);
                write.clone().frozen().through("status").refused(Protect, &[expected]);
                write.allowed(Protect);
            }
            update(kind, before.clone(), before.clone()).frozen().allowed(Protect);
        }
        update(Kind::DEPLOYMENT, before, unlabelled).frozen().allowed(Protect);
    }

    #[test]
    fn nothing_begins_to_scale_by_itself() {
        let scaler = |min: u32, max: u32| with(&json!({ "minReplicas": min, "maxReplicas": max }));
        let kind = Kind::POD_AUTOSCALER;
        create(kind, scaler(1, 2)).frozen().refused(Protect, &["frozen-enclave metadata.name"]);
        create(kind, scaler(1, 2)).allowed(Protect);
        update(kind, scaler(1, 2), scaler(2, 2)).frozen().refused(Protect, &["frozen-enclave spec.minReplicas"]);
        update(kind, scaler(2, 3), scaler(1, 1)).frozen().allowed(Protect);
        delete(kind, scaler(1, 2)).frozen().allowed(Protect);
    }

    #[test]
    fn a_pod_gets_no_further_container() {
        let before = with(&pod());
        let mut after = before.clone();
        after["spec"]["ephemeralContainers"] = json!([{ "name": "debug", "image": "busybox" }]);
        let write = update(Kind::POD, before, after).through("ephemeralcontainers");
        write.clone().frozen().refused(Protect, &["frozen-enclave spec.ephemeralContainers"]);
        write.allowed(Protect);
    }
}
