use super::*;

const ENV: &str = "--allow-env=HOME,OTEL_DENO,OTEL_EXPORTER_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_PROTOCOL,\
                   OTEL_RESOURCE_ATTRIBUTES,OTEL_SERVICE_NAME";
const NET: &str = "--allow-net=0.0.0.0:8080,otel-collector.tentacular-observability.svc.cluster.local:4318";

fn deployment(container: &Value) -> Manifest {
    let body = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
    Manifest { kind: Kind::Deployment, name: "report".to_owned(), body }
}

fn engine(options: &[&str]) -> Manifest {
    let args = [&["run"], options, &["engine/main.ts", "--workflow", "/app/workflow/workflow.yaml"]].concat();
    deployment(&json!({ "command": ["deno"], "args": args }))
}

fn policy(spec: &Value) -> Manifest {
    Manifest { kind: Kind::NetworkPolicy, name: "report-netpol".to_owned(), body: json!({ "spec": spec }) }
}

/// The manifests with what is added, which must be the same after a second time.
fn added(mut manifests: Vec<Manifest>) -> Vec<Manifest> {
    let tentacle = "report".parse().unwrap();
    add(&tentacle, &mut manifests);
    let once = manifests.clone();
    add(&tentacle, &mut manifests);
    assert!(once == manifests, "a second time adds to what the first made");
    once
}

/// The arguments of an engine that has `options`.
fn options(options: &[&str]) -> Vec<String> {
    let manifest = added(vec![engine(options)]).remove(0);
    let args: Vec<String> =
        serde_json::from_value(manifest.body["spec"]["template"]["spec"]["containers"][0]["args"].clone()).unwrap();
    args[1..args.len() - 3].to_vec()
}

/// The rules of a policy beside an engine.
fn egress(spec: &Value) -> Value {
    let mut manifests = added(vec![policy(spec), engine(&[])]);
    let spec = manifests.remove(0).body["spec"].take();
    spec["egress"].clone()
}

fn ours() -> Value {
    json!({
        "to": [{
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "tentacular-observability" } },
            "podSelector": { "matchLabels": { "app.kubernetes.io/component": "collector" } },
        }],
        "ports": [{ "protocol": "TCP", "port": 4317 }, { "protocol": "TCP", "port": 4318 }],
    })
}

#[test]
fn what_an_engine_lacks_is_added_to_its_lists() {
    assert_eq!(options(&["--allow-env=HOME", "--allow-net=0.0.0.0:8080"]), [ENV, NET]);
    assert_eq!(options(&[NET, ENV]), [NET, ENV]);
    // In the order in which they stand there, and an empty list is no item.
    assert_eq!(
        options(&["--allow-env=OTEL_SERVICE_NAME,OTEL_DENO,A"]),
        ["--allow-env=OTEL_SERVICE_NAME,OTEL_DENO,A,OTEL_EXPORTER_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_PROTOCOL,\
          OTEL_RESOURCE_ATTRIBUTES"]
    );
    assert_eq!(options(&["--allow-net="]), [format!("--allow-net={}", ADDRESS[0])]);
}

#[test]
fn where_there_is_no_list_none_is_made() {
    for given in [&[][..], &["--allow-env", "--allow-net"], &["--allow-all"], &["--allow-read=/app", "-A"]] {
        assert_eq!(options(given), given);
    }
}

#[test]
fn a_list_may_stand_in_the_command_too() {
    let command = |net: &str| json!(["/usr/bin/deno", "run", net, "main.ts", "--workflow=/w.yaml"]);
    let manifest = added(vec![deployment(&json!({ "command": command("--allow-net=0.0.0.0:8080") }))]).remove(0);
    assert_eq!(manifest.body["spec"]["template"]["spec"]["containers"][0]["command"], command(NET));
}

#[test]
fn what_is_no_engine_stays_as_it_is() {
    let open = json!({ "policyTypes": ["Egress"], "egress": [] });
    let args = json!(["run", "--allow-env=HOME", "--allow-net=a:1", "main.ts", "--workflow", "w.yaml"]);
    for container in [
        json!({ "image": "nginx" }),
        json!({ "command": ["node"], "args": args }),
        json!({ "command": ["not-deno"], "args": args }),
        json!({ "args": args }),
        json!({ "command": ["deno"], "args": ["run", "--allow-env=HOME", "--allow-net=a:1", "main.ts"] }),
        json!({ "command": "deno", "args": "--workflow --allow-env=HOME" }),
    ] {
        let manifests = vec![deployment(&container), policy(&open)];
        assert!(added(manifests.clone()) == manifests, "{container}");
    }
    // Neither is another container, another Deployment, or anything else.
    let mut second = deployment(&json!({ "image": "nginx" }));
    let other = engine(&["--allow-env=HOME"]);
    let container = other.body["spec"]["template"]["spec"]["containers"][0].clone();
    second.body["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(container);
    for manifest in [
        second,
        Manifest { name: "other".to_owned(), ..other.clone() },
        Manifest { kind: Kind::Job, ..other },
        deployment(&json!(null)),
        Manifest { body: json!({ "spec": { "template": { "spec": { "containers": {} } } } }), ..engine(&[]) },
    ] {
        let manifests = vec![manifest, policy(&open)];
        assert!(added(manifests.clone()) == manifests, "{:?}", manifests[0].body);
    }
}

#[test]
fn the_collector_is_let_out_of_where_it_was_not() {
    let dns = json!({ "ports": [{ "port": 53, "protocol": "UDP" }] });
    let types = json!(["Ingress", "Egress"]);
    assert_eq!(egress(&json!({ "policyTypes": types, "egress": [dns] })), json!([dns, ours()]));
    assert_eq!(egress(&json!({ "policyTypes": types, "egress": [] })), json!([ours()]));
    assert_eq!(egress(&json!({ "policyTypes": types })), json!([ours()]));
    assert_eq!(egress(&json!({ "egress": [dns] })), json!([dns, ours()]));
    assert_eq!(egress(&json!({ "policyTypes": [], "egress": [dns] })), json!([dns, ours()]));
}

#[test]
fn a_policy_that_does_not_limit_what_is_sent_does_not_begin_to() {
    for spec in [
        json!({}),
        json!({ "policyTypes": ["Ingress"] }),
        json!({ "egress": [] }),
        json!({ "policyTypes": [], "egress": [] }),
    ] {
        assert_eq!(egress(&spec), spec["egress"]);
    }
    let mut other = policy(&json!({ "policyTypes": ["Egress"] }));
    other.name = "report".to_owned();
    let manifests = vec![other, engine(&[])];
    assert!(added(manifests.clone()) == manifests);
}

#[test]
fn an_equal_or_wider_rule_is_enough() {
    let name = |value: &str| json!({ "matchLabels": { "kubernetes.io/metadata.name": value } });
    let expression = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "kubernetes.io/metadata.name", "operator": operator, "values": values }] });
    let observability = name("tentacular-observability");
    let ports = json!([{ "port": 4317, "protocol": "TCP" }, { "port": "4318" }]);
    let to = |namespaces: &Value| json!([{ "ports": ports, "to": [{ "namespaceSelector": namespaces }] }]);
    let on = |ports: Value| json!([{ "ports": ports, "to": [{ "namespaceSelector": observability }] }]);
    let apart = json!([
        { "ports": [{ "port": 4318 }], "to": [{ "namespaceSelector": {} }] },
        { "ports": [{ "port": 4317 }], "to": [{ "namespaceSelector": observability, "podSelector": {} }] },
    ]);
    for enough in [
        json!([ours()]),
        json!([{}]),
        json!([{ "to": [], "ports": [] }]),
        json!([{ "ports": ports }]),
        to(&observability),
        to(&json!({})),
        to(&expression("In", json!(["a", "tentacular-observability"]))),
        to(&expression("NotIn", json!(["a"]))),
        to(&expression("Exists", json!(null))),
        on(json!([])),
        on(json!([{}])),
        on(json!([{ "protocol": "TCP" }])),
        on(json!([{ "port": 4000, "endPort": 5000 }])),
        apart,
    ] {
        let spec = json!({ "policyTypes": ["Egress"], "egress": enough });
        assert_eq!(egress(&spec), enough);
    }
    let labelled = |labels: Value| json!([{ "to": [{ "namespaceSelector": observability, "podSelector": labels }] }]);
    for not_enough in [
        to(&name("tentacular-support")),
        to(&json!({ "matchLabels": { "kubernetes.io/metadata.name": "tentacular-observability", "a": "b" } })),
        to(&expression("In", json!(["a"]))),
        to(&expression("NotIn", json!(["tentacular-observability"]))),
        to(&expression("DoesNotExist", json!(null))),
        on(json!([{ "port": 4317 }])),
        on(json!([{ "port": 4317 }, { "port": "otlp-http" }])),
        on(json!([{ "port": 4317, "protocol": "UDP" }, { "port": 4318, "protocol": "UDP" }])),
        on(json!([{ "port": 4000, "endPort": 4317 }])),
        json!([{ "to": [{ "podSelector": {} }] }]),
        json!([{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] }]),
        labelled(json!({ "matchLabels": { "app": "x" } })),
    ] {
        let spec = json!({ "policyTypes": ["Egress"], "egress": not_enough });
        let rules = egress(&spec);
        assert_eq!((&rules[0], &rules[1]), (&not_enough[0], &ours()), "{not_enough}");
    }
}
