//! Kinds, names and metadata.

use serde_json::{Value, json};

use super::{Attempt, config_map, deployment, named, own, policy, service, with};

pub(super) fn attempts() -> Vec<Attempt> {
    [kinds(), names(), metadata(), secrets(), sizes()].concat()
}

fn kinds() -> Vec<Attempt> {
    let of = |api_version, kind| with(named(api_version, kind, "thief", &json!({})));
    let rbac = "rbac.authorization.k8s.io/v1";
    let refused = "is not permitted in workflow manifests";
    let list = json!({ "items": [config_map("c", "1")] });
    vec![
        ("a namespace", of("v1", "Namespace"), refused),
        ("a cluster role", of(rbac, "ClusterRole"), refused),
        ("a binding of a cluster role", of(rbac, "ClusterRoleBinding"), refused),
        ("a role", of(rbac, "Role"), refused),
        ("a binding of a role", of(rbac, "RoleBinding"), refused),
        ("an account", of("v1", "ServiceAccount"), refused),
        ("a pod", of("v1", "Pod"), refused),
        ("a volume", of("v1", "PersistentVolume"), refused),
        ("addresses behind a service", of("v1", "Endpoints"), refused),
        ("a slice of addresses", of("discovery.k8s.io/v1", "EndpointSlice"), refused),
        ("a stateful set", of("apps/v1", "StatefulSet"), refused),
        ("a daemon set", of("apps/v1", "DaemonSet"), refused),
        ("a quota", of("v1", "ResourceQuota"), refused),
        ("a webhook", of("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"), refused),
        ("an extension's kind", of("argoproj.io/v1alpha1", "Workflow"), refused),
        ("a list", with(named("v1", "List", "l", &list)), refused),
        ("a typed list", with(named("v1", "ConfigMapList", "l", &list)), refused),
        ("a kind in lower case", of("v1", "configmap"), refused),
        ("an old version", of("extensions/v1beta1", "Ingress"), "is no version of Ingress that is taken"),
    ]
}

fn names() -> Vec<Attempt> {
    let reserved = "(rule own-name)";
    let no_name = "is no DNS name";
    let foreign = "belongs to no tentacle";
    let mut ours = policy(&json!({ "matchLabels": { "app": "thief" } }));
    ours["metadata"]["name"] = json!("default-deny");
    let mut dns = ours.clone();
    dns["metadata"]["name"] = json!("allow-dns");
    let secret = |name: &str| with(named("v1", "Secret", name, &json!({})));
    vec![
        ("a name with a slash", with(config_map("a/b", "1")), no_name),
        ("the name above", with(config_map("..", "1")), no_name),
        ("a way up and elsewhere", with(config_map("../../victim/configmaps/c", "1")), no_name),
        ("an escaped slash", with(config_map("a%2fb", "1")), no_name),
        ("a name with a query", with(config_map("a?dryRun=All", "1")), no_name),
        ("no name", with(config_map("", "1")), "metadata.name: required"),
        ("another's exoskeleton", secret("tentacular-exoskeleton-victim"), reserved),
        ("the webhook's certificate", secret("tentacular-webhook-tls"), reserved),
        ("a ledger of runs", with(config_map("tentacular-runs-victim", "1")), reserved),
        ("another's secrets", secret("victim-secrets"), reserved),
        ("another's code", with(config_map("victim-code", "1")), reserved),
        ("another's import map", with(config_map("victim-import-map", "1")), reserved),
        ("the cluster's certificates", with(config_map("kube-root-ca.crt", "1")), reserved),
        ("another's service", with(service("victim", &json!({ "selector": { "app": "thief" } }))), reserved),
        ("another's deployment", with(deployment("victim", "evil")), "Deployment/victim belongs to tentacle victim"),
        ("another's object", with(config_map("victim-config", "1")), "ConfigMap/victim-config belongs to tentacle"),
        ("the enclave's policy", with(ours), foreign),
        ("the enclave's other policy", with(dns), foreign),
        ("nobody's object", with(config_map("nobodys", "1")), foreign),
        ("an object twice", vec![own(), config_map("c", "1"), config_map("c", "2")], "give each object once"),
        ("another tentacle alone", vec![deployment("victim", "evil")], "Deployment thief is not among them"),
    ]
}

fn metadata() -> Vec<Attempt> {
    let config_map = |members: Value| {
        let mut manifest = config_map("c", "1");
        manifest["metadata"].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        with(manifest)
    };
    let mut elsewhere = own();
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    let mut generated = own();
    generated["metadata"] = json!({ "generateName": "thief-" });
    let mut finalized = own();
    finalized["spec"]["template"]["metadata"]["finalizers"] = json!(["x.io/hold"]);
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "victim", "uid": "u" }]);
    let lifetime = "(rule own-lifetime)";
    vec![
        ("another namespace", config_map(json!({ "namespace": "default" })), "\"default\" is not the enclave"),
        ("the cluster's namespace", vec![elsewhere], "\"kube-system\" is not the enclave"),
        ("a generated name", vec![own(), generated], "generateName is not supported"),
        ("an owner", config_map(json!({ "ownerReferences": owner })), lifetime),
        ("a finalizer", config_map(json!({ "finalizers": ["foregroundDeletion", "x.io/hold"] })), lifetime),
        ("a finalizer of pods", vec![finalized], lifetime),
    ]
}

fn secrets() -> Vec<Attempt> {
    let token = "(rule no-token)";
    let mut annotated = named("v1", "Secret", "s", &json!({}));
    annotated["metadata"]["annotations"] = json!({ "kubernetes.io/service-account.name": "default" });
    let of = |kind: &str| with(named("v1", "Secret", "s", &json!({ "type": kind })));
    vec![
        ("a token of an account", of("kubernetes.io/service-account-token"), token),
        ("a bootstrap token", of("bootstrap.kubernetes.io/token"), token),
        ("a secret for an account", with(annotated), token),
    ]
}

fn sizes() -> Vec<Attempt> {
    let huge = "x".repeat(1024 * 1024);
    let many = (0..100).map(|index| config_map(&format!("c{index}"), "1"));
    vec![
        ("a huge object", with(config_map("c", &huge)), "an object may have at most 1048576"),
        ("very many objects", std::iter::once(own()).chain(many).collect(), "one call takes at most 100"),
    ]
}
