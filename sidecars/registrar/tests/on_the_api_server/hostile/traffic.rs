//! Selectors, labels, Services and Ingresses.

use serde_json::{Value, json};

use super::{Attempt, INGRESS_DOMAIN, ingress, own, policy, service, with};

pub(super) fn attempts(enclave: &str) -> Vec<Attempt> {
    [selectors(), labels(), services(), ingresses(enclave)].concat()
}

fn selectors() -> Vec<Attempt> {
    let rule = "(rule own-selector)";
    let expression = |key: &str, operator: &str, values: Value| {
        with(policy(&json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] })))
    };
    let serving = |selector: Value| with(service("s", &json!({ "selector": selector, "ports": [{ "port": 80 }] })));
    let selecting = |kind: &str, version: &str| {
        let mut workload = own();
        workload["kind"] = json!(kind);
        workload["apiVersion"] = json!(version);
        workload["metadata"]["name"] = json!("second");
        workload["spec"]["selector"] = json!({ "matchLabels": { "app": "victim" } });
        with(workload)
    };
    vec![
        ("another's pods", serving(json!({ "app": "victim" })), rule),
        ("another's pods by release", serving(json!({ "tentacular.io/release": "victim" })), rule),
        ("nobody's pods", serving(json!({ "app": "bare" })), rule),
        ("no selector", with(service("s", &json!({ "ports": [{ "port": 80 }] }))), rule),
        ("an empty selector", serving(json!({})), rule),
        ("a policy for all pods", with(policy(&json!({}))), rule),
        ("a policy for another's pods", with(policy(&json!({ "matchLabels": { "app": "victim" } }))), rule),
        ("a policy for two", expression("app", "In", json!(["thief", "victim"])), rule),
        ("a policy for all but one", expression("app", "NotIn", json!(["thief"])), rule),
        ("a policy for whoever has a label", expression("app", "Exists", json!(null)), rule),
        ("a policy for whoever lacks one", expression("x", "DoesNotExist", json!(null)), rule),
        ("a policy for releases", expression("tentacular.io/release", "In", json!(["thief", "victim"])), rule),
        ("a policy nobody understands", expression("app", "Like", json!(["v"])), rule),
        ("a deployment of another's pods", selecting("Deployment", "apps/v1"), rule),
        ("a job of another's pods", selecting("Job", "batch/v1"), rule),
    ]
}

fn labels() -> Vec<Attempt> {
    let rule = "(rule own-labels)";
    let mut deployment = own();
    deployment["spec"]["selector"]["matchLabels"] = json!({ "own": "1" });
    deployment["spec"]["template"]["metadata"]["labels"] = json!({ "own": "1", "app": "victim" });
    let mut cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "nightly" },
        "spec": { "schedule": "@daily", "jobTemplate": { "spec": { "template": own()["spec"]["template"] } } },
    });
    cron["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"] = json!({ "app": "victim" });
    vec![("labels that another selects", vec![deployment], rule), ("a job that another selects", with(cron), rule)]
}

fn services() -> Vec<Attempt> {
    let rule = "(rule internal-service)";
    let of = |members: Value| {
        let mut spec = json!({ "selector": { "app": "thief" }, "ports": [{ "port": 80 }] });
        spec.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        with(service("s", &spec))
    };
    vec![
        ("a node's port", of(json!({ "type": "NodePort" })), rule),
        ("a load balancer", of(json!({ "type": "LoadBalancer" })), rule),
        ("a foreign name", of(json!({ "type": "ExternalName", "externalName": "victim.team-b.svc" })), rule),
        ("foreign addresses", of(json!({ "externalIPs": ["10.96.0.1"] })), rule),
        (
            "a node's port by number",
            of(json!({ "ports": [{ "port": 80, "nodePort": 30_080 }] })),
            "spec.ports[0].nodePort",
        ),
        ("source ranges", of(json!({ "loadBalancerSourceRanges": ["0.0.0.0/0"] })), rule),
    ]
}

fn ingresses(enclave: &str) -> Vec<Attempt> {
    let rule = "(rule own-host)";
    let on = |host: &str, backend: &str| {
        let behind = service("thief", &json!({ "selector": { "app": "thief" }, "ports": [{ "port": 80 }] }));
        vec![own(), behind, ingress("i", host, backend)]
    };
    let host = |host: &str| on(host, "thief");
    let good = format!("thief.{enclave}.{INGRESS_DOMAIN}");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut manifests = host(&good);
        change(&mut manifests[2]);
        manifests
    };
    let nameless = changed(&|ingress| ingress["spec"]["rules"][0]["host"] = json!(null));
    let default = changed(&|ingress| ingress["spec"]["defaultBackend"] = json!({ "service": { "name": "thief" } }));
    let alias = changed(&|ingress| {
        ingress["metadata"]["annotations"] = json!({ "nginx.ingress.kubernetes.io/server-alias": "x.org" });
    });
    let tls = |tls: &Value| changed(&|ingress| ingress["spec"]["tls"] = json!([tls]));
    vec![
        ("a host of another enclave", host(&format!("x.team-b.{INGRESS_DOMAIN}")), rule),
        ("a host of the world", host("example.com"), rule),
        ("the enclave's domain", host(&format!("{enclave}.{INGRESS_DOMAIN}")), rule),
        ("every host", host(&format!("*.{enclave}.{INGRESS_DOMAIN}")), rule),
        ("no host", nameless, rule),
        ("another's host", host(&format!("victim.{enclave}.{INGRESS_DOMAIN}")), rule),
        ("a default", default, rule),
        ("an alias", alias, rule),
        ("a certificate's host", tls(&json!({ "hosts": ["x.org"] })), rule),
        ("another's certificate", tls(&json!({ "secretName": "victim-creds" })), "(rule own-reference)"),
        ("another's service", on(&good, "victim"), "(rule own-reference)"),
    ]
}
