//! The kinds that live in namespaces, and everything that can be done to them.

use serde_json::{Value, json};

use tentacular_test_harness::part::INGRESS_DOMAIN;

use super::attempt::{Attempt, apply, create, delete, get, merge, replace};

/// The object that a thief would like to have, in each place and of each kind.
pub(super) const VICTIM: &str = "victim";

const CORE: &str = "/api/v1";
const APPS: &str = "/apis/apps/v1";
const BATCH: &str = "/apis/batch/v1";
const NETWORKING: &str = "/apis/networking.k8s.io/v1";
const COORDINATION: &str = "/apis/coordination.k8s.io/v1";
/// Where roles and their bindings are.
pub(super) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Where policies and configurations of webhooks are.
pub(super) const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

/// A kind and an object of it that the rules of an enclave admit.
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) plural: &'static str,
    object: Value,
}

/// The kind `name` of `group`, with an object that is of that kind.
fn kind(group: &'static str, name: &str, plural: &'static str, mut object: Value) -> Kind {
    object["apiVersion"] = json!(group.trim_start_matches("/apis/").trim_start_matches("/api/"));
    object["kind"] = json!(name);
    Kind { group, plural, object }
}

/// What a pod consists of that runs under `restricted`.
pub(super) fn pod_spec() -> Value {
    let security = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    json!({
        "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{ "name": "main", "image": "none", "securityContext": security }],
    })
}

pub(super) fn kinds() -> Vec<Kind> {
    [of_core(), of_workloads(), of_other_groups()].into_iter().flatten().collect()
}

fn of_core() -> Vec<Kind> {
    let storage = json!({ "requests": { "storage": "1Mi" } });
    let claim = json!({ "spec": { "accessModes": ["ReadWriteOnce"], "resources": storage } });
    vec![
        kind(CORE, "Pod", "pods", json!({ "spec": pod_spec() })),
        kind(CORE, "Secret", "secrets", json!({ "stringData": { "password": "none" } })),
        kind(CORE, "ConfigMap", "configmaps", json!({ "data": { "k": "v" } })),
        kind(CORE, "ServiceAccount", "serviceaccounts", json!({})),
        kind(CORE, "Service", "services", json!({ "spec": { "ports": [{ "port": 80 }] } })),
        kind(CORE, "PersistentVolumeClaim", "persistentvolumeclaims", claim),
        kind(CORE, "ResourceQuota", "resourcequotas", json!({ "spec": { "hard": { "secrets": "99" } } })),
        kind(CORE, "LimitRange", "limitranges", json!({ "spec": { "limits": [] } })),
    ]
}

fn of_workloads() -> Vec<Kind> {
    let template = json!({ "metadata": { "labels": { "thief": "victim" } }, "spec": pod_spec() });
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let job = json!({ "template": once });
    let workload = json!({ "spec": { "selector": selector(), "template": template } });
    let cron = json!({ "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": job } } });
    vec![
        kind(APPS, "Deployment", "deployments", workload.clone()),
        kind(APPS, "ReplicaSet", "replicasets", workload.clone()),
        kind(APPS, "StatefulSet", "statefulsets", workload.clone()),
        kind(APPS, "DaemonSet", "daemonsets", workload),
        kind(BATCH, "Job", "jobs", json!({ "spec": job })),
        kind(BATCH, "CronJob", "cronjobs", cron),
    ]
}

fn of_other_groups() -> Vec<Kind> {
    let backend = json!({ "service": { "name": "victim", "port": { "number": 80 } } });
    let http = json!({ "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] });
    vec![
        kind(NETWORKING, "NetworkPolicy", "networkpolicies", json!({ "spec": { "podSelector": selector() } })),
        kind(NETWORKING, "Ingress", "ingresses", json!({ "spec": { "rules": [{ "http": http }] } })),
        kind(COORDINATION, "Lease", "leases", json!({ "spec": { "holderIdentity": "nobody" } })),
        kind(RBAC, "Role", "roles", json!({ "rules": [] })),
    ]
}

fn selector() -> Value {
    json!({ "matchLabels": { "thief": "victim" } })
}

impl Kind {
    /// The path of all objects of this kind in a namespace.
    pub(super) fn path(&self, namespace: &str) -> String {
        format!("{}/namespaces/{namespace}/{}", self.group, self.plural)
    }

    /// An object of that name, for a namespace.
    pub(super) fn object(&self, name: &str, namespace: &str) -> Value {
        let mut object = self.object.clone();
        object["metadata"] = json!({ "name": name });
        if let Some(rule) = object.pointer_mut("/spec/rules/0") {
            rule["host"] = json!(format!("victim.{namespace}.{INGRESS_DOMAIN}"));
        }
        object
    }

    /// Reading what is in a namespace where a victim is; first of all, listing it.
    pub(super) fn reads(&self, namespace: &str) -> Vec<Attempt> {
        let path = self.path(namespace);
        vec![get(path.clone()), get(format!("{path}?watch=1&timeoutSeconds=1")), get(format!("{path}/{VICTIM}"))]
    }

    /// Making objects, in any namespace.
    pub(super) fn creates(&self, namespace: &str) -> Vec<Attempt> {
        let path = self.path(namespace);
        vec![
            create(path.clone(), self.object("loot", namespace)),
            apply(format!("{path}/loot"), self.object("loot", namespace)),
        ]
    }

    /// Changing and deleting the victim, which `stored` is.
    pub(super) fn changes(&self, namespace: &str, stored: &Value) -> Vec<Attempt> {
        let path = self.path(namespace);
        let victim = format!("{path}/{VICTIM}");
        let label = json!({ "metadata": { "labels": { "stolen": "yes" } } });
        vec![replace(victim.clone(), stored.clone()), merge(victim.clone(), label), delete(victim), delete(path)]
    }

    /// All of these, each with the verb that RBAC knows it by. One that applies what is new needs `create` too.
    pub(super) fn by_verb(&self, namespace: &str, stored: &Value) -> Vec<(&'static str, Attempt)> {
        let verbs = ["list", "watch", "get", "create", "patch", "update", "patch", "delete", "deletecollection"];
        let attempts = [self.reads(namespace), self.creates(namespace), self.changes(namespace, stored)].concat();
        verbs.into_iter().zip(attempts).collect()
    }
}
