//! Kinds, names and metadata.

use serde_json::{Value, json};

use super::{Attempt, config_map, deployment, named, own, policy, service, with};

pub(super) fn attempts() -> Vec<Attempt> {
    [kinds(), names(), letters(), metadata(), secrets(), shapes(), sizes(), workflows()].concat()
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
        ("a list alone", vec![named("v1", "List", "l", &json!({ "items": [own()] }))], refused),
        ("a typed list of deployments", of("apps/v1", "DeploymentList"), refused),
        ("a lock", of("coordination.k8s.io/v1", "Lease"), refused),
        ("limits", of("v1", "LimitRange"), refused),
        ("a token", of("authentication.k8s.io/v1", "TokenRequest"), refused),
        ("a certificate", of("certificates.k8s.io/v1", "CertificateSigningRequest"), refused),
        ("a definition of kinds", of("apiextensions.k8s.io/v1", "CustomResourceDefinition"), refused),
        ("a kind in lower case", of("v1", "configmap"), refused),
        ("a kind in other letters", of("apps/v1", "D\u{435}ployment"), refused),
        ("a kind with a path", of("v1", "ConfigMap/../../Namespace"), refused),
        ("another group's kind", of("crd.projectcalico.org/v1", "NetworkPolicy"), "is no version of NetworkPolicy"),
        ("a version with a space", of("apps/v1 ", "Deployment"), "is no version of Deployment that is taken"),
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
        ("the enclave's policy", with(ours), "is the enclave's own"),
        ("the enclave's other policy", with(dns), "is the enclave's own"),
        ("nobody's object", with(config_map("nobodys", "1")), foreign),
        ("an object twice", vec![own(), config_map("c", "1"), config_map("c", "2")], "give each object once"),
        ("another tentacle alone", vec![deployment("victim", "evil")], "Deployment thief is not among them"),
    ]
}

/// Names that look like others or like nothing.
fn letters() -> Vec<Attempt> {
    let of = |name: &str| with(config_map(name, "1"));
    let no_name = "is no DNS name";
    let mut label = config_map("c", "1");
    label["metadata"]["labels"] = json!({ "app": "th\u{456}ef" });
    let mut key = config_map("c", "1");
    key["metadata"]["labels"] = json!({ "\u{202e}app": "x" });
    vec![
        ("other letters", of("v\u{456}ctim-config"), no_name),
        ("wide letters", of("\u{ff56}ictim-config"), no_name),
        ("an accent of its own", of("cafe\u{301}"), no_name),
        ("nothing to see", of("victim\u{200b}-config"), no_name),
        ("from right to left", of("\u{202e}gifnoc-mitciv"), no_name),
        ("a smiling name", of("\u{1f600}"), no_name),
        ("capitals", of("Victim-config"), no_name),
        ("a name with an end", of("victim-config\u{0}"), no_name),
        ("a name of two lines", of("victim\nconfig"), no_name),
        ("a name with a space", of("victim config "), no_name),
        ("a very long name", of(&"x".repeat(254)), no_name),
        ("a label in other letters", with(label), "metadata.labels"),
        ("a label's key in other letters", with(key), "metadata.labels"),
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

/// What is not of the type that it must have.
fn shapes() -> Vec<Attempt> {
    let of = |manifest: Value| with(manifest);
    let changed = |pointer: &str, value: Value| {
        let mut manifest = own();
        *manifest.pointer_mut(pointer).unwrap() = value;
        vec![manifest]
    };
    let required = "apiVersion and kind are required";
    let mut odd = config_map("c", "1");
    odd["data"] = json!({ "../../etc/passwd": "x" });
    vec![
        ("nothing", vec![], "Deployment thief is not among them"),
        ("an empty object", of(json!({})), required),
        ("a kind that is a list", of(json!({ "apiVersion": "v1", "kind": ["ConfigMap"] })), required),
        ("a list for metadata", of(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": [] })), "metadata.name"),
        ("an object for a name", changed("/metadata/name", json!({ "thief": 1 })), "metadata.name: required"),
        ("a text for a spec", changed("/spec", json!("thief")), "spec: invalid type"),
        ("no spec", changed("/spec", json!(null)), "spec"),
        (
            "an object for containers",
            changed("/spec/template/spec/containers", json!({})),
            "containers: invalid type",
        ),
        ("labels that are no texts", changed("/spec/selector/matchLabels", json!({ "app": 1 })), "matchLabels.app"),
        ("a key with a way up", with(odd), "../../etc/passwd"),
    ]
}

fn sizes() -> Vec<Attempt> {
    let huge = "x".repeat(1024 * 1024);
    let many = (0..100).map(|index| config_map(&format!("c{index}"), "1"));
    let deep = (0..100).fold(json!("1"), |inner, _| json!({ "k": inner }));
    let annotated = |value: Value| {
        let mut manifest = config_map("c", "1");
        manifest["metadata"]["annotations"] = json!({ "a": value });
        with(manifest)
    };
    let mut data = config_map("c", "1");
    data["data"] = deep.clone();
    let mut replicas = own();
    replicas["spec"]["replicas"] = json!(9_223_372_036_854_775_807_i64);
    vec![
        ("a huge object", with(config_map("c", &huge)), "an object may have at most 1048576"),
        ("a huge kind", with(named("v1", &huge, "c", &json!({}))), "is not permitted in workflow manifests"),
        ("a huge annotation", annotated(json!("x".repeat(300_000))), "metadata.annotations"),
        ("a deep annotation", annotated(deep), "metadata.annotations.a: invalid type"),
        ("deep data", with(data), "data.k: invalid type"),
        ("more replicas than there are numbers", vec![replicas], "spec.replicas: invalid"),
        ("very many objects", std::iter::once(own()).chain(many).collect(), "one call takes at most 100"),
    ]
}

/// What a `workflow.yaml` and what the client writes beside it can do to whoever reads them.
fn workflows() -> Vec<Attempt> {
    let of = |file: &str| {
        let mut code = config_map("thief-code", "1");
        code["data"] = json!({ "workflow.yaml": file });
        with(code)
    };
    let nodes = |nodes: &str| {
        let mut manifest = own();
        manifest["metadata"]["annotations"] = json!({ "tentacular.io/nodes": nodes });
        vec![manifest]
    };
    let laughs = (1..30).fold("a0: &a0 [x]\n".to_owned(), |file, index| {
        format!("{file}a{index}: &a{index} [*a{0}, *a{0}]\n", index - 1)
    });
    let (larger, unreadable) = ("it is larger than a workflow may be", "it is no YAML that can be read");
    let malformed = "malformed tentacular.io/nodes annotation";
    vec![
        ("a billion laughs", of(&laughs), larger),
        ("a deep workflow", of(&format!("a: {}{}", "[".repeat(99), "]".repeat(99))), larger),
        ("a bottomless workflow", of(&"[".repeat(900_000)), unreadable),
        ("a workflow of itself", of("a: &a {b: *a}"), unreadable),
        ("an object of another language", of("contract: !!python/object/apply:os.system [id]"), unreadable),
        ("a workflow with a key twice", of("contract: {}\ncontract: {}"), "line 2, column 1"),
        ("no workflow", of("\u{0}\u{1}"), unreadable),
        ("a service", of("contract: {dependencies: {tentacular-nats: {}}}"), "exoskeleton: nats not enabled"),
        ("deep nodes", nodes(&"[".repeat(200_000)), malformed),
        ("nodes that are no names", nodes(r#"{"a":"b"}"#), malformed),
        ("nodes nobody describes", nodes(r#"["a","b"]"#), "node \"b\": description is required"),
    ]
}
